"""The bundled encoder's tower for photographs: stickers as before, both engines, files that do not fit."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mirada.adapters.encoders import engines, photographs
from mirada.adapters.encoders.engines import load_encoder
from mirada.adapters.encoders.exporting import compare, demo_sample
from mirada.adapters.encoders.exports import ExportRefused
from mirada.adapters.encoders.photographs import joined, on_onnx
from mirada.config import BUNDLED_MODEL_DIR, PROJECT_ROOT
from mirada.kernel.errors import EncoderUnavailable, InvalidInput
from mirada.kernel.images import RgbImage
from mirada.kernel.nsfw import SAFE_PROMPTS, UNSAFE_PROMPTS, nsfw_score
from testing.fresh_python import PYTORCH, Ran, fresh_python

PHOTOS = Path(__file__).with_name("photographs")
FOLDER = BUNDLED_MODEL_DIR / "photos"
WEIGHTS, GRAPH, MANIFEST = "photo_tower.safetensors", "photo_tower.onnx", "photos.json"


def photograph(name: str) -> RgbImage:
    with Image.open(PHOTOS / name) as opened:
        return np.asarray(opened.convert("RGB"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the tower's folder, beside the sticker model, that a test may break."""
    shutil.copytree(BUNDLED_MODEL_DIR, tmp_path / "model")
    return tmp_path / "model" / "photos"


@pytest.fixture(scope="session")
def torch_encoder() -> Any:
    return load_encoder(str(FOLDER), engine="torch", device="cpu")


def test_drawn_stickers_have_the_vectors_that_the_sticker_model_gives(
    bundled_encoder: Any, sticker_encoder: Any
) -> None:
    sample = demo_sample(PROJECT_ROOT / "demo", 300)
    both = bundled_encoder.encode_images(sample.pictures)
    alone = sticker_encoder.encode_images(sample.pictures)
    same = (both == alone).all(axis=1)
    assert same.mean() >= 0.96
    # The rest is partly a photograph to the gate, and still near to what it was.
    assert (both * alone).sum(axis=1).min() > 0.3
    np.testing.assert_array_equal(
        bundled_encoder.encode_texts(sample.texts[:9]),
        sticker_encoder.encode_texts(sample.texts[:9]),
    )


def test_its_space_is_another_one_than_the_sticker_models(
    bundled_encoder: Any, sticker_encoder: Any
) -> None:
    both, alone = bundled_encoder.space, sticker_encoder.space
    assert (both.encoder, alone.encoder) == ("mirada-stickers-photos", "mirada-stickers")
    assert both.pretrained != alone.pretrained
    assert both.preprocessing.startswith(f"{alone.preprocessing}+")
    assert both.dimension == alone.dimension
    assert len(both.preprocessing) <= 100
    assert bundled_encoder.logit_scale == sticker_encoder.logit_scale
    assert bundled_encoder.input_side_px == 160


@pytest.mark.parametrize(
    ("name", "words", "others"),
    [
        ("coffee.jpg", ("coffee", "café"), ("dog", "mesa", "avión", "tree", "castle", "sapato")),
        ("chelsea.jpg", ("cat", "gato"), ("dog", "mesa", "avión", "tree", "castle", "sapato")),
    ],
)
def test_a_photograph_is_found_by_its_name(
    bundled_encoder: Any, name: str, words: tuple[str, ...], others: tuple[str, ...]
) -> None:
    (vector,) = bundled_encoder.encode_images([photograph(name)])
    (share,) = bundled_encoder.photo_shares([photograph(name)])
    assert share > 0.5
    right, wrong = (bundled_encoder.encode_texts(texts) @ vector for texts in (words, others))
    assert right.min() > wrong.max() + 0.1


def test_both_engines_give_the_same_vectors(bundled_encoder: Any, torch_encoder: Any) -> None:
    photos = [photograph("coffee.jpg"), photograph("chelsea.jpg")]
    crops = [photo[at : at + 120, at : at + 150] for photo in photos for at in (0, 20, 40)]
    stickers = demo_sample(PROJECT_ROOT / "demo", 60)
    sample = stickers._replace(pictures=[*stickers.pictures, *photos, *crops])
    agreement = compare(torch_encoder, bundled_encoder, sample)
    assert agreement.least_cosine >= 0.9999
    assert agreement.same_top == 1
    assert torch_encoder.space == bundled_encoder.space


@pytest.mark.photos
def test_both_engines_give_the_same_vectors_on_photographs(
    bundled_encoder: Any, torch_encoder: Any, photos: list[Path]
) -> None:
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in photos[:60]]
    texts = [path.stem.partition("_")[2].replace("_", " ") for path in photos[:60]]
    sample = demo_sample(PROJECT_ROOT / "demo", 0)._replace(pictures=pictures, texts=texts)
    agreement = compare(torch_encoder, bundled_encoder, sample)
    assert agreement.least_cosine >= 0.9999
    assert agreement.same_top == 1


@pytest.mark.photos
def test_harmless_photographs_are_photographs_and_not_called_unsafe(
    bundled_encoder: Any, photos: list[Path]
) -> None:
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in photos]
    assert (bundled_encoder.photo_shares(pictures) >= 0.5).mean() >= 0.85
    unsafe, safe = map(bundled_encoder.encode_texts, (UNSAFE_PROMPTS, SAFE_PROMPTS))
    scale = bundled_encoder.logit_scale
    scores = [
        nsfw_score(unsafe @ vector, safe @ vector, scale)
        for vector in bundled_encoder.encode_images(pictures)
    ]
    assert sum(score >= 0.5 for score in scores) <= 1


def test_it_is_run_without_pytorch() -> None:
    code = (
        "import numpy as np\n"
        "from mirada.adapters.encoders.engines import load_encoder\n"
        f"encoder = load_encoder({str(FOLDER)!r})\n"
        "encoder.encode_images([np.zeros((9, 9, 3), dtype=np.uint8)])\n"
        "print(type(encoder).__name__)"
    )
    assert fresh_python(code, PYTORCH) == Ran(["PictureEncoder"], [])


def test_a_picture_has_one_vector_alone_and_in_a_batch(bundled_encoder: Any) -> None:
    pictures = [photograph("coffee.jpg"), photograph("chelsea.jpg")] * 10
    together = bundled_encoder.encode_images(pictures)
    alone = np.concatenate([bundled_encoder.encode_images([one]) for one in pictures[:2]])
    np.testing.assert_allclose(together[:2], alone, atol=1e-5)
    np.testing.assert_allclose(together[18:], alone, atol=1e-5)
    assert bundled_encoder.encode_images([]).shape == (0, 512)
    with pytest.raises(InvalidInput, match="Picture 1"):
        bundled_encoder.encode_images([pictures[0], np.zeros((4, 4), dtype=np.uint8)])


def test_both_are_joined_by_the_share_of_photograph() -> None:
    stickers = np.eye(4, dtype=np.float32)[:3]
    photos = np.array([[0, 0, 0, 1, 0], [0, 0, 0, 1, 0.5], [0, 0, 0, 1, 1]], dtype=np.float32)
    vectors = joined(stickers, photos)
    half = np.sqrt(0.5)
    np.testing.assert_array_equal(vectors[0], stickers[0])
    np.testing.assert_allclose(vectors[1:], [[0, half, 0, half], [0, 0, 0, 1]], atol=1e-6)
    with pytest.raises(EncoderUnavailable, match="no numbers"):
        joined(stickers, np.full_like(photos, np.nan))


def test_the_folder_holds_its_weights_once_and_the_stickers_weights_as_they_were() -> None:
    sizes = {path: path.stat().st_size for path in BUNDLED_MODEL_DIR.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= 50e6
    assert sizes[FOLDER / GRAPH] < 300_000
    assert 8e6 < sizes[FOLDER / WEIGHTS] < 13e6
    stickers = (BUNDLED_MODEL_DIR / "open_clip_model.safetensors").read_bytes()
    assert json.loads((FOLDER / MANIFEST).read_text())["stickers"] == (
        f"sha256-{hashlib.sha256(stickers).hexdigest()[:12]}"
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def one_byte_changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("name", [WEIGHTS, GRAPH])
@pytest.mark.parametrize("damage", [cut, one_byte_changed, Path.unlink])
def test_a_damaged_file_is_refused(folder: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(folder / name)
    with pytest.raises(EncoderUnavailable, match=name):
        load_encoder(str(folder), device="cpu")


@pytest.mark.parametrize(
    "manifest", ["", "{}", "[]", '{"format": 2}', '{"format": 1, "name": "x"}']
)
def test_a_manifest_that_is_none_is_refused(folder: Path, manifest: str) -> None:
    (folder / MANIFEST).write_text(manifest)
    with pytest.raises(EncoderUnavailable, match="Fetch the folder again"):
        load_encoder(str(folder), device="cpu")


def changed(folder: Path, **values: Any) -> None:
    """Write other values into the manifest."""
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_tower_for_another_sticker_model_is_refused(folder: Path) -> None:
    changed(folder, stickers="sha256-000000000000")
    with pytest.raises(EncoderUnavailable, match="made for the sticker model sha256-000000000000"):
        load_encoder(str(folder), device="cpu")


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_tower_that_disagrees_with_its_probe_is_refused(folder: Path, engine: str) -> None:
    import base64

    other = np.zeros(513, dtype="<f4")
    other[0] = 1
    changed(folder, probe=base64.b64encode(other.tobytes()).decode())
    encoder = load_encoder(str(folder), engine=engine, device="cpu")
    assert encoder.encode_texts(["a cat"]).shape == (1, 512)
    for _ in range(2):
        with pytest.raises(EncoderUnavailable, match="disagrees"):
            encoder.encode_images([photograph("coffee.jpg")])


def test_auto_takes_pytorch_where_the_graph_of_the_tower_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(*_: Any) -> Any:
        raise ExportRefused("photo_tower.onnx cannot be loaded.")

    known = load_encoder(str(folder), engine="onnx", device="cpu")
    pictures = [photograph("coffee.jpg")]
    expected = known.encode_images(pictures)
    monkeypatch.setattr(engines, "on_onnx", refuses)
    encoder = load_encoder(str(folder), device="cpu")
    assert (encoder.encode_images(pictures) * expected).sum() > 0.9999
    assert "cannot be loaded. PyTorch is used instead." in caplog.text
    with pytest.raises(ExportRefused):
        load_encoder(str(folder), engine="onnx", device="cpu").encode_images(pictures)


def test_words_do_not_open_the_tower_and_pictures_open_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, given_back = [], []

    def open_photos(*arguments: Any) -> Any:
        opened.append(arguments)
        return on_onnx(*arguments)

    monkeypatch.setattr(engines, "on_onnx", open_photos)
    monkeypatch.setattr(photographs, "give_back_now", lambda: given_back.append(len(opened)))
    encoder = load_encoder(str(FOLDER), engine="onnx", device="cpu")
    encoder.encode_texts(["a cat"])
    assert opened == []
    for _ in range(2):
        encoder.encode_images([photograph("coffee.jpg")])
    assert len(opened) == 1
    # Of what loading has used, 15 MB are free.
    assert given_back == [1]
