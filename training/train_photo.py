"""Makes the photo tower: class vectors, directions of looks, centre and gate around ImageNet's trunk.

Nothing of the trunk is trained. The centre is the mean of the free photographs' features; the gate, a
logistic regression on the features, tells them from the training artwork and drawn scenes.
"""

from __future__ import annotations

import argparse
import io
import logging
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn.functional import normalize

from mirada.adapters.encoders.graphs import export_tower
from mirada.adapters.encoders.onnx_encoder import Session
from mirada.adapters.encoders.photo_tower import FEATURES, FLOOR, SIDE_PX, PhotoTower
from training.artwork import STYLES, Artwork
from training.augment import scenes, sticker_views, warp
from training.image_tower import start_from_imagenet
from training.photo_words import WordNet, class_vectors
from training.photographs import load
from training.text_tower import Tokens, forward_end

logger = logging.getLogger(__name__)

SEED = 20_256
CROPS = 24
"""Views of a photograph."""
DRAWINGS = 4000
SCENES = 100
HELD_OUT_STYLE = "twemoji"
CHECKED = 4
"""One photograph in so many is not fitted on but checked with."""
STRENGTH = 3e-3
"""Inverse of the regression's penalty (C). It and KEPT_DRAWN were chosen on the checked photographs and on
the held-out style."""
KEPT_DRAWN = 0.987
"""The gate's bias is moved until this share of the drawings fitted on is below its floor."""
Matrix = npt.NDArray[np.float32]


def square(picture: Image.Image) -> Image.Image:
    """Return the middle of the picture at SIDE_PX x SIDE_PX, as the encoder sees it."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC, box=box)


def photo_views(picture: Image.Image, random: np.random.Generator, count: int) -> list[Image.Image]:
    """Return the whole picture, and parts of it, mirrored, paler, darker and recompressed."""
    views = [square(picture)]
    while len(views) < count:
        share = random.uniform(0.35, 1.0)
        width, height = (max(48, int(side * share)) for side in picture.size)
        left = random.integers(0, max(1, picture.width - width + 1))
        top = random.integers(0, max(1, picture.height - height + 1))
        view = square(picture.crop((left, top, left + width, top + height)))
        if random.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if random.random() < 0.3:
            view = view.point([int(v * random.uniform(0.6, 1.0)) for v in range(256)] * 3)
        if random.random() < 0.1:
            view = view.convert("L").convert("RGB")
        if random.random() < 0.6:
            view = recompressed(view, random)
        views.append(view)
    return views


def tensor(pictures: list[Image.Image]) -> Tensor:
    """Return (n, 3, SIDE_PX, SIDE_PX) in [-1, 1]."""
    pixels = torch.from_numpy(np.stack([np.asarray(p) for p in pictures]))
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


class Trunk:
    """The trunk's features on ONNX Runtime, which is several times as quick as PyTorch here."""

    def __init__(self, tower: PhotoTower) -> None:
        """Export the trunk of a tower into a file that is soon forgotten."""

        class Features(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.tower = tower

            def forward(self, pixels: Tensor) -> Tensor:
                return tower.features(pixels)

        example = torch.zeros(2, 3, SIDE_PX, SIDE_PX)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trunk.onnx"
            export_tower(Features(), example, path, input_name="image", free_axes={0: "n"})
            self._session = Session(str(path), 2)

    def __call__(self, pixels: Tensor) -> Matrix:
        """Return (n, FEATURES) of pictures in [-1, 1]."""
        parts = [part.contiguous().numpy() for part in pixels.split(16)]
        return np.concatenate([self._session.run(part) for part in parts])


def drawn_view(rgba: npt.NDArray[np.uint8], random: np.random.Generator) -> Image.Image:
    """Return a drawing as people keep it: mostly in colour on white, also grey, dithered, few colours."""
    drawing = Image.fromarray(rgba)
    ground = (
        (255, 255, 255) if random.random() < 0.8 else tuple(random.integers(0, 256, 3).tolist())
    )
    canvas = Image.new("RGBA", drawing.size, (*ground, 255))
    canvas.alpha_composite(drawing)
    view = canvas.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    kind = random.random()
    if kind < 0.15:
        return view.convert("L").convert("RGB")
    if kind < 0.3:
        return view.convert("1").convert("RGB")
    if kind < 0.4:
        return view.quantize(int(random.integers(4, 17))).convert("RGB")
    return recompressed(view, random) if kind < 0.6 else view


def recompressed(view: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return the picture after a trip through JPEG."""
    out = io.BytesIO()
    view.save(out, "JPEG", quality=int(random.integers(35, 92)))
    return Image.open(out).convert("RGB")


def drawn_features(
    trunk: Trunk, art: Artwork, rows: npt.NDArray[np.int64], random: np.random.Generator
) -> Matrix:
    """Return the features of drawings as people keep them, and of every fourth batch as stickers look."""
    found = []
    for start in range(0, len(rows), 128):
        pixels = art.pixels[rows[start : start + 128]]
        if start // 128 % 4 == 3:
            rgba = torch.from_numpy(pixels)
            views = sticker_views(rgba, SIDE_PX, torch.ones(len(rgba), dtype=torch.bool))
            found.append(trunk(views * 2 - 1))
        else:
            found.append(trunk(tensor([drawn_view(drawing, random) for drawing in pixels])))
    return np.concatenate(found)


def scene_features(trunk: Trunk, art: Artwork, count: int) -> Matrix:
    """Return the features of drawn scenes: colour fields, shapes and several stickers."""
    drawings = torch.from_numpy(art.pixels[:: len(art.pixels) // 512])
    found = []
    for _ in range(0, count, 50):
        views = scenes(50, SIDE_PX, drawings)
        views = warp(views, SIDE_PX, scale=(1.0, 1.5), degrees=4, shift=0.28, border="reflection")
        found.append(trunk(views.clamp(0, 1) * 2 - 1))
    return np.concatenate(found)


def all_features(trunk: Trunk, art: Artwork) -> dict[str, Matrix]:
    """Return the features of what is fitted on and of what is checked with, by group."""
    random = np.random.default_rng(SEED)
    pictures = load()
    photos = [picture for entry, picture in pictures if entry.is_photo]
    drawn = [picture for entry, picture in pictures if not entry.is_photo]
    views = [photo_views(photo, random, CROPS) for photo in photos]
    order = random.permutation(len(photos))
    checked = set(order[::CHECKED].tolist())
    held_out = art.styles == STYLES.index(HELD_OUT_STYLE)
    known = random.permutation(np.flatnonzero(~held_out))[:DRAWINGS]

    def of(rows: list[int], count: int) -> Matrix:
        return np.concatenate([trunk(tensor(views[row][:count])) for row in rows])

    return {
        "whole photos": of(list(range(len(photos))), 1),
        "photos": of([row for row in range(len(photos)) if row not in checked], CROPS),
        "checked photos": of(sorted(checked), CROPS),
        "checked whole photos": of(sorted(checked), 1),
        "drawings": np.concatenate(
            [
                drawn_features(trunk, art, known, random),
                scene_features(trunk, art, SCENES),
                trunk(tensor([v for p in drawn for v in photo_views(p, random, CROPS)])),
            ]
        ),
        "held-out drawings": drawn_features(trunk, art, np.flatnonzero(held_out)[::2], random),
    }


def fit_gate(photos: Matrix, drawn: Matrix, strength: float) -> tuple[Matrix, float]:
    """Return the weights and the bias of the gate; both groups weigh the same."""
    rows = np.concatenate([photos, drawn])
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    truth = np.repeat([1, 0], [len(photos), len(drawn)])
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=500)
    model.fit((rows - mean) / spread, truth)
    weights = model.coef_[0] / spread
    return weights.astype(np.float32), float(model.intercept_[0] - weights @ mean)


def fit(tower: PhotoTower, features: dict[str, Matrix]) -> None:
    """Set the tower's centre and gate, and say how well the gate judges what it was not fitted on."""
    tower.centre.copy_(torch.from_numpy(features["whole photos"].mean(axis=0)))
    weights, bias = fit_gate(features["photos"], features["drawings"], STRENGTH)
    # The share at which a picture stops to be only drawn is the floor; KEPT_DRAWN stay below it.
    edge = np.quantile(features["drawings"] @ weights + bias, KEPT_DRAWN)
    bias -= float(edge - np.log(FLOOR / (1 - FLOOR)))
    tower.gate.copy_(torch.from_numpy(weights))
    tower.gate_bias.fill_(bias)
    for name, rows in features.items():
        share = tower.share(torch.from_numpy(rows))
        logger.info(
            "%s (%d): only drawn %.3f, half a photograph or more %.3f",
            name,
            len(rows),
            (share == 0).float().mean(),
            (share >= 0.5).float().mean(),
        )


def looks(projection: Matrix) -> Matrix:
    """Return a seeded (FEATURES, d) matrix into the directions that no text uses.

    Args:
        projection: the (width, d) matrix that ends the text tower.
    """
    _, _, axes = np.linalg.svd(projection, full_matrices=True)
    free = axes[projection.shape[0] :]
    random = np.random.default_rng(SEED).normal(size=(FEATURES, len(free)))
    return (random @ free / np.sqrt(FEATURES)).astype(np.float32)


def save(tower: PhotoTower, path: Path) -> None:
    """Write the tower; large weights in half precision, the rest in float32."""
    state = {
        name: (value.half() if value.ndim > 1 else value.float()).contiguous()
        for name, value in tower.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(state, path, metadata={"format": "pt"})
    path.chmod(0o644)
    logger.info("%s: %.1f MB", path, path.stat().st_size / 1e6)


def main() -> None:
    """Make and save the tower."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/stickers"))
    parser.add_argument("--art", type=Path, default=Path("training/cache/artwork.npz"))
    parser.add_argument("--out", type=Path, default=Path("training/cache/photo_tower.safetensors"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(SEED)
    model = open_clip.create_model(f"local-dir:{arguments.model}").eval()
    tokens = Tokens()

    @torch.inference_mode()
    def encode(texts: list[str]) -> Matrix:
        vectors: Matrix = normalize(forward_end(model.text, tokens(texts)), dim=1).numpy()
        return vectors

    projection = model.text.text_projection.detach().numpy()
    tower = PhotoTower(projection.shape[1]).eval()
    start_from_imagenet(tower.trunk)
    tower.classes.copy_(torch.from_numpy(class_vectors(encode, WordNet())))
    tower.looks.copy_(torch.from_numpy(looks(projection)))
    logger.info("The classes and the directions of looks are made.")
    features = all_features(Trunk(tower), Artwork.load(arguments.art))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.out.with_suffix(".npz"), **features)
    fit(tower, features)
    save(tower, arguments.out)


if __name__ == "__main__":
    main()
