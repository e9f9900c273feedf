"""Puts a fitted photo tower beside the sticker model: weights, ONNX graph that points at them, manifest."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import torch

from mirada.adapters.encoders.exports import Kept, probe_picture
from mirada.adapters.encoders.graphs import export_tower, point_at_weights
from mirada.adapters.encoders.model_choice import STICKERS_AND_PHOTOS
from mirada.adapters.encoders.photo_tower import SIDE_PX, PhotoTower
from mirada.adapters.encoders.photographs import PHOTO_GRAPH, PhotoFolder, on_onnx
from mirada.adapters.encoders.pixels import DEFAULTS, PictureSteps
from mirada.adapters.encoders.weights import PHOTO_WEIGHTS, digest_of, weights_in

logger = logging.getLogger(__name__)

PREPROCESSING = DEFAULTS | {
    "size": (SIDE_PX, SIDE_PX),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    # The middle square: on photographs a margin costs more than what is cut off.
    "resize_mode": "shortest",
}


def export(weights: Path, stickers: Path, out: Path) -> None:
    """Write the folder of the tower, and compare its graph with PyTorch on the probe.

    Raises:
        ValueError: they differ.
    """
    out.mkdir(exist_ok=True)
    shutil.copyfile(weights, out / PHOTO_WEIGHTS)
    (out / PHOTO_WEIGHTS).chmod(0o644)
    tower = PhotoTower.load(out / PHOTO_WEIGHTS)
    pixels = torch.from_numpy(PictureSteps(PREPROCESSING)([probe_picture()] * 2))
    export_tower(tower, pixels, out / PHOTO_GRAPH, "image", {0: "n"})
    point_at_weights(out / PHOTO_GRAPH, [out / PHOTO_WEIGHTS], "")
    with torch.inference_mode():
        probe = tower(pixels)[0].numpy()
    folder = PhotoFolder(
        folder=out,
        name=STICKERS_AND_PHOTOS,
        stickers=digest_of(weights_in(stickers)),
        preprocessing=json.loads(json.dumps(PREPROCESSING)),
        files={name: Kept.of(out / name) for name in (PHOTO_WEIGHTS, PHOTO_GRAPH)},
        probe=probe,
    )
    given = on_onnx(folder, 1)(pixels.numpy())[0]
    if np.abs(given - probe).max() > 1e-4:
        raise ValueError(f"the graph differs from PyTorch by {np.abs(given - probe).max():.6f}")
    folder.save()
    size = sum(path.stat().st_size for path in out.iterdir())
    logger.info("%s: %.1f MB", out, size / 1e6)


def main() -> None:
    """Read the arguments and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--weights", type=Path, default=Path("training/cache/photo_tower.safetensors")
    )
    parser.add_argument("--stickers", type=Path, default=Path("models/stickers"))
    parser.add_argument("--out", type=Path, default=Path("models/stickers/photos"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    export(arguments.weights, arguments.stickers, arguments.out)


if __name__ == "__main__":
    main()
