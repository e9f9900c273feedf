"""Graphs that others publish on a hub: taken where they give PyTorch's vectors, refused where they do not.

The hub is a loopback server; its client is in another process, because it reads its endpoint at its import.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirada.adapters.encoders import engines, probes, published
from mirada.adapters.encoders.engines import load_encoder
from mirada.adapters.encoders.exports import Export
from mirada.adapters.encoders.graphs import export_tower
from mirada.adapters.encoders.openclip import OpenClipEncoder
from mirada.adapters.encoders.published import take_published
from mirada.adapters.encoders.towers import ImageTower, TextTower
from mirada.config import PROJECT_ROOT
from mirada.kernel.embeddings import l2_normalise
from mirada.kernel.errors import EncoderUnavailable, InvalidInput
from testing.small_models import ROBERTA, SMALL, write_folder, write_roberta
from tests.adapters.hub import COMMIT, Hub, hub_serving

MODELS = {
    ("ViT-B-32", "openai"): "immich-app/ViT-B-32__openai",
    ("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k"): (
        "immich-app/XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k"
    ),
}
TEXTS = ["a cat", "a", "", "dog " * 50, "猫"]

ELSEWHERE = """
import json, sys
from pathlib import Path
import numpy as np
from mirada.adapters.encoders import engines, published
from mirada.adapters.encoders.stored_witnesses import StoredVectors
from mirada.kernel.errors import MiradaError
from testing.impatient_hub import ask_again_at_once

ask_again_at_once()
asked = json.loads(sys.stdin.read())
cache = Path(asked["cache"])
if asked["is_light"]:
    engines.packages_missing = lambda: ["torch", "open_clip"]

def held():
    if not (cache / "held.npz").exists():
        return None
    kept = np.load(cache / "held.npz")
    pictures = list(zip(kept["pictures"], kept["seen"]))
    texts = [([text], vector) for text, vector in zip(kept["texts"].tolist(), kept["read"])]
    return StoredVectors(str(kept["steps"]), kept["seen"].shape[1], lambda side_px: pictures, texts)

def by_command():
    export = published.take_published(asked["name"], asked["tag"], cache_dir=cache, held=held)
    return {"origin": dict(export.origin), "folder": str(export.folder)}

def by_start():
    encoder = engines.load_encoder(asked["name"], asked["tag"], device="cpu", cache_dir=cache)
    return {"engine": type(encoder).__name__, "space": encoder.space.name,
            "texts": encoder.encode_texts(asked["texts"]).tolist()}

answer = {}
for way in asked["by"]:
    try:
        answer |= {"command": by_command, "start": by_start}[way]()
    except MiradaError as error:
        answer.setdefault("errors", []).append(error.detail)
print(json.dumps({**answer, "torch": "torch" in sys.modules}))
"""


def publish(model: Any, config: dict[str, Any], tokenizer: Path | None, folder: Path) -> None:
    """Write a repository as the publishers make one: one row at a time, at full length, 32-bit tokens."""
    import torch

    class Normalised(torch.nn.Module):
        def __init__(self, tower: torch.nn.Module) -> None:
            super().__init__()
            self.tower = tower

        def forward(self, rows: Any) -> Any:
            return torch.nn.functional.normalize(self.tower(rows), dim=-1)

    for part in ("visual", "textual"):
        (folder / part).mkdir(parents=True)
    side, length = config["vision_cfg"]["image_size"], config["text_cfg"].get("context_length", 77)
    towers = (
        ("visual", ImageTower(model), torch.zeros(1, 3, side, side), "image"),
        ("textual", TextTower(model), torch.ones(1, length, dtype=torch.int32), "text"),
    )
    for part, tower, example, name in towers:
        export_tower(Normalised(tower), example, folder / part / "model.onnx", name, {})
    steps = json.dumps({**model.visual.preprocess_cfg})
    (folder / "visual" / "preprocess_cfg.json").write_text(steps)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text("---\nlicense: mit\ntags:\n - clip\n---\n# Model\n")
    if tokenizer is not None:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(tokenizer / name, folder / "textual" / name)


def repository_of(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


class Place:
    """Two small models under the names of real ones, published on a hub, and what is kept of them.

    Attributes:
        hub: the running hub.
        encoders: the models on PyTorch, by name.
        repositories: the hub's files, which a test may change.
    """

    def __init__(self, folder: Path) -> None:
        self.encoders: dict[str, Any] = {}
        self.repositories: dict[str, dict[str, Path]] = {}
        for (name, _), repository in MODELS.items():
            source, target = folder / f"source-{name}", folder / f"published-{name}"
            source.mkdir(parents=True)
            is_roberta = name.startswith("xlm")
            if is_roberta:
                write_roberta(source)
            else:
                write_folder(source, SMALL)
            encoder: Any = load_encoder(str(source), engine="torch", device="cpu")
            self.encoders[name] = encoder
            config = ROBERTA if is_roberta else SMALL
            publish(encoder.model, config, source if is_roberta else None, target)
            self.repositories[repository] = repository_of(target)

    def keep_probe(self, name: str, tag: str, cache: Path) -> None:
        """Store what PyTorch gave with a model, as a start with it does."""
        encoder = self.encoders[name]
        own = encoder.space
        encoder.space = replace(own, encoder=name, pretrained=tag)
        try:
            probes.keep_probe(encoder, cache)
        finally:
            encoder.space = own

    def hold(
        self, name: str, cache: Path, *, noise: float = 0.0, scaled: int = 0, texts: int = 4
    ) -> None:
        """Write what a database holds of a model: its vectors of some pictures and texts.

        Args:
            name: of the model.
            cache: where.
            noise: added to every vector, as other weights would give others.
            scaled: pictures that were embedded a little blurred, as an older version scaled them.
            texts: how many.
        """
        encoder, random = self.encoders[name], np.random.default_rng(1)
        small = random.integers(0, 256, (8, 6, 6, 3))
        pictures = np.kron(small, np.ones((1, 12, 12, 1))).astype(np.uint8)
        embedded = pictures.copy()
        embedded[:scaled, 30:42, 30:42] = 128
        words = [f"{each} {word}" for each in ("a", "two") for word in ("cats", "dogs")][:texts]
        seen, read = encoder.encode_images(list(embedded)), encoder.encode_texts(words)
        both = [
            l2_normalise(rows + noise * l2_normalise(random.standard_normal(rows.shape)))
            for rows in (seen, read)
        ]
        steps = encoder.space.preprocessing
        kept = {"pictures": pictures, "seen": both[0], "texts": words, "read": both[1]}
        np.savez(cache / "held.npz", steps=steps, **kept)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("published"))


@pytest.fixture
def hub(place: Place) -> Iterator[Hub]:
    repositories = {name: dict(files) for name, files in place.repositories.items()}
    with hub_serving(repositories) as hub:
        hub.repositories = repositories  # type: ignore[attr-defined]
        yield hub


def ask(
    endpoint: str, cache: Path, pair: tuple[str, str], *by: str, is_light: bool = True
) -> dict[str, Any]:
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache / "home")}
    asked = {"name": pair[0], "tag": pair[1], "cache": str(cache), "texts": TEXTS}
    ran = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=json.dumps({**asked, "by": by or ("start",), "is_light": is_light}),
        env={**environment, "PYTHONPATH": str(PROJECT_ROOT)},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answer


OPENAI, PRODUCTION = MODELS


@pytest.mark.parametrize("pair", MODELS)
def test_a_start_without_pytorch_takes_a_published_export_once(
    place: Place, hub: Hub, tmp_path: Path, pair: tuple[str, str]
) -> None:
    place.keep_probe(*pair, tmp_path)
    first = ask(hub.endpoint, tmp_path, pair)
    assert first.get("engine") == "OnnxEncoder", first
    assert not first["torch"]
    encoder = place.encoders[pair[0]]
    assert first["space"] == replace(encoder.space, encoder=pair[0], pretrained=pair[1]).name
    np.testing.assert_allclose(first["texts"], encoder.encode_texts(TEXTS), atol=1e-5)

    export = Export.read(tmp_path / "onnx" / "--".join(pair))
    assert export is not None
    assert export.origin == {
        "published_by": MODELS[pair],
        "revision": COMMIT,
        "licence": "mit",
    }
    hub.requests.clear()
    assert ask(hub.endpoint, tmp_path, pair) == first
    assert hub.requests == []


def test_a_command_takes_it_where_pytorch_is_installed_too(
    place: Place, hub: Hub, tmp_path: Path
) -> None:
    place.keep_probe(*OPENAI, tmp_path)
    answer = ask(hub.endpoint, tmp_path, OPENAI, "command", is_light=False)
    assert answer["origin"]["licence"] == "mit"
    # A start finds it then, whatever is installed.
    start = ask("http://127.0.0.1:1", tmp_path, OPENAI, is_light=False)
    assert start["engine"] == "OnnxEncoder"


def test_a_card_without_a_licence_is_told_as_such(place: Place, hub: Any, tmp_path: Path) -> None:
    place.keep_probe(*OPENAI, tmp_path)
    del hub.repositories[MODELS[OPENAI]]["README.md"]
    answer = ask(hub.endpoint, tmp_path, OPENAI, "command")
    assert answer["origin"]["licence"] == "not stated"


def weights_only(files: dict[str, Path], place: Place) -> None:
    graph = files["visual/model.onnx"]
    files.clear()
    files["open_clip_model.safetensors"] = graph


def half_of_it(files: dict[str, Path], place: Place) -> None:
    del files["textual/model.onnx"]


def of_another_revision(files: dict[str, Path], place: Place) -> None:
    other = files["config.json"].parent.with_name("another-revision")
    if not other.exists():
        source = other.with_name("source-of-another")
        write_folder(source, SMALL, seed=1)
        encoder: Any = load_encoder(str(source), engine="torch", device="cpu")
        publish(encoder.model, SMALL, None, other)
    files.update(repository_of(other))


def prepared_otherwise(files: dict[str, Path], place: Place) -> None:
    steps = json.loads(files["visual/preprocess_cfg.json"].read_text())
    changed = files["config.json"].parent / "changed.json"
    changed.write_text(json.dumps({**steps, "resize_mode": "squash"}))
    files["visual/preprocess_cfg.json"] = changed


def cut_off(files: dict[str, Path], place: Place) -> None:
    graph = files["visual/model.onnx"]
    half = graph.with_name("half.onnx")
    half.write_bytes(graph.read_bytes()[:-2_000])
    files["visual/model.onnx"] = half


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            weights_only,
            r"The hub has no visual/model\.onnx in immich-app/ViT-B-32__openai: no ONNX",
        ),
        (half_of_it, r"The hub has no textual/model\.onnx"),
        (
            of_another_revision,
            rf"\(revision {COMMIT}\) are not those of ViT-B-32 openai, or of another",
        ),
        (prepared_otherwise, r"were made for pictures prepared as openclip-16-bicubic-"),
        (cut_off, "is not a graph that ONNX Runtime can load"),
    ],
)
def test_what_is_published_and_cannot_be_trusted_is_refused(
    place: Place,
    hub: Any,
    tmp_path: Path,
    change: Callable[[dict[str, Path], Place], None],
    says: str,
) -> None:
    place.keep_probe(*OPENAI, tmp_path)
    change(hub.repositories[MODELS[OPENAI]], place)
    errors = ask(hub.endpoint, tmp_path, OPENAI, "command", "start")["errors"]
    assert len(errors) == 2
    for error in errors:
        assert re.search(says, error), error
        assert "\n" not in error
    assert Export.read(tmp_path / "onnx" / "--".join(OPENAI)) is None


def a_login_page(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text("<html>Please log in to this network.</html>")

    return change


def config_of_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def texts_of_another_length(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_cfg"]["context_length"] = 99
    (folder / "config.json").write_text(json.dumps(config))


def texts_without_end(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_cfg"]["context_length"] = 10**12
    (folder / "config.json").write_text(json.dumps(config))


def of_another_dimension(folder: Path) -> None:
    wider = {**SMALL, "embed_dim": 2 * SMALL["embed_dim"]}
    write_folder(folder / "source", wider)
    encoder: Any = load_encoder(str(folder / "source"), engine="torch", device="cpu")
    shutil.rmtree(folder / "visual")
    shutil.rmtree(folder / "textual")
    publish(encoder.model, wider, None, folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (a_login_page("config.json"), r"has a config\.json that describes no model"),
        (
            a_login_page("visual/preprocess_cfg.json"),
            r"preprocess_cfg\.json that describes no model",
        ),
        (a_login_page("textual/model.onnx"), "is not a graph that ONNX Runtime can load"),
        (config_of_a_list, r"has a config\.json that describes no model"),
        (texts_of_another_length, "takes 77 tokens of a text, and its model has 99"),
        (texts_without_end, "at most 8,192"),
        (of_another_dimension, "its vectors have the shape"),
    ],
)
def test_what_a_hub_sends_instead_is_refused_in_one_sentence(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    says: str,
) -> None:
    place.keep_probe(*OPENAI, tmp_path)
    sent = tmp_path / "sent"
    for name, file in place.repositories[MODELS[OPENAI]].items():
        (sent / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, sent / name)
    change(sent)
    monkeypatch.setattr(published, "_fetched", lambda repository, file, *_: sent / file)
    with pytest.raises(EncoderUnavailable, match=says) as refused:
        take_published(*OPENAI, cache_dir=tmp_path)
    assert "\n" not in refused.value.detail
    assert list((tmp_path / "onnx" / "--".join(OPENAI)).iterdir()) == []


def test_without_a_probe_nothing_is_taken(hub: Hub, tmp_path: Path) -> None:
    answer = ask(hub.endpoint, tmp_path, OPENAI, "command")
    assert "cannot be checked: no vectors of PyTorch" in answer["errors"][0]
    assert "and the database holds none" in answer["errors"][0]
    assert hub.requests == []


def test_stored_vectors_vouch_for_an_export_where_pytorch_never_was(
    place: Place, hub: Hub, tmp_path: Path
) -> None:
    """Two of eight pictures were scaled otherwise when they were embedded: by an older version."""
    place.hold(OPENAI[0], tmp_path, scaled=2)
    answer = ask(hub.endpoint, tmp_path, OPENAI, "command", "start")
    assert answer.get("origin", {}).get("licence") == "mit", answer
    assert answer["origin"]["checked_with"] == "vectors that the database holds"
    assert answer["engine"] == "OnnxEncoder"
    assert not answer["torch"]
    np.testing.assert_allclose(
        answer["texts"], place.encoders[OPENAI[0]].encode_texts(TEXTS), atol=1e-5
    )
    export = Export.read(tmp_path / "onnx" / "--".join(OPENAI))
    assert export is not None
    assert export.probe.least_cosine(*astuple(probes.probe_of(place.encoders[OPENAI[0]]))) > 0.9999


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (
            {"noise": 0.05},
            r"\(revision .*\) disagree with the stored vectors: cosine of pictures 0\.99",
        ),
        ({"scaled": 6}, "disagree with the stored vectors"),
        (
            {"texts": 2},
            "vectors of 8 pictures and 2 texts of this model that can be embedded again",
        ),
    ],
)
def test_an_export_that_stored_vectors_do_not_vouch_for_is_refused(
    place: Place, hub: Hub, tmp_path: Path, how: dict[str, Any], says: str
) -> None:
    place.hold(OPENAI[0], tmp_path, **how)
    (error,) = ask(hub.endpoint, tmp_path, OPENAI, "command")["errors"]
    assert re.search(says, error), error
    assert Export.read(tmp_path / "onnx" / "--".join(OPENAI)) is None


def test_an_export_of_another_revision_gives_other_vectors_than_stored(
    place: Place, hub: Any, tmp_path: Path
) -> None:
    place.hold(OPENAI[0], tmp_path)
    of_another_revision(hub.repositories[MODELS[OPENAI]], place)
    (error,) = ask(hub.endpoint, tmp_path, OPENAI, "command")["errors"]
    assert "disagree with the stored vectors" in error


def test_without_a_hub_it_is_said_so(place: Place, tmp_path: Path) -> None:
    place.keep_probe(*OPENAI, tmp_path)
    answer = ask("http://127.0.0.1:1", tmp_path, OPENAI, "command")
    assert "is not in the cache and the hub cannot be reached" in answer["errors"][0]


def test_what_nobody_published_is_told_with_what_is_known() -> None:
    with pytest.raises(InvalidInput, match="only of: xlm-roberta-base-ViT-B-32 laion5b_s13b_b90k"):
        take_published("ViT-L-14", "openai", cache_dir=None)


def test_a_start_with_pytorch_downloads_no_export_and_keeps_the_probe(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = place.encoders[OPENAI[0]]
    named = replace(encoder.space, encoder=OPENAI[0], pretrained=OPENAI[1])
    monkeypatch.setattr(encoder, "space", named)
    monkeypatch.setattr(OpenClipEncoder, "load", lambda *_, **__: encoder)
    # The hub is not asked: the suite has none.
    for _ in range(2):
        assert load_encoder(*OPENAI, device="cpu", cache_dir=tmp_path) is encoder
    stored = probes.find_probe(*OPENAI, tmp_path)
    assert stored is not None
    assert stored.probe.least_cosine(*astuple(probes.probe_of(encoder))) > 0.99999

    probe = tmp_path / "onnx" / "probes" / f"{'--'.join(OPENAI)}.json"
    for damaged in ("{", "[]", '{"dimension": 3}', '{"dimension": 64, "probe": {"texts": "a"}}'):
        probe.write_text(damaged)
        assert probes.find_probe(*OPENAI, tmp_path) is None


def test_a_start_with_pytorch_goes_on_with_it_where_an_export_in_the_cache_cannot_be_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise EncoderUnavailable("The ONNX graphs cannot be written: No space left on device.")

    monkeypatch.setattr(engines, "find_probe", lambda *_: object())
    monkeypatch.setattr(engines, "published_in_cache", lambda *_: True)
    monkeypatch.setattr(engines, "take_published", full)
    monkeypatch.setattr(engines, "_on_torch", lambda *_: "torch")
    assert load_encoder(*OPENAI, device="cpu", cache_dir=tmp_path) == "torch"
    assert "No space left on device. PyTorch is used instead." in caplog.text
    monkeypatch.setattr(engines, "packages_missing", lambda: ["torch"])
    with pytest.raises(EncoderUnavailable, match="No space left"):
        load_encoder(*OPENAI, device="cpu", cache_dir=tmp_path)
