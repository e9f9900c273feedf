"""Gets an OpenCLIP model into memory on a device; every failure is one clear error."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirada.adapters.encoders.weights import hub_reachable, hub_text_tower, weights_available
from mirada.domain.errors import EncoderUnavailable

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

HUB_WAIT_S = 5.0
"""Longest wait to learn that the hub cannot be reached before a download is tried."""


def choose_device(device: str) -> str:
    """Return the device that "auto" means here, or the one asked for.

    Raises:
        EncoderUnavailable: the one asked for does not exist here.
    """
    import torch

    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, is_present in present.items() if is_present)
    if not present.get(device, False):
        usable = ", ".join(name for name, is_present in present.items() if is_present)
        raise EncoderUnavailable(
            f"EMBEDDINGS_DEVICE={device} cannot be used on this machine. Usable: auto, {usable}."
        )
    return device


def require_weights(
    model: str, pretrained: str | None, cache_dir: Path | None, allow_download: bool
) -> None:
    """Raise EncoderUnavailable at once where a download would hang or is not wanted."""
    if weights_available(model, pretrained, cache_dir):
        return
    name = f"{model}/{pretrained}"
    if not allow_download:
        raise EncoderUnavailable(f"The weights of {name} are not in the cache.")
    if not hub_reachable(HUB_WAIT_S):
        raise EncoderUnavailable(
            f"The weights of {name} are not in the cache and the hub cannot be reached. Connect "
            "once, copy a filled EMBEDDINGS_CACHE_DIR here, or set CLIP_MODEL=bundled."
        )
    logger.warning("Downloading the weights of %s; this happens once.", name)


def load_open_clip(
    source: str, pretrained: str | None, device: str, cache_dir: Path | None
) -> tuple[Any, Callable[[list[str]], torch.Tensor]]:
    """Return (model in evaluation mode, tokenizer); every failure becomes EncoderUnavailable."""
    import open_clip
    import torch
    from huggingface_hub import hf_hub_download
    from safetensors import SafetensorError

    if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    cache = str(cache_dir) if cache_dir else None
    extra: dict[str, Any] = {}
    label = source.removeprefix("local-dir:") if pretrained is None else f"{source}/{pretrained}"
    try:
        repository = hub_text_tower(source) if pretrained else None
        if repository and cache:
            # OpenCLIP would look for the text tower's configuration in the client's own cache.
            config = hf_hub_download(repository, "config.json", cache_dir=cache)
            text = open_clip.get_model_config(source.replace("/", "-"))["text_cfg"]
            own = {"hf_model_name": str(Path(config).parent), "hf_model_pretrained": False}
            extra["text_cfg"] = {**text, **own}
        model = open_clip.create_model(
            source, pretrained, device=device, cache_dir=cache, require_pretrained=True, **extra
        )
        tokenizer = open_clip.get_tokenizer(source, cache_dir=cache)
    except ImportError as error:
        raise EncoderUnavailable(
            f"{label} needs a package that is not installed: {error}. Its text tower comes from "
            "transformers: pip install transformers."
        ) from error
    except (SafetensorError, EOFError) as error:
        raise EncoderUnavailable(
            f"The weights of {label} are damaged ({error}). Delete the file and fetch it again."
        ) from error
    except Exception as error:  # OpenCLIP raises whatever its parts raise
        raise EncoderUnavailable(_explain(label, error)) from error
    return model.eval(), tokenizer


def _explain(label: str, error: Exception) -> str:
    """Return one line that says what is wrong with a model and what to do."""
    text = str(error)
    if "size mismatch" in text or "Missing key" in text or "Unexpected key" in text:
        return (
            f"The weights of {label} do not fit its configuration "
            f"({text.strip().splitlines()[-1].strip()}). Use the pair that belongs together."
        )
    if "central directory" in text or "UnpicklingError" in type(error).__name__:
        return f"The weights of {label} are damaged. Delete the file and fetch it again. ({text})"
    return f"The model {label} cannot be loaded: {text.strip() or type(error).__name__}"
