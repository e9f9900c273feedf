"""The image and text encoder of any OpenCLIP model. It never computes with random weights."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mirada.adapters.encoders.loading import choose_device, load_open_clip, require_weights
from mirada.adapters.encoders.pixels import PictureSteps, require_rgb
from mirada.adapters.encoders.pytorch import require_pytorch
from mirada.adapters.encoders.weights import (
    digest_of,
    folder_name,
    model_folder,
    weights_in,
)
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, l2_normalise
from mirada.kernel.errors import EncoderUnavailable, InvalidInput
from mirada.kernel.images import RgbImage

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

MAX_BATCH = 32
"""Pictures or texts per forward pass; more is no faster on a CPU and takes memory on a GPU."""


class OpenClipEncoder:
    """Both towers of one OpenCLIP model. Thread-safe: one forward pass at a time.

    Attributes:
        space: the space of every vector of both towers.
        device: the device of the model: "cpu", "cuda" or "mps".
        input_side_px: longer side of the network's input, in pixels.
        logit_scale: factor from cosine to logit, > 0: exp of the model's learned value.
        logit_bias: summand of the logit; 0 for models trained with a softmax.
        model: the OpenCLIP model, on `device`.
        tokenizer: texts -> (n, context length) int64 tokens; its calls must not overlap.
        steps: from pictures to the tensor that the model takes.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        pretrained: str,
        device: str,
    ) -> None:
        """Wrap a loaded OpenCLIP model in evaluation mode; use `load` to make one.

        Args:
            model: the OpenCLIP model, weights loaded, on `device`.
            tokenizer: texts -> (n, context length) int64 tokens.
            name: name of the encoder in its space.
            pretrained: weights tag, or a digest of local weights.
            device: "cpu", "cuda" or "mps".
        """
        self.model = model
        self.tokenizer = tokenizer
        self.device = device
        self.steps = PictureSteps(model.visual.preprocess_cfg)
        self._lock = threading.Lock()
        self.input_side_px = max(self.steps.height, self.steps.width)
        scale, bias = model.logit_scale, getattr(model, "logit_bias", None)
        self.logit_scale = float(scale.detach().exp())
        self.logit_bias = 0.0 if bias is None else float(bias.detach())
        probe = self._forward_texts([""])
        self.space = EmbeddingSpace(
            kind=SpaceKind.IMAGE,
            encoder=name,
            pretrained=pretrained,
            preprocessing=self.steps.version,
            dimension=probe.shape[1],
        )

    @classmethod
    def load(
        cls,
        model: str,
        pretrained: str | None = None,
        *,
        device: str = "auto",
        cache_dir: Path | None = None,
        allow_download: bool = True,
    ) -> OpenClipEncoder:
        """Load a model by OpenCLIP name and weights tag, or from a folder.

        Args:
            model: OpenCLIP name such as "ViT-B-32", or a folder with `open_clip_config.json`,
                weights, and tokenizer files if its tokenizer needs any.
            pretrained: weights tag or weights file; None for a folder.
            device: "auto" takes cuda, then mps, then cpu.
            cache_dir: folder of downloads; None for the hub client's own cache.
            allow_download: whether weights may be downloaded; False for cached ones only.

        Raises:
            InvalidInput: OpenCLIP knows no such name or tag.
            EncoderUnavailable: the weights are missing, damaged or do not fit, the hub cannot be
                reached, or the device does not exist.
        """
        require_pytorch(f"The model {model}")
        folder = model_folder(model)
        if folder is not None:
            weights = weights_in(folder)
            source, name, tag = f"local-dir:{folder}", folder_name(folder), digest_of(weights)
            pretrained = None
        else:
            source, name, tag = model, model.replace("/", "-"), pretrained or ""
            if pretrained and Path(pretrained).is_file():
                tag = digest_of(Path(pretrained))
        require_weights(model, pretrained, cache_dir, allow_download)
        chosen = choose_device(device)
        loaded, tokenizer = load_open_clip(source, pretrained, chosen, cache_dir)
        encoder = cls(loaded, tokenizer, name=name, pretrained=tag, device=chosen)
        logger.info("Encoder %s is ready on %s.", encoder.space.name, chosen)
        return encoder

    def encode_images(self, images: Sequence[RgbImage]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.ImageEncoder`."""
        require_rgb(images)
        return self._in_batches(images, self._forward_images)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`."""
        return self._in_batches(texts, self._forward_texts)

    def _in_batches(self, items: Sequence[Any], forward: Callable[[list[Any]], Matrix]) -> Matrix:
        if not items:
            return np.empty((0, self.space.dimension), dtype=np.float32)
        return np.concatenate(
            [forward(list(items[at : at + MAX_BATCH])) for at in range(0, len(items), MAX_BATCH)]
        )

    def _forward_images(self, images: list[RgbImage]) -> Matrix:
        import torch

        return self._forward(self.model.encode_image, torch.from_numpy(self.steps(images)))

    def _forward_texts(self, texts: list[str]) -> Matrix:
        # Tokenizers of the hub keep state between calls, so they need the lock too.
        with self._lock:
            tokens = self.tokenizer(texts)
        return self._forward(self.model.encode_text, tokens)

    def _forward(
        self, tower: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor
    ) -> Matrix:
        import torch

        try:
            with self._lock, torch.inference_mode():
                vectors = tower(batch.to(self.device)).float().cpu().numpy()
            return l2_normalise(vectors)
        except (RuntimeError, InvalidInput) as error:
            # RuntimeError: the device is out of memory or gone. InvalidInput: the model returned NaN.
            raise EncoderUnavailable(f"The encoder failed on {self.device}: {error}") from error
