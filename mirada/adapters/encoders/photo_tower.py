"""The bundled encoder's tower for photographs, in PyTorch. The ONNX graph is made from it.

The vector of a photograph is half meaning, half looks. Meaning: the probabilities of ImageNet's 1,000
kinds times the text tower's vectors of their names (ConSE, arXiv 1312.5650). Looks: the trunk's
features, laid into the directions that no text uses, so that an edited copy finds its original.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mirada.adapters.encoders.photographs import PhotoFolder, PhotoRows
from mirada.adapters.encoders.weights import PHOTO_WEIGHTS
from mirada.kernel.embeddings import Matrix
from mirada.kernel.errors import EncoderUnavailable

TRUNK = "tf_efficientnet_lite0"
SIDE_PX = 160
FEATURES = 1280
KINDS = 1000
TEMPERATURE = 1.5
"""The classifier's logits are divided by it."""
TOP_KINDS = 20
"""Kinds that count; the others are noise."""
MEANING = 0.5
"""Share of meaning in the vector; the looks have sqrt(1 - MEANING ** 2). With all meaning a photograph
would be so near to its name that it came before every sticker in a mixed library."""
FLOOR = 0.1
"""A picture that is a photograph with less than this share counts as drawn, and only as drawn."""


class PhotoTower(nn.Module):
    """From (n, 3, SIDE_PX, SIDE_PX) pictures in [-1, 1] to (n, d + 1) numbers: vector, then photo share.

    The vectors have unit length. The share is 0 for what is drawn and 1 for a photograph.
    """

    classes: torch.Tensor
    looks: torch.Tensor
    centre: torch.Tensor
    gate: torch.Tensor
    gate_bias: torch.Tensor

    def __init__(self, dimension: int) -> None:
        """Make an untrained tower; `load` makes one that works."""
        import timm

        super().__init__()
        self.trunk: Any = timm.create_model(TRUNK, pretrained=False)
        self.register_buffer("classes", torch.zeros(KINDS, dimension))
        self.register_buffer("looks", torch.zeros(FEATURES, dimension))
        self.register_buffer("centre", torch.zeros(FEATURES))
        self.register_buffer("gate", torch.zeros(FEATURES))
        self.register_buffer("gate_bias", torch.zeros(()))

    @classmethod
    def load(cls, weights: Path) -> PhotoTower:
        """Return the tower of a safetensors file, in evaluation mode, in float32."""
        from safetensors.torch import load_file

        state = {name: value.float() for name, value in load_file(weights).items()}
        tower = cls(state["classes"].shape[1])
        missing = tower.load_state_dict(state, strict=False).missing_keys
        if any(not name.endswith("num_batches_tracked") for name in missing):
            raise RuntimeError(f"Missing key(s): {', '.join(missing[:5])}")
        return tower.eval()

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the trunk's (n, FEATURES) features."""
        features: torch.Tensor = self.trunk.global_pool(self.trunk.forward_features(pixels))
        return features

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return (n, d + 1): unit vectors, and in the last column the share of photograph."""
        features = self.features(pixels)
        vectors = self.vectors(features)
        return torch.cat([vectors, self.share(features)[:, None]], dim=1)

    def vectors(self, features: torch.Tensor) -> torch.Tensor:
        """Return (n, d) unit rows of (n, FEATURES)."""
        chances = (self.trunk.classifier(features) / TEMPERATURE).softmax(dim=1)
        chances, kinds = chances.topk(TOP_KINDS, dim=1)
        means = (chances[:, :, None] * self.classes[kinds]).sum(dim=1)
        looks = (features - self.centre) @ self.looks
        return functional.normalize(
            MEANING * functional.normalize(means, dim=1)
            + (1 - MEANING**2) ** 0.5 * functional.normalize(looks, dim=1),
            dim=1,
        )

    def share(self, features: torch.Tensor) -> torch.Tensor:
        """Return (n,) in [0, 1] of (n, FEATURES)."""
        share = torch.sigmoid(features @ self.gate + self.gate_bias)
        return ((share - FLOOR) / (1 - FLOOR)).clamp(min=0)


def on_torch(tower: PhotoFolder, device: str) -> PhotoRows:
    """Return the tower of a folder on PyTorch.

    Raises:
        EncoderUnavailable: the weights are damaged or do not fit.
    """
    path = tower.folder / PHOTO_WEIGHTS
    try:
        model = PhotoTower.load(path).to(device)
    except Exception as error:  # PyTorch and safetensors raise many.
        raise EncoderUnavailable(f"The weights {path} cannot be loaded: {error}") from error
    lock = threading.Lock()

    def rows(pixels: Any) -> Matrix:
        try:
            with lock, torch.inference_mode():
                found: Matrix = model(torch.from_numpy(pixels).to(device)).cpu().numpy()
        except RuntimeError as error:
            raise EncoderUnavailable(f"The encoder failed on {device}: {error}") from error
        return found

    return rows
