"""Loads an OpenCLIP model to a device; every failure becomes one clear error."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirada.adapters.encoders.cores import own_threads
from mirada.adapters.encoders.hub import HUB_WAIT_S, hub_reachable
from mirada.adapters.encoders.pytorch import how_to_install
from mirada.adapters.encoders.weights import (
    hub_files,
    pretrained_entry,
    text_config,
    text_tower_file,
    tokenizer_file,
    weights_file,
)
from mirada.kernel.errors import EncoderUnavailable

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

MISFITS = ("size mismatch", "Missing key", "Unexpected key", "pos_embed width")
"""Parts of the messages of PyTorch and OpenCLIP about weights of another configuration."""


def choose_device(device: str) -> str:
    """Return the device for a setting: the best one present for "auto", else the one named.

    Raises:
        EncoderUnavailable: this machine does not have the named device.
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
    """Check that a model's weights are in the cache or can be downloaded.

    Raises:
        InvalidInput: OpenCLIP knows no such name or tag.
        EncoderUnavailable: they are not in the cache, and a download would hang or is not allowed.
    """
    if all(file.cached(cache_dir) for file in hub_files(model, pretrained)):
        return
    name = f"{model}/{pretrained}" if pretrained else model
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
    """Return (model in evaluation mode, tokenizer); every failure becomes EncoderUnavailable.

    Cached files are passed to OpenCLIP as paths. By their names it would ask the hub for each of
    them again, which takes minutes without a network.

    Args:
        source: OpenCLIP name, or "local-dir:" and a folder.
        pretrained: weights tag or weights file; None for a folder.
        device: "cpu", "cuda" or "mps".
        cache_dir: folder of downloads; None for the hub client's own cache.
    """
    import open_clip
    import torch
    from safetensors import SafetensorError

    if device == "cpu":
        torch.set_num_threads(own_threads())
    cache = str(cache_dir) if cache_dir else None
    label = source.removeprefix("local-dir:") if pretrained is None else f"{source}/{pretrained}"
    try:
        text = text_config(source)
        weights, options = _weights(source, pretrained, cache_dir)
        model = open_clip.create_model(
            source,
            weights,
            device=device,
            cache_dir=cache,
            require_pretrained=True,
            **options,
            **_text_tower(text, cache_dir),
        )
        tokenizer = open_clip.get_tokenizer(
            source, cache_dir=cache, **_tokenizer_options(source, text, cache_dir)
        )
    except ImportError as error:
        raise EncoderUnavailable(
            f"{label} needs a package that is not installed: {error}; {how_to_install()}."
        ) from error
    except (SafetensorError, EOFError) as error:
        raise EncoderUnavailable(
            f"The weights of {label} are damaged ({error}). Delete the file and fetch it again."
        ) from error
    except Exception as error:  # OpenCLIP raises any error of its parts.
        raise EncoderUnavailable(_explain(label, error)) from error
    return model.eval(), tokenizer


def _weights(
    source: str, pretrained: str | None, cache_dir: Path | None
) -> tuple[str | None, dict[str, Any]]:
    """Return the weights file, downloaded if necessary, and the options that its tag needs."""
    import open_clip

    if pretrained is None or Path(pretrained).is_file():
        return pretrained, {}
    entry = pretrained_entry(source, pretrained)
    cache = str(cache_dir) if cache_dir else None
    file = weights_file(entry).cached(cache_dir) or open_clip.download_pretrained(
        entry, cache_dir=cache
    )
    # Where a tag's activation is not the model's, OpenCLIP only warns and returns worse vectors.
    return str(file), {
        "force_preprocess_cfg": entry,
        "force_quick_gelu": bool(entry.get("quick_gelu")),
    }


def _text_tower(text: dict[str, Any], cache_dir: Path | None) -> dict[str, Any]:
    """Return the options for a text tower of transformers; {} for OpenCLIP's own text tower."""
    from huggingface_hub import hf_hub_download

    needed = text_tower_file(text)
    if needed is None:
        return {}
    config = needed.cached(cache_dir) or Path(
        hf_hub_download(needed.repository, needed.names[0], cache_dir=cache_dir)
    )
    # The model's weights include the text tower's, so those of its own repository are not loaded.
    own = {"hf_model_name": str(config.parent), "hf_model_pretrained": False}
    return {"text_cfg": {**text, **own}}


def _tokenizer_options(source: str, text: dict[str, Any], cache_dir: Path | None) -> dict[str, Any]:
    """Return the options by which transformers reads a cached tokenizer without asking the hub."""
    needed = None if source.startswith("local-dir:") else tokenizer_file(text)
    found = needed.cached(cache_dir) if needed else None
    # Only tokenizer.json is a whole tokenizer; other files may need more from the hub.
    return {"local_files_only": True} if found and found.name == "tokenizer.json" else {}


def _explain(label: str, error: Exception) -> str:
    """Return one line that names the fault of a model and a remedy."""
    text = str(error)
    if any(words in text for words in MISFITS):
        return (
            f"The weights of {label} do not fit its configuration "
            f"({text.strip().splitlines()[-1].strip()}). Use the pair that belongs together."
        )
    if "central directory" in text or "UnpicklingError" in type(error).__name__:
        return f"The weights of {label} are damaged. Delete the file and fetch it again. ({text})"
    return f"The model {label} cannot be loaded: {text.strip() or type(error).__name__}"
