"""The OpenCLIP adapter on the bundled model: vectors, bad input, bad weights, the hub, `auto`."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mirada.config import BUNDLED_MODEL_DIR, PROJECT_ROOT
from mirada.domain.embeddings import SpaceKind
from mirada.domain.errors import EncoderUnavailable, InvalidInput
from tests.adapters.hub import hub_serving
from tests.pictures import pixels

PRODUCTION = ("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k")


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


def choose(*args: Any, **kwargs: Any) -> Any:
    from mirada.adapters.encoders.openclip import choose_model

    return choose_model(*args, **kwargs)


# Vectors.


def test_both_towers_return_float32_unit_rows_of_one_space(bundled_encoder: Any) -> None:
    images = bundled_encoder.encode_images([drawn(seed) for seed in range(3)])
    texts = bundled_encoder.encode_texts(["a cat", "um gato", "un gato"])
    for vectors in (images, texts):
        assert vectors.shape == (3, 512)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    space = bundled_encoder.space
    assert (space.kind, space.encoder, space.dimension) == (SpaceKind.IMAGE, "mirada-stickers", 512)
    assert space.pretrained.startswith("sha256-")
    assert len(space.name) <= 191


def test_vectors_equal_what_open_clip_gives_directly(bundled_encoder: Any) -> None:
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
    assert cosines(bundled_encoder.encode_images(pictures), images).min() > 0.99999
    assert cosines(bundled_encoder.encode_texts(words), texts).min() > 0.99999
    assert bundled_encoder.logit_scale == pytest.approx(scale)
    assert bundled_encoder.logit_bias == 0.0


def test_a_picture_has_one_vector_alone_in_a_batch_and_again(bundled_encoder: Any) -> None:
    pictures = [drawn(seed) for seed in range(40)]
    together = bundled_encoder.encode_images(pictures)
    alone = np.concatenate([bundled_encoder.encode_images([p]) for p in pictures[:6]])
    assert cosines(together[:6], alone).min() >= 0.9999
    np.testing.assert_array_equal(together, bundled_encoder.encode_images(pictures))


def test_the_bundled_model_finds_a_drawn_sticker_by_its_name(bundled_encoder: Any) -> None:
    listed = json.loads((PROJECT_ROOT / "demo" / "stickers.json").read_text())["stickers"]
    pictures = []
    for sticker in listed:
        with Image.open(PROJECT_ROOT / "demo" / sticker["file"]) as sticker_file:
            rgba = sticker_file.convert("RGBA")
            white = Image.new("RGBA", rgba.size, "white")
            pictures.append(np.asarray(Image.alpha_composite(white, rgba).convert("RGB")))
    vectors = bundled_encoder.encode_images(pictures)
    for language in ("en", "pt", "es"):
        names = bundled_encoder.encode_texts([sticker["names"][language] for sticker in listed])
        scores = names @ vectors.T
        rank = (scores > np.diag(scores)[:, None]).sum(axis=1)
        assert (rank < 10).mean() > 0.6, language  # chance: 0.03


@pytest.mark.photos
def test_a_changed_photograph_finds_its_original(bundled_encoder: Any, photos: list[Path]) -> None:
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

    gallery = bundled_encoder.encode_images([np.asarray(photo) for photo in originals])
    least = {middle: 0.95, corner: 0.8, other_corner: 0.85, recompressed: 0.95, small: 0.95}
    for change, share in least.items():
        changed = bundled_encoder.encode_images([np.asarray(change(p)) for p in originals])
        found = (changed @ gallery.T).argmax(axis=1) == np.arange(len(originals))
        assert found.mean() >= share, change.__name__


# Input at the edges.


def test_nothing_in_gives_nothing_out(bundled_encoder: Any) -> None:
    assert bundled_encoder.encode_images([]).shape == (0, 512)
    assert bundled_encoder.encode_texts([]).shape == (0, 512)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 16_384, 3), (16_384, 1, 3), (2, 700, 3)])
def test_tiny_and_thin_pictures_have_a_vector(
    bundled_encoder: Any, shape: tuple[int, int, int]
) -> None:
    vectors = bundled_encoder.encode_images([np.full(shape, 90, dtype=np.uint8)])
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
def test_what_is_no_rgb_picture_is_refused_by_its_position(
    bundled_encoder: Any, wrong: Any
) -> None:
    with pytest.raises(InvalidInput, match="Picture 1"):
        bundled_encoder.encode_images([drawn(0), wrong])


def test_empty_and_endless_texts_have_a_vector(bundled_encoder: Any) -> None:
    texts = ["", "   ", "cat " * 5_000, "\x00\ud83d"[:1], "猫", "🐈"]
    vectors = bundled_encoder.encode_texts(texts)
    assert vectors.shape == (6, 512)
    np.testing.assert_array_equal(vectors[0], vectors[1])


# Weights that are not there, or not right.


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="no model folder"):
        load(str(tmp_path / "nowhere"))


def test_a_folder_without_configuration_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="open_clip_config"):
        load(str(tmp_path))


def test_a_configuration_that_is_no_json_is_said_so(folder: Path) -> None:
    (folder / "open_clip_config.json").write_text("{")
    with pytest.raises(EncoderUnavailable, match="cannot be read"):
        load(str(folder))


def test_missing_weights_are_never_replaced_by_random_ones(folder: Path) -> None:
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(EncoderUnavailable, match="no weights"):
        load(str(folder))


def test_truncated_weights_are_called_damaged(folder: Path) -> None:
    weights = folder / "open_clip_model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    with pytest.raises(EncoderUnavailable, match="damaged"):
        load(str(folder))


def test_weights_of_another_shape_do_not_fit(folder: Path) -> None:
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["vision_cfg"]["timm_model_name"] = "resnet18"
    path.write_text(json.dumps(config))
    with pytest.raises(EncoderUnavailable, match="do not fit"):
        load(str(folder))


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(InvalidInput, match="ViT-B-32"):
        load("ViT-B-23", "laion2b_s34b_b79k")


def test_an_unknown_tag_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="laion2b_s34b_b79k"):
        load("ViT-B-32", "laion3b")
    with pytest.raises(InvalidInput, match="none was chosen"):
        load("ViT-B-32")


def test_weights_that_are_not_cached_are_not_fetched_unasked(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="not in the cache"):
        load("ViT-B-32", "laion2b_s34b_b79k", cache_dir=tmp_path, allow_download=False)


def test_a_device_that_is_not_there_is_said_so(folder: Path) -> None:
    with pytest.raises(EncoderUnavailable, match="EMBEDDINGS_DEVICE=mps"):
        load(str(folder), device="mps")


# Choosing a model, and the hub.


@pytest.fixture
def hub_allowed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let the hub be asked: the suite is offline otherwise."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return monkeypatch


@pytest.mark.usefixtures("complete_packages")
def test_auto_settles_for_the_bundled_model_quickly_when_no_hub_answers(
    hub_allowed: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A server that takes the connection and says nothing: the worst a network can do.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub_allowed.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with caplog.at_level(logging.WARNING):
            chosen = choose("auto", None, bundled=BUNDLED_MODEL_DIR, cache_dir=tmp_path)
        assert time.monotonic() - started < 5
    assert chosen == (str(BUNDLED_MODEL_DIR), None)
    assert "BUNDLED" in caplog.text


@pytest.fixture
def complete_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that whatever the production model needs is installed."""
    monkeypatch.setattr("mirada.adapters.encoders.weights.packages_missing", lambda model: [])


@pytest.mark.usefixtures("complete_packages")
def test_auto_takes_the_production_model_when_the_hub_answers(
    hub_allowed: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with hub_serving("laion/any", {}) as (endpoint, _):
        hub_allowed.setenv("HF_ENDPOINT", endpoint)
        chosen = choose("auto", None, bundled=BUNDLED_MODEL_DIR, cache_dir=tmp_path)
    assert chosen == PRODUCTION


def cached(cache: Path, repository: str, *names: str) -> None:
    """Lay empty files where the hub client keeps its downloads."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "snapshots" / "c0ffee").mkdir(parents=True)
    for name in names:
        (folder / "snapshots" / "c0ffee" / name).touch()
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("c0ffee")


@pytest.mark.usefixtures("complete_packages")
def test_auto_takes_the_production_model_from_the_cache_without_any_network(
    tmp_path: Path,
) -> None:
    weights = "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k"
    cached(tmp_path, weights, "open_clip_pytorch_model.bin")
    settings = {"bundled": BUNDLED_MODEL_DIR, "cache_dir": tmp_path}
    # Weights without the text tower's configuration and tokenizer would still need a network.
    assert choose("auto", None, **settings) == (str(BUNDLED_MODEL_DIR), None)
    cached(tmp_path, "xlm-roberta-base", "config.json", "tokenizer.json")
    assert choose("auto", None, **settings) == PRODUCTION


def test_auto_says_which_package_the_production_model_lacks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "mirada.adapters.encoders.weights.packages_missing", lambda model: ["transformers"]
    )
    chosen = choose("auto", None, bundled=BUNDLED_MODEL_DIR, cache_dir=tmp_path)
    assert chosen == (str(BUNDLED_MODEL_DIR), None)
    assert "transformers" in caplog.text


def test_auto_keeps_what_the_database_was_filled_with(tmp_path: Path) -> None:
    bundled = {"bundled": BUNDLED_MODEL_DIR, "cache_dir": tmp_path}
    pinned = ("ViT-B-16", "openai")
    assert choose("auto", None, pinned=pinned, **bundled) == pinned
    own = ("mirada-stickers", "sha256-000000000000")
    assert choose("auto", None, pinned=own, **bundled) == (str(BUNDLED_MODEL_DIR), None)
    with pytest.raises(InvalidInput, match="CLIP_MODEL"):
        choose("auto", None, pinned=("ours", "sha256-000000000000"), **bundled)


def test_a_model_that_is_named_is_never_replaced() -> None:
    for named in (("ViT-L-14", "openai"), ("/some/folder", None)):
        assert choose(*named, bundled=BUNDLED_MODEL_DIR) == named
    for word in ("bundled", "mirada-stickers"):
        assert choose(word, None, bundled=BUNDLED_MODEL_DIR) == (str(BUNDLED_MODEL_DIR), None)


def test_the_hub_is_out_of_reach_when_it_is_switched_off() -> None:
    from mirada.adapters.encoders.openclip import hub_reachable

    assert not hub_reachable(0.2)


LOAD_FROM_HUB = """
    import sys
    import open_clip
    from open_clip import factory, pretrained
    from mirada.adapters.encoders.openclip import OpenClipEncoder, weights_available

    # OpenCLIP learns one more name and tag, as if a release had added them.
    factory._MODEL_CONFIGS["Stickers"] = open_clip.get_model_config("local-dir:" + sys.argv[1])
    pretrained._PRETRAINED["Stickers"] = {
        "v1": pretrained._pcfg(hf_hub="mirada/stickers/", mean=(0.5,) * 3, std=(0.5,) * 3,
                               resize_mode="longest", fill_color=255)
    }
    from pathlib import Path
    cache = Path(sys.argv[2])
    assert not weights_available("Stickers", "v1", cache)
    encoder = OpenClipEncoder.load("Stickers", "v1", device="cpu", cache_dir=cache)
    assert weights_available("Stickers", "v1", cache)
    print(encoder.space.name)
    print(*encoder.encode_texts(["a cat"])[0][:8])
"""


def test_weights_are_downloaded_through_the_hub_client_and_then_cached(
    bundled_encoder: Any, tmp_path: Path
) -> None:
    files = {"open_clip_model.safetensors": BUNDLED_MODEL_DIR / "open_clip_model.safetensors"}
    with hub_serving("mirada/stickers", files) as (endpoint, requests):
        # A process of its own, because the hub client reads its endpoint when it is imported.
        environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
        environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home")}
        ran = subprocess.run(
            [
                sys.executable,
                "-c",
                textwrap.dedent(LOAD_FROM_HUB),
                str(BUNDLED_MODEL_DIR),
                str(tmp_path / "cache"),
            ],
            env=environment,
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        asked = list(requests)
    name, numbers = ran.stdout.splitlines()
    assert name.startswith("image:Stickers:v1:openclip-")
    expected = bundled_encoder.encode_texts(["a cat"])[0][:8]
    np.testing.assert_allclose(np.array(numbers.split(), dtype=np.float32), expected, atol=1e-5)
    assert "GET /mirada/stickers/resolve/main/open_clip_model.safetensors" in asked
