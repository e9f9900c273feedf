"""ONNX Runtime as the engine: PyTorch's vectors without PyTorch, and exports that cannot be trusted."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mirada.adapters.encoders import engines
from mirada.adapters.encoders.engines import load_encoder
from mirada.adapters.encoders.exporting import compare, demo_sample
from mirada.adapters.encoders.exports import MANIFEST_NAME
from mirada.adapters.encoders.pixels import PictureSteps
from mirada.adapters.encoders.tokens import ClipTokenizer, HubTokenizer, in_rows
from mirada.config import BUNDLED_MODEL_DIR, PROJECT_ROOT, Settings
from mirada.kernel.errors import EncoderUnavailable
from mirada.runtime import Runtime
from testing.fresh_python import PYTORCH, Ran, fresh_python

WEIGHTS = "open_clip_model.safetensors"
WEIGHTS_SHA256 = "ffcfd12e844f9ace37406eae58a1e30098f49a2b20e1136ebf3a936e195e14de"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled model that a test may break."""
    copy = tmp_path / "model"
    shutil.copytree(BUNDLED_MODEL_DIR, copy)
    return copy


@pytest.fixture(scope="session")
def torch_encoder() -> Any:
    return load_encoder(str(BUNDLED_MODEL_DIR), engine="torch", device="cpu")


# The bundled model.

MEMORY = """
import numpy as np
from mirada.adapters.encoders.engines import load_chosen
from mirada.config import BUNDLED_MODEL_DIR
from mirada.kernel.heap import give_back_now, give_memory_back
from mirada.model_switch.memory import resident_bytes

def show():
    print(resident_bytes() // 2**20)

give_memory_back()
encoder = load_chosen(
    "bundled", None, bundled=BUNDLED_MODEL_DIR, pinned=None, engine="onnx", device="cpu", cache_dir=None
)
pictures = np.random.default_rng(0).integers(0, 255, (16, 96, 96, 3), dtype=np.uint8)
encoder.encode_images(pictures[:1])
give_back_now()
show()
first = encoder.encode_images(pictures)
show()
give_back_now()
show()
assert (encoder.encode_images(pictures) == first).all()
"""


def test_a_batch_takes_memory_only_until_it_is_given_back() -> None:
    alone, batch, given_back = map(int, fresh_python(MEMORY, PYTORCH).said)
    assert batch - alone > 15
    assert given_back - alone < 5


def test_the_bundled_model_is_run_without_pytorch() -> None:
    code = (
        "import numpy as np\n"
        "from mirada.adapters.encoders.engines import load_encoder\n"
        f"encoder = load_encoder({str(BUNDLED_MODEL_DIR)!r})\n"
        "encoder.encode_texts(['a cat'])\n"
        "encoder.encode_images([np.zeros((9, 9, 3), dtype=np.uint8)])\n"
        "print(type(encoder).__name__)"
    )
    assert fresh_python(code, PYTORCH) == Ran(["OnnxEncoder"], [])


def test_its_vectors_are_pytorchs_on_every_sticker_of_the_demo_and_its_names(
    sticker_encoder: Any, torch_encoder: Any
) -> None:
    sample = demo_sample(PROJECT_ROOT / "demo", 300)
    agreement = compare(torch_encoder, sticker_encoder, sample)
    assert agreement.least_cosine >= 0.99999
    assert agreement.same_top == 1
    assert sticker_encoder.space == torch_encoder.space
    assert sticker_encoder.logit_scale == torch_encoder.logit_scale
    assert sticker_encoder.logit_bias == torch_encoder.logit_bias
    assert sticker_encoder.input_side_px == torch_encoder.input_side_px


@pytest.mark.photos
def test_its_vectors_are_pytorchs_on_photographs(
    sticker_encoder: Any, torch_encoder: Any, photos: list[Path]
) -> None:
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in photos[:80]]
    texts = [path.stem.partition("_")[2].replace("_", " ") for path in photos[:80]]
    agreement = compare(
        torch_encoder,
        sticker_encoder,
        demo_sample(PROJECT_ROOT / "demo", 0)._replace(pictures=pictures, texts=texts),
    )
    assert agreement.least_cosine >= 0.99999
    assert agreement.same_top == 1


def test_its_weights_are_there_once_and_as_they_always_were() -> None:
    digest = hashlib.sha256((BUNDLED_MODEL_DIR / WEIGHTS).read_bytes()).hexdigest()
    assert digest == WEIGHTS_SHA256
    files = [path for path in BUNDLED_MODEL_DIR.rglob("*") if path.is_file()]
    sizes = {path.name: path.stat().st_size for path in files}
    assert sum(path.stat().st_size for path in files) <= 50e6
    # Graphs that point at the weights; with weights of their own they would have 16 and 57 MB.
    assert sizes["image.onnx"] + sizes["text.onnx"] < 300_000


def test_a_text_has_one_vector_whatever_it_is_asked_with(sticker_encoder: Any) -> None:
    texts = ["", "a cat", "um gato preto a dormir " * 9, "猫", "red", "a cat"]
    together = sticker_encoder.encode_texts(texts)
    alone = np.concatenate([sticker_encoder.encode_texts([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together[1], together[5], atol=1e-6)


def test_threads_do_not_spin_and_a_query_has_one(sticker_encoder: Any) -> None:
    for graph in (sticker_encoder._text, sticker_encoder._image):
        options = graph._session._session.get_session_options()
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert sticker_encoder._text._session._session.get_session_options().intra_op_num_threads == 1


def test_pictures_are_computed_with_the_processs_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mirada.adapters.encoders import cores
    from mirada.adapters.encoders.cores import own_threads

    monkeypatch.setattr(cores, "available_cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert own_threads() == 3
    encoder: Any = load_encoder(str(BUNDLED_MODEL_DIR), engine="onnx")
    assert encoder._image._session._session.get_session_options().intra_op_num_threads == 3
    # More threads than cores wait for one another; a hundred thousand end no start.
    for unusable in ("", "0", "many", "²", "5", "100000"):
        monkeypatch.setenv("OMP_NUM_THREADS", unusable)
        assert own_threads() == 4


# Tokens and pixels, which PyTorch's libraries would make.

AWKWARD = (
    "",
    "   ",
    "cat " * 500,
    "c" * 5_000,
    "\x00",
    "half a pair: \ud83d",
    "猫 und Ärger, it's we'll DON'T &amp;lt; ção",
    "<start_of_text> a <END_OF_TEXT> b",
    "İstanbul ſ 123 4.5 🐈‍⬛ _snake_case_!?",
    "schÃ¶n",
)


def awkward_texts() -> list[str]:
    rng = random.Random(7)
    ranges = [(32, 127), (160, 600), (0x4E00, 0x4E90), (0x1F300, 0x1F600), (32, 33)]
    drawn = [
        "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(60)))
        for _ in range(300)
    ]
    return [*AWKWARD, *drawn]


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
@pytest.mark.parametrize("length", [8, 77])
def test_tokens_are_what_openclip_makes(clean: str, length: int) -> None:
    from open_clip.tokenizer import SimpleTokenizer

    texts = awkward_texts()
    expected = SimpleTokenizer(context_length=length, clean=clean)(texts).numpy()
    ours = ClipTokenizer(length, clean)
    np.testing.assert_array_equal(in_rows(ours(texts), length, ours.pad_id), expected)


def test_a_tokenizer_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(EncoderUnavailable, match=r"tokenizer\.json cannot be read"):
        HubTokenizer(tmp_path / "tokenizer.json", 77, 1, "whitespace")
    with pytest.raises(EncoderUnavailable, match="'polish'"):
        ClipTokenizer(77, "polish")


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [80, (64, 96)])
def test_pixels_are_what_openclip_makes(resize_mode: str, interpolation: str, size: Any) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(
        size=size, interpolation=interpolation, resize_mode=resize_mode, fill_color=255
    )
    theirs, ours = image_transform_v2(config, is_train=False), PictureSteps(asdict(config))
    rng = np.random.default_rng(3)
    for shape in ((1, 1), (80, 80), (300, 41), (23, 511), (64, 96), (97, 643), (160, 80)):
        picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        np.testing.assert_array_equal(ours([picture])[0], theirs(Image.fromarray(picture)).numpy())


@pytest.mark.parametrize("wrong", [{"mode": "L"}, {"resize_mode": "fold"}])
def test_steps_that_nobody_knows_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(EncoderUnavailable, match="only RGB and shortest, longest, squash"):
        PictureSteps(wrong)


# Exports that cannot be trusted.


def cut_off(folder: Path) -> None:
    os.truncate(folder / "image.onnx", 50_000)


def missing(folder: Path) -> None:
    (folder / "text.onnx").unlink()


def of_another_model(folder: Path) -> None:
    shutil.copy(folder / "text.onnx", folder / "image.onnx")


def one_bit_flipped(folder: Path) -> None:
    with (folder / "text.onnx").open("r+b") as graph:
        graph.seek(40_000)
        byte = graph.read(1)[0]
        graph.seek(40_000)
        graph.write(bytes([byte ^ 1]))


def of_older_weights(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / WEIGHTS)
    weights["text.ln_final.bias"] = weights["text.ln_final.bias"] + np.float16(1)
    save_file(weights, folder / WEIGHTS)


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST_NAME).read_text())
    return manifest


def write_manifest(folder: Path, **changed: Any) -> None:
    (folder / MANIFEST_NAME).write_text(json.dumps({**manifest_of(folder), **changed}))


def no_json(folder: Path) -> None:
    (folder / MANIFEST_NAME).write_text('{"format": 1, "enc')


def no_manifest_at_all(folder: Path) -> None:
    (folder / MANIFEST_NAME).write_text('{"format": 1, "encoder": "mirada-stickers"}')


def a_list(folder: Path) -> None:
    (folder / MANIFEST_NAME).write_text("[]")


def of_a_later_version(folder: Path) -> None:
    write_manifest(folder, format=2)


def with_another_probe(folder: Path) -> None:
    probe = manifest_of(folder)["probe"]
    a_text = base64.b64decode(probe["texts"])[: 4 * 512]
    write_manifest(folder, probe={**probe, "pictures": base64.b64encode(a_text).decode()})


def with_a_probe_of_nothing(folder: Path) -> None:
    write_manifest(folder, probe={"texts": "", "pictures": ""})


def with_other_files(folder: Path) -> None:
    """Files that are whole, and no graphs of a tower."""
    (folder / "image.onnx").write_bytes(b"<html>Please log in to this network.</html>")
    files = manifest_of(folder)["files"]
    content = (folder / "image.onnx").read_bytes()
    files["image.onnx"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_manifest(folder, files=files)


def with_towers_exchanged(folder: Path) -> None:
    write_manifest(folder, image_graph="text.onnx", text_graph="image.onnx")


def with_a_graph_of_elsewhere(folder: Path) -> None:
    """A file that no digest covers, and that may be anybody's."""
    shutil.copy(folder / "image.onnx", folder.parent / "image.onnx")
    write_manifest(folder, image_graph="../image.onnx")


def with_a_listed_file_of_elsewhere(folder: Path) -> None:
    with_a_graph_of_elsewhere(folder)
    files = manifest_of(folder)["files"]
    write_manifest(folder, files={**files, "../image.onnx": files["image.onnx"]})


def with_a_size_in_words(folder: Path) -> None:
    files = manifest_of(folder)["files"]
    write_manifest(folder, files={**files, "image.onnx": {"bytes": "many", "sha256": "0"}})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut_off, r"image\.onnx is cut off or of another model"),
        (missing, r"text\.onnx cannot be read"),
        (of_another_model, r"image\.onnx is cut off or of another model"),
        (one_bit_flipped, r"text\.onnx is damaged or of another model"),
        (
            of_older_weights,
            "were made from mirada-stickers sha256-ffcfd12e844f, and mirada-stickers",
        ),
        (no_json, r"onnx\.json cannot be read"),
        (no_manifest_at_all, "is not a manifest of graphs"),
        (a_list, "is not a manifest of graphs"),
        (of_a_later_version, "another version's form"),
        (
            with_another_probe,
            r"disagree with the vectors that PyTorch gave: cosine -?0\.\d{4}",
        ),
        (with_a_probe_of_nothing, "disagree with the vectors that PyTorch gave"),
        (with_other_files, r"image\.onnx is not a graph that ONNX Runtime can load"),
        (with_towers_exchanged, "it is not the tower that it should be"),
        (with_a_graph_of_elsewhere, r"the file '\.\./image\.onnx' is not listed"),
        (with_a_listed_file_of_elsewhere, r"the file '\.\./image\.onnx' lies outside the folder"),
        (with_a_size_in_words, "a file has a size and a digest"),
    ],
)
def test_an_export_that_cannot_be_trusted_is_refused_in_one_sentence(
    folder: Path, damage: Callable[[Path], None], says: str
) -> None:
    damage(folder)
    with pytest.raises(EncoderUnavailable, match=says) as refused:
        load_encoder(str(folder), engine="onnx")
    assert "ENCODER_ENGINE=torch" in refused.value.detail
    assert "\n" not in refused.value.detail


@pytest.mark.parametrize(
    "wrong",
    [
        {"logit_scale": "high"},
        {"logit_scale": 0},
        {"logit_bias": None},
        {"dimension": -1},
        {"origin": None},
        {"weights": 5},
        {"preprocessing": []},
        {"preprocessing": {"size": "small"}},
        {"preprocessing": {"size": 10**9}},
        {"preprocessing": {"mean": [0.5, 0.5]}},
        {"tokenizer": []},
        {"tokenizer": {"kind": "clip"}},
        {"tokenizer": {"kind": "clip", "context_length": 10**12, "clean": "lower"}},
        {"tokenizer": {"kind": "clip", "context_length": 77, "clean": "twice"}},
        {"tokenizer": {"kind": "words", "context_length": 77, "clean": "lower"}},
        {"tokenizer": {"kind": "file", "file": "/etc/hostname", "context_length": 77}},
        {"tokenizer": {"kind": "file", "file": "text.onnx", "context_length": 7, "pad_id": 0}},
    ],
    ids=str,
)
def test_a_manifest_of_nonsense_is_refused_and_auto_takes_pytorch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    write_manifest(folder, **wrong)
    with pytest.raises(EncoderUnavailable, match="ENCODER_ENGINE=torch") as refused:
        load_encoder(str(folder), engine="onnx")
    assert "\n" not in refused.value.detail
    monkeypatch.setattr(engines, "_on_torch", lambda *_: "torch")
    assert load_encoder(str(folder), device="cpu") == "torch"


def test_auto_computes_with_pytorch_where_an_export_cannot_be_trusted(
    folder: Path, sticker_encoder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cut_off(folder)
    encoder = load_encoder(str(folder), device="cpu")
    assert encoder.space == sticker_encoder.space
    assert type(encoder).__name__ == "OpenClipEncoder"
    assert "cut off" in caplog.text
    assert "PyTorch is used instead" in caplog.text


def test_without_pytorch_an_export_that_cannot_be_trusted_ends_the_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(folder)
    monkeypatch.setattr(engines, "packages_missing", lambda: ["torch"])
    with pytest.raises(EncoderUnavailable, match="cut off"):
        load_encoder(str(folder))


# Which engine.


def test_auto_takes_the_export_on_a_cpu_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def on_torch(model: str, pretrained: str | None, device: str, *_: Any) -> str:
        asked.append((model, device))
        return "torch"

    monkeypatch.setattr(engines, "_on_torch", on_torch)
    monkeypatch.setattr(engines, "may_have_accelerator", lambda: False)
    assert type(load_encoder(str(folder))).__name__ == "OnnxEncoder"
    assert load_encoder(str(folder), engine="torch") == "torch"
    assert load_encoder(str(folder), device="cuda") == "torch"
    monkeypatch.setattr(engines, "may_have_accelerator", lambda: True)
    assert load_encoder(str(folder)) == "torch"
    assert type(load_encoder(str(folder), device="cpu")).__name__ == "OnnxEncoder"
    assert type(load_encoder(str(folder), engine="onnx")).__name__ == "OnnxEncoder"
    (folder / MANIFEST_NAME).unlink()
    assert load_encoder(str(folder), device="cpu") == "torch"
    assert [device for _, device in asked] == ["auto", "cuda", "auto", "cpu"]


def test_a_model_without_an_export_is_not_run_on_onnx(folder: Path) -> None:
    (folder / MANIFEST_NAME).unlink()
    with pytest.raises(EncoderUnavailable, match="has no ONNX graphs"):
        load_encoder(str(folder), engine="onnx")


def test_onnx_has_no_gpu(folder: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="EMBEDDINGS_DEVICE is cuda"):
        load_encoder(str(folder), engine="onnx", device="cuda")


def test_the_setting_reaches_the_encoder(folder: Path, tmp_path: Path) -> None:
    (folder / MANIFEST_NAME).unlink()
    chosen = {"clip_model": str(folder), "encoder_engine": "onnx"}
    runtime = Runtime(Settings.from_env(data_dir=tmp_path / "data", **chosen))
    runtime.migrate()
    try:
        with pytest.raises(EncoderUnavailable, match="has no ONNX graphs"):
            runtime.encoder  # noqa: B018 - the first use loads the weights
    finally:
        runtime.close()
