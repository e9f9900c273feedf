"""`mirada models export`: graphs of any OpenCLIP model, checked against PyTorch before they are kept."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirada.adapters.encoders import exporting, int8, model_exports
from mirada.adapters.encoders.engines import load_encoder
from mirada.adapters.encoders.export_places import work_folder
from mirada.adapters.encoders.exporting import Agreement, Sample, compare
from mirada.adapters.encoders.exports import MANIFEST_NAME, Export
from mirada.adapters.encoders.model_exports import export_int8, export_model
from mirada.adapters.encoders.naming import NamedModel, named_model
from mirada.config import BUNDLED_MODEL_DIR, PROJECT_ROOT
from mirada.kernel.errors import EncoderUnavailable
from mirada.runtime import Runtime
from testing.console import run_command
from testing.patience import PATIENCE_S
from testing.small_models import SMALL, cache_small, write_folder, write_roberta

DEMO = PROJECT_ROOT / "demo"
TEXTS = ("", "a", "a cat", "a cat and a dog and a cat", "dog " * 40, "猫", "cat, dog!")


@pytest.fixture(autouse=True)
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare on a few things of the demo: the models here are as small as can be."""
    demo_sample = exporting.demo_sample
    monkeypatch.setattr(model_exports, "demo_sample", lambda demo: demo_sample(demo, 12))


def drawn(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (20 + n, 33, 3), dtype=np.uint8) for n in range(count)]


def agreement_of(model: str, tag: str | None = None, cache_dir: Path | None = None) -> Agreement:
    """Return how far the two engines agree on pictures and texts that the export did not see."""
    encoders = [
        load_encoder(model, tag, engine=engine, device="cpu", cache_dir=cache_dir)
        for engine in ("torch", "onnx")
    ]
    assert encoders[0].space == encoders[1].space
    assert encoders[0].logit_scale == encoders[1].logit_scale
    assert encoders[0].logit_bias == encoders[1].logit_bias
    return compare(encoders[0], encoders[1], Sample(drawn(20), TEXTS))


def export_of(folder: Path) -> Export:
    export = Export.read(folder)
    assert export is not None
    return export


# What is made.


def test_a_model_by_name_is_exported_beside_its_weights_which_are_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = cache_small(tmp_path, monkeypatch)
    made = export_model("Small", "v1", cache_dir=tmp_path, demo=DEMO)

    assert made.folder == tmp_path / "onnx" / "Small--v1"
    assert made.agreement.least_cosine >= 0.9999
    assert made.agreement.same_top == 1
    assert agreement_of("Small", "v1", tmp_path).least_cosine >= 0.99999
    assert (made.folder / "open_clip_model.safetensors").samefile(blob)
    export = export_of(made.folder)
    assert export.weights == blob.name
    assert export.origin["repository"] == "ours/small"
    assert not list(made.folder.glob(".export-*"))
    # The graphs are whole without the hub's copy.
    encoder = load_encoder("Small", "v1", engine="auto", device="cpu", cache_dir=tmp_path)
    assert type(encoder).__name__ == "OnnxEncoder"


@pytest.mark.parametrize("weights", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_a_text_tower_of_transformers_is_trimmed_and_its_tokenizer_kept(
    tmp_path: Path, weights: str
) -> None:
    write_roberta(tmp_path, weights)
    export_model(str(tmp_path), None, cache_dir=None, demo=DEMO)
    export = export_of(tmp_path)
    assert export.is_trimmed
    assert export.tokenizer["kind"] == "file"
    assert ("image.weights" in export.files) == weights.endswith(".bin")
    assert agreement_of(str(tmp_path)).least_cosine >= 0.99999


@pytest.mark.parametrize(
    ("text", "is_trimmed"),
    [
        ({}, True),
        ({"no_causal_mask": True}, False),
        ({"pool_type": "last", "no_causal_mask": True}, False),
        ({"embed_cls": True}, False),
        ({"proj_bias": True}, True),
    ],
    ids=["causal", "not causal", "last token", "class token", "projection with bias"],
)
def test_texts_are_trimmed_only_where_the_vector_stays_the_same(
    tmp_path: Path, text: dict[str, Any], is_trimmed: bool
) -> None:
    config = {**SMALL, "text_cfg": {**SMALL["text_cfg"], **text}, "custom_text": bool(text)}
    write_folder(tmp_path, config)
    export_model(str(tmp_path), None, cache_dir=None, demo=DEMO)
    assert export_of(tmp_path).is_trimmed == is_trimmed
    assert agreement_of(str(tmp_path)).least_cosine >= 0.99999


# Weights of 8 bits.


def test_8_bits_have_a_space_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_small(tmp_path, monkeypatch)
    with pytest.raises(EncoderUnavailable, match="has no 8-bit graphs"):
        load_encoder("Small", "v1+int8", device="cpu", cache_dir=tmp_path)

    made = export_int8("Small", "v1", cache_dir=tmp_path, demo=DEMO)

    assert made.folder == tmp_path / "onnx" / "Small--v1+int8"
    exact = load_encoder("Small", "v1", engine="onnx", cache_dir=tmp_path)
    small = load_encoder("Small", "v1+int8", engine="torch", cache_dir=tmp_path)
    assert small.space.name == made.space
    assert small.space == replace(exact.space, pretrained="v1+int8")
    pictures = drawn(9)
    cosines = (small.encode_images(pictures) * exact.encode_images(pictures)).sum(axis=1)
    assert 0.97 < cosines.mean() < 0.99999
    own = NamedModel("Small", "v1+int8", "Small", "v1+int8")
    assert named_model("Small", "v1+int8", BUNDLED_MODEL_DIR, tmp_path) == own
    # The same folder, by its path: as on a machine that it was copied to.
    by_path = named_model(str(made.folder), None, BUNDLED_MODEL_DIR, tmp_path)
    assert (by_path.encoder, by_path.pretrained) == ("Small", "v1+int8")
    copied = load_encoder(str(made.folder.rename(tmp_path / "copied")))
    assert copied.space == small.space
    # The scale of a run's numbers must not depend on what else is in it.
    together = copied.encode_images(pictures)
    alone = np.concatenate([copied.encode_images([picture]) for picture in pictures])
    np.testing.assert_array_equal(together, alone)
    texts = [copied.encode_texts([text])[0] for text in TEXTS]
    np.testing.assert_array_equal(copied.encode_texts(TEXTS), texts)


def test_a_text_tower_of_transformers_has_8_bits_too(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    write_roberta(tmp_path / "tiny")
    made = export_int8(str(tmp_path / "tiny"), None, cache_dir=tmp_path, demo=DEMO)
    exact, small = (load_encoder(str(folder)) for folder in (tmp_path / "tiny", made.folder))
    assert (exact.encode_texts(TEXTS) * small.encode_texts(TEXTS)).sum(axis=1).mean() > 0.97


def test_8_bits_that_mean_something_else_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_small(tmp_path, monkeypatch)
    monkeypatch.setattr(int8, "LEAST_MEAN_COSINE", 1.01)
    with pytest.raises(EncoderUnavailable, match="With 8 bits Small v1 gives other vectors"):
        export_int8("Small", "v1", cache_dir=tmp_path, demo=DEMO)
    assert Export.read(tmp_path / "onnx" / "Small--v1+int8") is None


def test_8_bits_that_cannot_be_made_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("[ONNXRuntimeError] : No space left on device\nat some line of C++")

    cache_small(tmp_path, monkeypatch)
    monkeypatch.setattr("onnxruntime.quantization.quantize_dynamic", full)
    says = r"image\.onnx cannot be made into an 8-bit graph: .*: No space left on device\. Nothing"
    with pytest.raises(EncoderUnavailable, match=says):
        export_int8("Small", "v1", cache_dir=tmp_path, demo=DEMO)
    assert list((tmp_path / "onnx" / "Small--v1+int8").iterdir()) == []


def test_8_bits_whose_vectors_are_others_on_this_machine_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_small(tmp_path, monkeypatch)
    folder = export_int8("Small", "v1", cache_dir=tmp_path, demo=DEMO).folder
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    manifest["probe"] = json.loads((tmp_path / "onnx" / "Small--v1" / MANIFEST_NAME).read_text())[
        "probe"
    ]
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(EncoderUnavailable, match="disagree with the vectors"):
        load_encoder("Small", "v1+int8", cache_dir=tmp_path)


# What is refused.


def test_an_export_of_weights_that_were_replaced_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_small(tmp_path, monkeypatch)
    export_model("Small", "v1", cache_dir=tmp_path, demo=DEMO)
    cache_small(tmp_path, monkeypatch, seed=1)
    with pytest.raises(EncoderUnavailable, match="made from other weights than the ones"):
        load_encoder("Small", "v1", engine="onnx", cache_dir=tmp_path)
    export_model("Small", "v1", cache_dir=tmp_path, demo=DEMO)
    assert agreement_of("Small", "v1", tmp_path).least_cosine >= 0.99999


def test_an_export_that_was_copied_from_another_models_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_small(tmp_path, monkeypatch)
    folder = export_model("Small", "v1", cache_dir=tmp_path, demo=DEMO).folder
    folder.rename(folder.with_name("ViT-B-32--openai"))
    with pytest.raises(
        EncoderUnavailable, match=r"made from Small v1, and ViT-B-32 openai is asked"
    ):
        load_encoder("ViT-B-32", "openai", engine="onnx", cache_dir=tmp_path)


def other_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "compare", lambda *_: Agreement(0.9998, 1.0))


def another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "compare", lambda *_: Agreement(0.99999, 0.99))


def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporting, "point_at_weights", full)


def an_unknown_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("aten::fold is not supported")

    monkeypatch.setattr(exporting, "export_tower", fails)


def another_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "in_rows", lambda *_: np.zeros((4, 77), dtype=np.int64))


def no_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_vectors, r"do not give PyTorch's vectors: cosine 0\.99980.*They are not kept"),
        (another_order, r"the same ten nearest for 99\.0% of texts\. They are not kept"),
        (no_room, r"graphs cannot be written to .*: No space left on device\."),
        (an_unknown_operator, "cannot be made into ONNX graphs: aten::fold is not supported"),
        (another_tokenizer, "a tokenizer that needs PyTorch's libraries"),
        (no_onnx, "needs "),
    ],
)
def test_what_cannot_be_exported_leaves_what_was_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
    says: str,
) -> None:
    write_folder(tmp_path, SMALL)
    export_model(str(tmp_path), None, cache_dir=None, demo=DEMO)
    before = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    }
    change(monkeypatch)
    with pytest.raises(EncoderUnavailable, match=says):
        export_model(str(tmp_path), None, cache_dir=None, demo=DEMO)
    after = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    }
    assert after == before


def test_what_a_killed_export_left_is_deleted_by_the_next_one(tmp_path: Path) -> None:
    killed = tmp_path / ".export-killed"
    killed.mkdir()
    (killed / "image.weights").write_bytes(b"half of it")
    with work_folder(tmp_path) as work:
        assert not killed.exists()
        (work / "image.onnx").write_bytes(b"")
    assert list(tmp_path.iterdir()) == []


def test_of_two_exports_at_once_the_second_waits_for_its_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def second() -> None:
        with work_folder(tmp_path):
            done.append("second")

    thread = threading.Thread(target=second)
    with work_folder(tmp_path) as work:
        thread.start()
        thread.join(0.3)
        # It has not deleted what is being made.
        assert work.is_dir()
        done.append("first")
    thread.join(PATIENCE_S)
    assert done == ["first", "second"]
    assert "Another process makes graphs" in caplog.text


def test_the_command_says_what_it_made(
    make_runtime: Callable[..., Runtime], tmp_path: Path
) -> None:
    write_folder(tmp_path / "ours", SMALL)
    runtime = make_runtime(clip_model=str(tmp_path / "ours"))
    ran = run_command(runtime, "models", "export")
    assert ran.exit_code == 0, ran.output
    said = " ".join(ran.output.split())
    assert "cosine at least 1.00000 for 12 pictures and 36 texts" in said
    manifest = json.loads((tmp_path / "ours" / MANIFEST_NAME).read_text())
    assert manifest["encoder"] == "small"
    refused = run_command(runtime, "models", "export", str(tmp_path / "nowhere"))
    assert refused.exit_code == 1
    assert "There is no model folder" in refused.output
