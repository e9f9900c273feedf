"""The encoder of prompts by a sentence-transformers model: the setting TEXT_MODEL."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mirada.adapters.encoders.hub import HUB_WAIT_S, hub_reachable
from mirada.adapters.encoders.loading import choose_device
from mirada.adapters.encoders.pytorch import require_pytorch
from mirada.adapters.encoders.weights import digest_of
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, l2_normalise
from mirada.kernel.encoder_counters import EncoderCounters
from mirada.kernel.errors import EncoderUnavailable, InvalidInput

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

MAX_BATCH = 32
"""Texts per forward pass; the default of sentence-transformers."""
DEFAULT_ORGANISATION = "sentence-transformers"
"""The hub's organisation of models that are named without one."""
UNUSED_FILES = ["onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot", "*.onnx"]
"""Weights for other engines, which are not downloaded."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights file in a model's folder, the preferred one first."""


class SentenceEncoder:
    """Embeds prompts with a model trained on the meaning of sentences. Thread-safe.

    Attributes:
        space: the space of every vector.
        counters: counts of items, failures and time so far.
    """

    def __init__(self, model: SentenceTransformer, *, name: str, pretrained: str) -> None:
        """Keep a loaded model; `name` and `pretrained` are the encoder and the weights tag of its space."""
        self.counters = EncoderCounters()
        self._model = model
        self._lock = threading.Lock()
        vector = self._forward([""])
        self.space = EmbeddingSpace(
            SpaceKind.PROMPT,
            name,
            pretrained,
            f"sentence-{model.max_seq_length}-v1",
            vector.shape[1],
        )

    @classmethod
    def load(cls, model: str, *, device: str = "auto", cache_dir: Path | None = None) -> Self:
        """Load a model by its name on the hub, or from a folder.

        Args:
            model: name such as "sentence-transformers/all-MiniLM-L6-v2", or a folder with its files.
            device: "auto" takes cuda, then mps, then cpu.
            cache_dir: folder of downloads; None for the hub client's own cache.

        Raises:
            EncoderUnavailable: the model does not exist, the hub cannot be reached, the files are
                damaged, or the device does not exist.
        """
        require_pytorch(f"TEXT_MODEL={model}")
        folder = _folder_of(model, cache_dir)
        weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
        if weights is None:
            raise EncoderUnavailable(
                f"TEXT_MODEL={model} has no weights in {folder.name} ({' or '.join(WEIGHTS)})."
            )
        chosen = choose_device(device)
        from sentence_transformers import SentenceTransformer

        try:
            loaded = SentenceTransformer(str(folder), device=chosen, local_files_only=True)
        except Exception as error:  # The library raises any error of its parts.
            raise EncoderUnavailable(f"TEXT_MODEL={model} cannot be loaded: {error}") from error
        encoder = cls(loaded.eval(), name=_name_of(model), pretrained=digest_of(weights))
        logger.info("Text model %s is ready on %s.", encoder.space.name, chosen)
        return encoder

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`."""
        if not texts:
            return np.empty((0, self.space.dimension), dtype=np.float32)
        began_at = time.perf_counter()
        try:
            vectors = self._forward(list(texts))
        except EncoderUnavailable:
            for _ in texts:
                self.counters.add_failure("texts")
            raise
        per_text_s = (time.perf_counter() - began_at) / len(texts)
        for start in range(0, len(texts), MAX_BATCH):
            together = min(MAX_BATCH, len(texts) - start)
            self.counters.add("texts", together, together * per_text_s)
        return vectors

    def interactive(self) -> Self:
        """Return this encoder: the model is small, so calls need no priority."""
        return self

    def _forward(self, texts: list[str]) -> Matrix:
        try:
            with self._lock:
                vectors: Any = self._model.encode(
                    texts, batch_size=MAX_BATCH, show_progress_bar=False, convert_to_numpy=True
                )
            return l2_normalise(vectors)
        except (RuntimeError, InvalidInput) as error:
            # RuntimeError: the device is out of memory or gone. InvalidInput: the model returned NaN.
            raise EncoderUnavailable(f"The text model failed: {error}") from error


def _folder_of(model: str, cache_dir: Path | None) -> Path:
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository = model if "/" in model else f"{DEFAULT_ORGANISATION}/{model}"
    try:
        return Path(snapshot_download(repository, cache_dir=cache_dir, local_files_only=True))
    except HFValidationError as error:
        raise EncoderUnavailable(
            f"TEXT_MODEL={model} is neither a folder nor a name on the hub."
        ) from error
    except LocalEntryNotFoundError:
        pass
    if not hub_reachable(HUB_WAIT_S):
        raise EncoderUnavailable(
            f"TEXT_MODEL={model} is not in the cache and the hub cannot be reached. Connect once, "
            "copy a filled EMBEDDINGS_CACHE_DIR here, name a folder, or leave TEXT_MODEL unset."
        )
    logger.warning("Downloading the text model %s; this happens once.", repository)
    try:
        return Path(
            snapshot_download(repository, cache_dir=cache_dir, ignore_patterns=UNUSED_FILES)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EncoderUnavailable(f"TEXT_MODEL={model} cannot be fetched: {error}") from error


def _name_of(model: str) -> str:
    name = Path(model).resolve().name if Path(model).is_dir() else model.rsplit("/", 1)[-1]
    return name[:100]
