"""OpenCLIP models on both engines: vectors, bad input, bad weights, devices; mostly the bundled model."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mirada.config import BUNDLED_MODEL_DIR, PROJECT_ROOT
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.errors import EncoderUnavailable, InvalidInput
from testing.pictures import pixels
from testing.small_models import cache_small

WEIGHTS = "open_clip_model.safetensors"


def drawn(seed: int, size: tuple[int, int] = (96, 80)) -> np.ndarray:
    return np.asarray(pixels(seed, size).convert("RGB"))


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first.astype(np.float64) * second).sum(axis=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled model that a test may break."""
    copy = tmp_path / "model"
    shutil.copytree(BUNDLED_MODEL_DIR, copy)
    return copy


def load(*args: Any, **kwargs: Any) -> Any:
    from mirada.adapters.encoders.openclip import OpenClipEncoder

    return OpenClipEncoder.load(*args, **kwargs)


@pytest.fixture(scope="session")
def torch_encoder() -> Any:
    """The bundled model on PyTorch, loaded once."""
    return load(str(BUNDLED_MODEL_DIR), device="cpu")


@pytest.fixture(params=["onnx", "torch"])
def either_encoder(request: pytest.FixtureRequest, sticker_encoder: Any) -> Any:
    """The bundled model on each engine."""
    return sticker_encoder if request.param == "onnx" else request.getfixturevalue("torch_encoder")


# Vectors.


def test_both_towers_return_float32_unit_rows_of_one_space(either_encoder: Any) -> None:
    images = either_encoder.encode_images([drawn(seed) for seed in range(3)])
    texts = either_encoder.encode_texts(["a cat", "um gato", "un gato"])
    for vectors in (images, texts):
        assert vectors.shape == (3, 512)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    space = either_encoder.space
    assert (space.kind, space.encoder, space.dimension) == (SpaceKind.IMAGE, "mirada-stickers", 512)
    assert space.pretrained.startswith("sha256-")
    assert len(space.name) <= 191


def test_vectors_equal_what_open_clip_gives_directly(either_encoder: Any) -> None:
    import open_clip
    import torch

    source = f"local-dir:{BUNDLED_MODEL_DIR}"
    model, _, transform = open_clip.create_model_and_transforms(source)
    tokenizer = open_clip.get_tokenizer(source)
    model.eval()
    sizes = [(96, 80), (300, 40), (17, 211), (56, 56), (3, 3)]
    pictures = [drawn(seed, size) for seed, size in enumerate(sizes)]
    words = ["a red heart", "um coração vermelho", "someone crying of laughter"]
    with torch.inference_mode():
        batch = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])
        images = model.encode_image(batch, normalize=True).numpy()
        texts = model.encode_text(tokenizer(words), normalize=True).numpy()
        scale = model.logit_scale.exp().item()
    assert cosines(either_encoder.encode_images(pictures), images).min() > 0.99999
    assert cosines(either_encoder.encode_texts(words), texts).min() > 0.99999
    assert either_encoder.logit_scale == pytest.approx(scale)
    assert either_encoder.logit_bias == 0.0


def test_a_picture_has_one_vector_alone_in_a_batch_and_again(either_encoder: Any) -> None:
    pictures = [drawn(seed) for seed in range(40)]
    together = either_encoder.encode_images(pictures)
    alone = np.concatenate([either_encoder.encode_images([p]) for p in pictures[:6]])
    assert cosines(together[:6], alone).min() >= 0.9999
    np.testing.assert_array_equal(together, either_encoder.encode_images(pictures))


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_another_process_with_one_thread_gives_the_same_vectors(
    sticker_encoder: Any, engine: str
) -> None:
    code = (
        "import json, sys\n"
        "from mirada.adapters.encoders.engines import load_encoder\n"
        "from tests.adapters.test_openclip_encoder import drawn\n"
        f"encoder = load_encoder({str(BUNDLED_MODEL_DIR)!r}, engine={engine!r}, device='cpu')\n"
        "images = encoder.encode_images([drawn(seed) for seed in range(3)])\n"
        "texts = encoder.encode_texts(['a cat', 'um gato'])\n"
        "print(json.dumps([encoder.space.name, images.tolist(), texts.tolist()]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    name, images, texts = json.loads(ran.stdout)
    assert name == sticker_encoder.space.name
    here = sticker_encoder.encode_images([drawn(seed) for seed in range(3)])
    assert cosines(here, np.array(images)).min() >= 0.9999
    assert (
        cosines(sticker_encoder.encode_texts(["a cat", "um gato"]), np.array(texts)).min() >= 0.9999
    )


@pytest.mark.parametrize(
    "change", [{"resize_mode": "squash"}, {"mean": [0.1, 0.2, 0.3]}, {"interpolation": "bilinear"}]
)
def test_preprocessing_is_what_the_model_says_of_itself(
    either_encoder: Any, folder: Path, change: dict[str, Any]
) -> None:
    import open_clip
    import torch

    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["preprocess_cfg"].update(change)
    path.write_text(json.dumps(config))
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    picture = drawn(0, (96, 40))
    with torch.inference_mode():
        batch = transform(Image.fromarray(picture))[None]
        expected = model.eval().encode_image(batch, normalize=True).numpy()

    encoder = load(str(folder), device="cpu")

    assert cosines(encoder.encode_images([picture]), expected).min() > 0.99999
    assert cosines(either_encoder.encode_images([picture]), expected).min() < 0.9999
    assert encoder.space.preprocessing != either_encoder.space.preprocessing


def test_the_bundled_model_finds_a_drawn_sticker_by_its_name(either_encoder: Any) -> None:
    listed = json.loads((PROJECT_ROOT / "demo" / "stickers.json").read_text())["stickers"]
    pictures = []
    for sticker in listed:
        with Image.open(PROJECT_ROOT / "demo" / sticker["file"]) as sticker_file:
            rgba = sticker_file.convert("RGBA")
            white = Image.new("RGBA", rgba.size, "white")
            pictures.append(np.asarray(Image.alpha_composite(white, rgba).convert("RGB")))
    vectors = either_encoder.encode_images(pictures)
    for language in ("en", "pt", "es"):
        names = either_encoder.encode_texts([sticker["names"][language] for sticker in listed])
        scores = names @ vectors.T
        rank = (scores > np.diag(scores)[:, None]).sum(axis=1)
        assert (rank < 10).mean() > 0.9, language  # chance: 0.03


@pytest.mark.photos
def test_a_changed_photograph_finds_its_original(either_encoder: Any, photos: list[Path]) -> None:
    originals = [Image.open(path).convert("RGB") for path in photos]

    def middle(photo: Image.Image) -> Image.Image:
        width, height = photo.size
        return photo.crop((width // 10, height // 10, width * 9 // 10, height * 9 // 10))

    def corner(photo: Image.Image) -> Image.Image:
        return photo.crop((0, 0, photo.width * 8 // 10, photo.height * 8 // 10))

    def other_corner(photo: Image.Image) -> Image.Image:
        width, height = photo.size
        return photo.crop((width * 2 // 10, height * 2 // 10, width, height))

    def recompressed(photo: Image.Image) -> Image.Image:
        out = io.BytesIO()
        photo.save(out, "JPEG", quality=30)
        return Image.open(io.BytesIO(out.getvalue()))

    def small(photo: Image.Image) -> Image.Image:
        return photo.resize((max(1, photo.width // 2), max(1, photo.height // 2)))

    gallery = either_encoder.encode_images([np.asarray(photo) for photo in originals])
    least = {middle: 0.95, corner: 0.9, other_corner: 0.9, recompressed: 0.95, small: 0.95}
    for change, share in least.items():
        changed = either_encoder.encode_images([np.asarray(change(p)) for p in originals])
        found = (changed @ gallery.T).argmax(axis=1) == np.arange(len(originals))
        assert found.mean() >= share, change.__name__


# Input at the edges.


def test_nothing_in_gives_nothing_out(either_encoder: Any) -> None:
    assert either_encoder.encode_images([]).shape == (0, 512)
    assert either_encoder.encode_texts([]).shape == (0, 512)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 16_384, 3), (16_384, 1, 3), (2, 700, 3)])
def test_tiny_and_thin_pictures_have_a_vector(
    either_encoder: Any, shape: tuple[int, int, int]
) -> None:
    vectors = either_encoder.encode_images([np.full(shape, 90, dtype=np.uint8)])
    assert vectors.shape == (1, 512)
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((0, 4, 3), dtype=np.uint8),
        np.zeros((4, 4), dtype=np.uint8),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((4, 4, 3), dtype=np.float32),
        "a path",
    ],
)
def test_what_is_no_rgb_picture_is_refused_by_its_position(either_encoder: Any, wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="Picture 1"):
        either_encoder.encode_images([drawn(0), wrong])


def test_empty_and_endless_texts_have_a_vector(either_encoder: Any) -> None:
    texts = ["", "   ", "cat " * 50_000, "c" * 50_000, "\x00", "half a pair: \ud83d", "猫", "🐈"]
    vectors = either_encoder.encode_texts(texts)
    assert vectors.shape == (len(texts), 512)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize(
    "broken", [RuntimeError("CUDA out of memory"), float("nan"), 0.0], ids=["memory", "nan", "zero"]
)
def test_a_device_that_fails_is_the_machines_fault_and_not_the_pictures(
    either_encoder: Any, monkeypatch: pytest.MonkeyPatch, broken: Any
) -> None:
    import torch

    def tower(*asked: Any) -> Any:
        if isinstance(broken, Exception):
            raise broken
        return (
            torch.full((1, 512), broken)
            if hasattr(either_encoder, "model")
            else (np.full((1, 512), broken),)
        )

    if hasattr(either_encoder, "model"):
        monkeypatch.setattr(either_encoder.model, "encode_image", tower)
    else:
        monkeypatch.setattr(either_encoder._image, "_session", SimpleNamespace(run=tower))
    with pytest.raises(EncoderUnavailable, match="failed on cpu"):
        either_encoder.encode_images([drawn(0)])


# Weights that are not there, or not right.


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="no model folder"):
        load(str(tmp_path / "nowhere"))


def test_a_folder_without_configuration_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="open_clip_config"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "does not describe a model"),
        ("{}", "does not describe a model"),
        ('{"model_cfg": 3}', "does not describe a model"),
        ('{"model_cfg": {"vision_cfg": {}}}', "does not describe a model"),
        ('{"model_cfg": {"vision_cfg": {}, "text_cfg": 1}}', "does not describe a model"),
    ],
)
def test_a_configuration_that_is_none_is_said_so(folder: Path, text: str, says: str) -> None:
    (folder / "open_clip_config.json").write_text(text)
    with pytest.raises(EncoderUnavailable, match=says):
        load(str(folder))


def test_missing_weights_are_never_replaced_by_random_ones(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    with pytest.raises(EncoderUnavailable, match="no weights"):
        load(str(folder))


def cut(weights: Path) -> None:
    os.truncate(weights, weights.stat().st_size // 2)


def emptied(weights: Path) -> None:
    os.truncate(weights, 0)


def overwritten(weights: Path) -> None:
    weights.write_text("<html>Please log in to this network.</html>")


@pytest.mark.parametrize("name", [WEIGHTS, "open_clip_pytorch_model.bin"])
@pytest.mark.parametrize("damage", [cut, emptied, overwritten])
def test_damaged_weights_are_called_damaged(
    folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    import torch
    from safetensors.torch import load_file

    if name != WEIGHTS:
        torch.save(load_file(folder / WEIGHTS), folder / name)
        (folder / WEIGHTS).unlink()
    damage(folder / name)
    with pytest.raises(EncoderUnavailable, match="damaged"):
        load(str(folder))


def test_weights_that_lack_a_layer_do_not_fit(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / WEIGHTS)
    weights.pop(next(n for n in weights if n.startswith("visual.") and n.endswith(".weight")))
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(EncoderUnavailable, match="do not fit"):
        load(str(folder))


def test_weights_of_another_shape_do_not_fit(folder: Path) -> None:
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["vision_cfg"]["timm_model_name"] = "resnet18"
    path.write_text(json.dumps(config))
    with pytest.raises(EncoderUnavailable, match="do not fit"):
        load(str(folder))


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    for pretrained in ("laion2b_s34b_b79k", str(BUNDLED_MODEL_DIR / WEIGHTS)):
        with pytest.raises(InvalidInput, match="ViT-B-32"):
            load("ViT-B-23", pretrained)


def test_an_unknown_tag_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="laion2b_s34b_b79k"):
        load("ViT-B-32", "laion3b")
    with pytest.raises(InvalidInput, match="none was chosen"):
        load("ViT-B-32")


def test_weights_that_are_not_cached_are_not_fetched_unasked(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="not in the cache"):
        load("ViT-B-32", "laion2b_s34b_b79k", cache_dir=tmp_path, allow_download=False)


# Weights by name.


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache that holds the weights "v1" of "Small", which OpenCLIP knows as if it shipped it."""
    cache_small(tmp_path, monkeypatch)
    return tmp_path


def test_a_model_by_name_and_tag_computes_as_its_tag_says(small: Path) -> None:
    import open_clip
    import torch

    encoder = load("Small", "v1", device="cpu", cache_dir=small, allow_download=False)

    assert encoder.space.name.startswith("image:Small:v1:openclip-16-bicubic-")
    model, _, transform = open_clip.create_model_and_transforms(
        "Small", "v1", cache_dir=str(small), force_quick_gelu=True
    )
    picture = drawn(0)
    with torch.inference_mode():
        batch = transform(Image.fromarray(picture))[None]
        expected = model.eval().encode_image(batch, normalize=True).numpy()
    np.testing.assert_allclose(encoder.encode_images([picture]), expected, atol=1e-4)


def test_a_weights_file_goes_with_a_name_and_is_known_by_its_digest(small: Path) -> None:
    weights = next(small.rglob(WEIGHTS))
    encoder = load("Small", str(weights), device="cpu", cache_dir=small)
    assert encoder.space.name.startswith("image:Small:sha256-")
    assert encoder.encode_texts(["a cat"]).shape == (1, 64)


def test_weights_of_another_model_do_not_fit_a_name(small: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="do not fit"):
        load("Small", str(BUNDLED_MODEL_DIR / WEIGHTS), device="cpu", cache_dir=small)


# Devices.


@pytest.mark.parametrize(
    ("present", "asked", "chosen"),
    [
        ({"cuda", "mps"}, "auto", "cuda"),
        ({"mps"}, "auto", "mps"),
        (set(), "auto", "cpu"),
        ({"cuda", "mps"}, "mps", "mps"),
        ({"cuda", "mps"}, "cpu", "cpu"),
    ],
)
def test_the_fastest_device_is_taken_unless_one_is_named(
    monkeypatch: pytest.MonkeyPatch, present: set[str], asked: str, chosen: str
) -> None:
    import torch

    from mirada.adapters.encoders.loading import choose_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in present)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in present)
    assert choose_device(asked) == chosen


@pytest.mark.parametrize("device", ["cuda", "mps", "abacus"])
def test_a_device_that_is_not_there_is_said_so(
    monkeypatch: pytest.MonkeyPatch, folder: Path, device: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EncoderUnavailable, match=f"EMBEDDINGS_DEVICE={device}.*auto, cpu"):
        load(str(folder), device=device)
