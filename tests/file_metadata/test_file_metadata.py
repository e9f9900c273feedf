"""What generators wrote is read, whoever wrote it and however badly."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirada.file_metadata import parsing
from mirada.file_metadata.parsing import parse
from mirada.kernel.file_metadata import (
    MAX_EXTRA_CHARS,
    MAX_EXTRAS,
    MAX_NAME_CHARS,
    FileMetadata,
)
from mirada.kernel.user_text import MAX_TEXT_CHARS
from testing.generators import COMFY_RUN, NOT_GENERATED, SAMPLES, WEBUI, Sample, as_json

MAX_CALLS = 3_000_000
"""Of functions, for the worst text: some seconds. What is not bounded makes thousands of millions."""


def read(**texts: str) -> FileMetadata:
    found = parse(texts)
    assert found is not None
    return found


def parse_without_a_net(texts: Mapping[str, str]) -> FileMetadata | None:
    """Parse, and fail where a reader failed: the net below them is for what nobody thought of."""

    def fell(message: str, **_: Any) -> None:
        raise AssertionError(message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing.logger, "warning", fell)
        return parse(texts)


def assert_within_bounds(found: FileMetadata | None) -> None:
    """Check that what was read fits a page, JSON and every database."""
    if found is None:
        return
    stored = json.dumps(found.to_json(), allow_nan=False)
    assert len(stored) < 1024 * 1024
    assert FileMetadata.from_json(json.loads(stored)) == found
    texts = [found.prompt, found.negative_prompt]
    names = [found.generator, found.sampler, found.scheduler, found.model, found.model_hash]
    for text in [*texts, *names, *found.extra, *found.extra.values()]:
        if isinstance(text, str):
            assert text.strip() == text != ""
            assert "\0" not in text
            text.encode()
    assert all(len(text or "") <= MAX_TEXT_CHARS for text in texts)
    assert all(len(name or "") <= MAX_NAME_CHARS for name in names)
    assert len(found.extra) <= MAX_EXTRAS
    assert all(len(str(value)) <= MAX_EXTRA_CHARS for value in found.extra.values())
    assert found.seed is None or abs(int(found.seed)) < 2**64


# What is read


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_what_a_program_writes_is_read(sample: Sample) -> None:
    found = parse(sample.texts)
    assert found is not None
    assert {name: getattr(found, name) for name in sample.expected} == dict(sample.expected)
    assert {name: found.extra.get(name) for name in sample.extra} == dict(sample.extra)
    assert_within_bounds(found)


@pytest.mark.parametrize("texts", NOT_GENERATED, ids=lambda texts: "+".join(texts) or "nothing")
def test_what_other_programs_write_is_no_prompt(texts: dict[str, str]) -> None:
    assert parse(texts) is None


@pytest.mark.parametrize(
    "prompt",
    [
        "gatinho dormindo à janela, luz da manhã, pinceladas 🎨🐈‍⬛",
        "niña con paraguas rojo — ¡lluvia! ☔️",
        "قطة نائمة على السطح, 猫が屋根で寝ている",
        'a sign that says "Steps: 3, Seed: 4"',
        "two lines\n\nof which Negative: is none",
        "{red|blue} hat, [cat:dog:0.5], __wildcard__",
    ],
)
def test_a_prompt_in_any_language_is_read_as_it_was_written(prompt: str) -> None:
    line = "Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 1"
    assert read(parameters=f"{prompt}\nNegative prompt: x\n{line}").prompt == prompt
    graph = json.loads(as_json(COMFY_RUN))
    graph["6"]["inputs"]["text"] = prompt
    assert read(prompt=as_json(graph)).prompt == prompt


def test_a_settings_line_may_be_missing_where_only_generators_write() -> None:
    assert read(parameters="a pear").prompt == "a pear"
    assert parse({"exif:UserComment": "a pear"}) is None


def test_the_last_settings_line_counts_and_lines_may_end_as_on_windows() -> None:
    found = read(parameters="a\r\nSteps: 1, Seed: 1\r\nb\r\nSteps: 2, Seed: 3\r\nTemplate: a")
    assert (found.prompt, found.steps, found.seed) == ("a\nSteps: 1, Seed: 1\nb", 2, "3")


def test_quotes_and_brackets_that_never_close_do_not_swallow_the_line() -> None:
    found = read(parameters='p\nSteps: 2, Note: "open, Seed: 3, Other: {a, Model: m')
    assert (found.seed, found.model) == ("3", "m")


def test_the_settings_line_beside_a_graph_wins() -> None:
    found = read(parameters=WEBUI, prompt=as_json(COMFY_RUN))
    assert found.prompt is not None
    assert found.prompt.startswith("portrait")


def test_a_form_without_a_prompt_gives_way_to_one_with_it() -> None:
    found = read(invokeai_metadata='{"seed": 3, "steps": 4}', parameters="a pear")
    assert found.prompt == "a pear"
    assert read(invokeai_metadata='{"seed": 3, "steps": 4}').seed == "3"


# ComfyUI's graphs


def comfy(**changes: Any) -> dict[str, Any]:
    """Return the sample's graph with further nodes: kinds and inputs by id."""
    graph = json.loads(as_json(COMFY_RUN))
    for key, (kind, inputs) in changes.items():
        graph[key.removeprefix("n")] = {"class_type": kind, "inputs": inputs}
    return graph  # type: ignore[no-any-return]


def sampler_inputs(**changes: Any) -> dict[str, Any]:
    return {**comfy()["3"]["inputs"], **changes}


def test_words_are_found_through_whatever_stands_between() -> None:
    graph = comfy(
        n3=("KSampler", sampler_inputs(positive=["30", 0], negative=["30", 1], seed=["35", 0])),
        n30=(
            "ControlNetApplyAdvanced",
            {
                "positive": ["31", 0],
                "negative": ["7", 0],
                "control_net": ["6", 0],
                "image": ["6", 0],
            },
        ),
        n31=("Reroute", {"": ["32", 0]}),
        n32=("ConditioningCombine", {"conditioning_1": ["33", 0], "conditioning_2": ["34", 0]}),
        n33=("CLIPTextEncodeSDXL", {"text_g": "a hill", "text_l": "a hill", "clip": ["4", 1]}),
        n34=("CLIPTextEncode", {"text": ["36", 0], "clip": ["4", 1]}),
        n35=("Seed (rgthree)", {"seed": 99}),
        n36=(
            "StringConcatenate",
            {"string_a": "blue", "string_b": ["37", 0], "delimiter": ", "},
        ),
        n37=("ImpactWildcardProcessor", {"wildcard_text": "__a__", "populated_text": "windy"}),
    )
    found = read(prompt=as_json(graph))
    assert (found.prompt, found.negative_prompt) == ("a hill\nblue, windy", "text, watermark")
    assert found.seed == "99"


def test_a_loader_that_holds_both_prompts_gives_each_to_its_side() -> None:
    graph = comfy(
        n3=("KSampler (Efficient)", sampler_inputs(positive=["30", 1], negative=["30", 2])),
        n30=(
            "Efficient Loader",
            {"ckpt_name": "m.ckpt", "positive": "a kite", "negative": "rain", "lora_name": "None"},
        ),
    )
    found = read(prompt=as_json(graph))
    assert (found.prompt, found.negative_prompt) == ("a kite", "rain")


def test_a_conditioning_that_was_zeroed_out_is_no_negative_prompt() -> None:
    graph = comfy(
        n3=("KSampler", sampler_inputs(negative=["30", 0])),
        n30=("ConditioningZeroOut", {"conditioning": ["6", 0]}),
    )
    assert read(prompt=as_json(graph)).negative_prompt is None


def test_settings_that_travel_in_a_pipe_are_found() -> None:
    graph = {
        "1": {"class_type": "easy fullLoader", "inputs": {"positive": "a fir", "negative": "b"}},
        "2": {
            "class_type": "easy preSampling",
            "inputs": {"steps": 9, "seed": 8, "pipe": ["1", 0]},
        },
        "3": {"class_type": "SaveImage", "inputs": {"images": ["4", 1]}},
        "4": {
            "class_type": "WanSampler",
            "inputs": {"seed": 8, "steps": 9, "text_embeds": ["5", 0]},
        },
        "5": {"class_type": "WanTextEncode", "inputs": {"positive_prompt": "a wave"}},
        "6": {
            "class_type": "easy kSampler",
            "inputs": {"pipe": ["2", 0], "sampler_name": "euler", "cfg": 3},
        },
    }
    assert read(prompt=as_json(graph)).prompt == "a wave"
    del graph["4"]
    graph["3"]["inputs"]["images"] = ["6", 1]
    found = read(prompt=as_json(graph))
    assert (found.prompt, found.steps, found.seed) == ("a fir", 9, "8")


def test_a_picture_that_was_saved_comes_before_one_that_was_only_shown() -> None:
    shown = {f"s{key}": node for key, node in comfy().items()}
    for node in shown.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                node["inputs"][name] = [f"s{value[0]}", value[1]]
    shown["s9"]["class_type"] = "PreviewImage"
    shown["s6"]["inputs"]["text"] = "a draft"
    found = read(prompt=as_json({**shown, **comfy()}))
    assert found.prompt == "a lighthouse in a storm, oil on canvas"


def test_a_graph_that_runs_in_circles_is_read_once_around() -> None:
    graph = comfy(
        n3=("KSampler", sampler_inputs(positive=["30", 0], model=["31", 0], latent_image=["9", 0])),
        n30=("ConditioningConcat", {"a": ["30", 0], "b": ["32", 0], "c": ["6", 0]}),
        n31=("LoraLoader", {"model": ["31", 0], "lora_name": "l"}),
        n32=("ConditioningConcat", {"a": ["30", 0]}),
        n9=("SaveImage", {"images": ["8", 0]}),
    )
    found = read(prompt=as_json(graph))
    assert found.prompt == "a lighthouse in a storm, oil on canvas"
    assert found.model is None


# What nobody meant to be read


def hostile() -> Iterator[tuple[str, dict[str, str]]]:
    deep = 1_000_000
    yield "deep lists", {"prompt": "[" * deep, "workflow": '{"a":' * deep, "parameters": "{" * deep}
    yield "deep and closed", {"Comment": '{"a":' * 100_000 + "1" + "}" * 100_000}
    yield "deep XML", {"xmp": "<a>" * 300_000}
    yield (
        "entities",
        {
            "xmp": '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
            "<description>&c;\nSteps: 3, Seed: 4</description>"
        },
    )
    yield "a megabyte", {"parameters": "word, " * 180_000 + "\nSteps: 3, Seed: 4"}
    yield "ten megabytes", {"parameters": "x" * 10_000_000}
    yield "blanks", {"parameters": " " * 2_000_000, "Dream": '"' + " " * 2_000_000}
    yield "marks", {"parameters": "\nSteps: " * 200_000, "Description": " --a" * 400_000}
    yield "pairs", {"parameters": "Steps: 1, " + 'a: "b, ' * 200_000}
    yield "open brackets", {"parameters": "Steps: 1, " + "a: {, " * 200_000}
    yield "negatives", {"exif:UserComment": "\nNegative prompt:" * 100_000}
    yield "brackets", {"sd-metadata": as_json({"image": {"prompt": "[" * 900_000 + "[]" * 99}})}
    yield "dream", {"Dream": '"' + '" -' * 500_000}
    numbers = '"seed": %s, "steps": %s, "cfg_scale": %s, "width": %s, "prompt": "a"'
    for value in ("9" * 5_000, "NaN", "-Infinity", "1e999", "[]", '"' + "9" * 5_000 + '"', "true"):
        yield (
            f"numbers {value[:9]}",
            {"parameters": "{" + numbers % (value, value, value, value) + "}"},
        )
    yield "many keys", {"parameters": as_json({f"k{n}": n for n in range(200_000)})}
    yield "halves", {"parameters": "a\ud800b\x00c\nSteps: 2, Sampler: \udfff\x07, Seed: 1"}
    yield "halves in JSON", {"Comment": '{"prompt": "\\ud800\\u0000", "seed": 1}'}
    yield "only blanks in JSON", {"Comment": '{"prompt": " \\u0000 ", "seed": 1, "model": "\\n"}'}
    dense = {
        str(n): {"class_type": "A", "inputs": {f"t{m}": [str(m * 7 % 700), 0] for m in range(99)}}
        for n in range(700)
    }
    for n in range(0, 700, 2):
        dense[str(n)]["inputs"] |= {
            "positive": [str(n + 1), 0],
            "steps": [str(n + 1), 0],
            "seed": 1,
        }
    yield "dense graph", {"prompt": as_json(dense)}
    chain = {
        str(n): {
            "class_type": "A",
            "inputs": {"conditioning": [str(n + 1), 0], "seed": [str(n + 1), 0]},
        }
        for n in range(4_000)
    }
    yield "long chain", {"prompt": as_json(chain)}
    yield (
        "wrong types",
        {
            "prompt": as_json(
                {"1": {"class_type": [1], "inputs": {"positive": [True, 0], "steps": {}}}}
            ),
            "workflow": as_json(
                {"nodes": [1, {"id": True}, {"id": 1, "inputs": 3}], "links": [[], {}, 1]}
            ),
            "Comment": "null",
            "sd-metadata": '{"image": []}',
            "invokeai_metadata": '{"model": [1], "positive_prompt": {"a": 1}}',
            "Software": "NovelAI",
        },
    )


HOSTILE = dict(hostile())


@pytest.mark.parametrize("texts", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_costs_little_and_gives_nothing_out_of_bounds(
    texts: dict[str, str], calls: Callable[[], int]
) -> None:
    assert_within_bounds(parse_without_a_net(texts))
    assert calls() < MAX_CALLS


@pytest.fixture
def calls() -> Iterator[Callable[[], int]]:
    """Return how many functions were called since the test began: time that no noise disturbs."""
    made = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    sys.setprofile(count)
    yield lambda: made
    sys.setprofile(None)


def test_a_reader_that_fails_costs_neither_the_picture_nor_the_other_readers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(_texts: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(parsing, "READERS", (failing, *parsing.READERS))
    assert read(parameters="a pear").prompt == "a pear"


def test_entities_are_never_expanded() -> None:
    assert parse(HOSTILE["entities"]) is None
    plain = "<description>a &lt; b\nSteps: 3, Seed: 4</description>"
    assert read(xmp=plain).prompt == "a < b"


def test_a_prompt_that_is_too_long_is_cut_and_not_refused() -> None:
    found = read(parameters="ã🐈" * 500_000 + "\nSteps: 3, Seed: 4")
    assert found.prompt == ("ã🐈" * MAX_TEXT_CHARS)[:MAX_TEXT_CHARS]
    assert found.seed == "4"


def test_what_no_database_stores_is_taken_out() -> None:
    found = parse(HOSTILE["halves"])
    assert found is not None
    assert (found.prompt, found.sampler) == ("abc", None)


@pytest.mark.parametrize(
    ("value", "seed"),
    [
        (0, "0"),
        (-1, "-1"),
        (2**64 - 1, "18446744073709551615"),
        (2**64, None),
        ("00042", "42"),
        (" 7 ", "7"),
        (3.0, "3"),
        (1.5, None),
        (1e300, None),
        (True, None),
        ("٤٢", None),
        ("1_000", None),
        ([1], None),
    ],
)
def test_a_seed_is_kept_to_its_last_bit_or_not_at_all(value: object, seed: str | None) -> None:
    found = FileMetadata.cleaned("x", {"seed": value, "prompt": "p"})
    assert found is not None
    assert found.seed == seed


def test_a_program_without_anything_said_is_nothing() -> None:
    assert FileMetadata.cleaned("x", {"sampler": "euler", "extra": {"a": 1}}) is None
    assert FileMetadata.from_json("nonsense") is None
    assert FileMetadata.from_json(
        {"generator": 3, "seed": 1, "extra": {"a": float("inf"), "": 1}}
    ) == (FileMetadata("3", seed="1"))


def one_of(words: str) -> st.SearchStrategy[str]:
    return st.sampled_from(words.split())


PIECES = st.lists(
    st.text(max_size=8)
    | one_of('{ } [ ] , : "')
    | st.sampled_from(["Steps: 3, Seed: 4", "\n", "Negative prompt:", " -s 3", " --v 6"]),
    max_size=12,
).map("".join)
KEYS = one_of(
    "prompt image class_type inputs positive steps seed text nodes links 1 2 type id widgets_values "
    "c uc v4_prompt caption sui_image_params extraMetadata model size width height"
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | PIECES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
LINKS = st.tuples(st.sampled_from(["1", "2", "3", 4]), st.integers(0, 2)).map(list)
INPUTS = one_of(
    "positive negative text model seed steps guider sigmas images conditioning ckpt_name "
    "latent_image pipe width height populated_text delimiter"
)
NODES = st.fixed_dictionaries(
    {
        "class_type": one_of("KSampler SaveImage CLIPTextEncode ConditioningZeroOut"),
        "inputs": st.dictionaries(INPUTS, LINKS | VALUES, max_size=8),
    }
)
DRAWN = st.fixed_dictionaries(
    {
        "nodes": st.lists(st.dictionaries(KEYS, VALUES, max_size=6), max_size=4),
        "links": st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=6), max_size=4),
    }
)
OBJECTS = (
    st.dictionaries(one_of("1 2 3 4 x"), NODES) | DRAWN | st.dictionaries(KEYS, VALUES, max_size=6)
)
NAMES = one_of(
    "parameters prompt workflow Comment comment Description Dream sd-metadata invokeai_metadata "
    "exif:UserComment exif:Model Software Source xmp generation_data use_stable_diffusion_model"
)
XMPS = PIECES.map(lambda text: f"<a><description>{text}</description><b UserComment='{text}'/></a>")
TEXTS = st.text() | PIECES | OBJECTS.map(json.dumps) | XMPS | st.just("NovelAI")


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, TEXTS, max_size=5))
def test_no_text_makes_it_fail_or_leave_its_bounds(texts: dict[str, str]) -> None:
    assert_within_bounds(parse_without_a_net(texts))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*FileMetadata.__dataclass_fields__]), VALUES), st.text())
def test_anything_cleaned_is_clean_for_good(values: dict[str, Any], generator: str) -> None:
    assert_within_bounds(FileMetadata.cleaned(generator, values))
