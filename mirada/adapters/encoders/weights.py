"""Where OpenCLIP weights are: in a folder, in the cache, on the hub; and which model to choose."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import json
import logging
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from mirada.domain.errors import EncoderUnavailable, InvalidInput

logger = logging.getLogger(__name__)

PRODUCTION_MODEL = ("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k")
"""Why this one, and what it costs: docs/models.md."""
BUNDLED_NAMES = frozenset({"bundled", "mirada-stickers"})
"""What CLIP_MODEL may say for the model that ships with the project."""
AUTO_DECISION_S = 3.0
"""Longest wait for the hub before `auto` settles for the bundled model (CONTRACT: under 5 s)."""
CONFIG_NAME = "open_clip_config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def model_folder(model: str) -> Path | None:
    """Return the folder a model setting names, None when it is an OpenCLIP name.

    Raises:
        EncoderUnavailable: it is written as a path and no folder is there.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise EncoderUnavailable(
            f"There is no model folder {model}. CLIP_MODEL takes a folder with {CONFIG_NAME} and "
            "weights, or an OpenCLIP model name."
        )
    return None


def weights_in(folder: Path) -> Path:
    """Return the weights file of a model folder, in OpenCLIP's order of preference.

    Raises:
        EncoderUnavailable: the configuration or the weights are missing or not readable.
    """
    from open_clip.factory import _find_checkpoint_in_dir

    config = folder / CONFIG_NAME
    try:
        if "model_cfg" not in json.loads(config.read_text(encoding="utf-8")):
            raise EncoderUnavailable(f"{config} has no model_cfg: it does not describe a model.")
    except FileNotFoundError as error:
        raise EncoderUnavailable(
            f"{folder} is not an OpenCLIP model folder: it has no {CONFIG_NAME}."
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise EncoderUnavailable(f"{config} cannot be read: {error}") from error
    found = _find_checkpoint_in_dir(folder)
    if found is None:
        raise EncoderUnavailable(
            f"{folder} holds a configuration but no weights (open_clip_model.safetensors). Restore "
            "the file; nothing is ever computed with random weights."
        )
    return Path(found)


def digest_of(weights: Path) -> str:
    """Return "sha256-" and the first 12 hex digits: the weights tag of a local model."""
    with weights.open("rb") as stream:
        return f"sha256-{hashlib.file_digest(stream, 'sha256').hexdigest()[:12]}"


def folder_name(folder: Path) -> str:
    """Return what a model folder calls itself: "name" in its configuration, else the folder's."""
    config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    name = config.get("name")
    return name if isinstance(name, str) and name else folder.resolve().name


def pretrained_entry(model: str, pretrained: str | None) -> dict[str, Any]:
    """Return OpenCLIP's record of a model name and weights tag.

    Raises:
        InvalidInput: OpenCLIP knows no such name or tag; the message lists near ones.
    """
    import open_clip

    name = model.replace("/", "-")
    if name not in open_clip.list_models():
        near = difflib.get_close_matches(name, open_clip.list_models(), n=4, cutoff=0.4)
        raise InvalidInput(
            f"OpenCLIP knows no model '{model}'. Near names: {', '.join(near) or 'none'}. CLIP_MODEL "
            "takes one of its names, a model folder, 'bundled' or 'auto'."
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    entry: dict[str, Any] = open_clip.get_pretrained_cfg(name, pretrained or "")
    if not entry:
        what = f"no weights '{pretrained}'" if pretrained else "several weights; none was chosen"
        raise InvalidInput(
            f"OpenCLIP has {what} for '{model}'. Set CLIP_PRETRAINED to one of: "
            f"{', '.join(tags) or '(it has none: use a model folder)'}."
        )
    return entry


def _text_config(model: str) -> dict[str, Any]:
    """Return the text tower's part of a named model's configuration."""
    import open_clip

    config = open_clip.get_model_config(model.replace("/", "-")) or {}
    text: dict[str, Any] = config.get("text_cfg", {})
    return text


def hub_text_tower(model: str) -> str | None:
    """Return the repository a named model's text tower is configured by, None for OpenCLIP's own."""
    name = _text_config(model).get("hf_model_name")
    return str(name) if name else None


def packages_missing(model: str) -> list[str]:
    """Return the packages a named model needs and that are not installed."""
    text = _text_config(model)
    needs_transformers = text.get("hf_model_name") or text.get("hf_tokenizer_name")
    if needs_transformers and importlib.util.find_spec("transformers") is None:
        return ["transformers"]
    return []


def _hub_files(model: str, entry: dict[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """Return what a model needs from the hub: (repository, file names any of which will do)."""
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    repository, _, filename = entry["hf_hub"].rpartition("/")
    stem = (filename or HF_WEIGHTS_NAME).rpartition(".")[0]
    safe = HF_SAFE_WEIGHTS_NAME if not filename else f"{stem}.safetensors"
    needed: list[tuple[str, tuple[str, ...]]] = [(repository, (safe, filename or HF_WEIGHTS_NAME))]
    text = _text_config(model)
    if text.get("hf_model_name"):
        needed.append((text["hf_model_name"], ("config.json",)))
    if text.get("hf_tokenizer_name"):
        needed.append((text["hf_tokenizer_name"], TOKENIZER_FILES))
    return needed


def weights_available(model: str, pretrained: str | None, cache_dir: Path | None) -> bool:
    """Return whether a model can be loaded without any network.

    Args:
        model: OpenCLIP name, or a model folder.
        pretrained: weights tag, or a weights file; None for a folder.
        cache_dir: where downloads are kept; None for the hub client's own cache.
    """
    from huggingface_hub import try_to_load_from_cache

    folder = model_folder(model)
    if folder is not None:
        try:
            weights_in(folder)
        except EncoderUnavailable:
            return False
        return True
    if pretrained and Path(pretrained).is_file():
        return True
    entry = pretrained_entry(model, pretrained)
    if not entry.get("hf_hub"):
        folder = cache_dir or Path("~/.cache/clip").expanduser()
        return bool(entry.get("url")) and (folder / entry["url"].rpartition("/")[2]).is_file()
    return all(
        any(
            isinstance(try_to_load_from_cache(repository, name, cache_dir=cache_dir), str)
            for name in names
        )
        for repository, names in _hub_files(model, entry)
    )


def hub_reachable(timeout_s: float) -> bool:
    """Return whether the weights hub answers within `timeout_s`; false when it is switched off.

    The hub client's own retries take 45 s without a network, and a name lookup knows no time-out,
    so the question is asked on a thread that may be left behind.
    """
    from huggingface_hub import constants

    endpoint = os.environ.get("HF_ENDPOINT", constants.ENDPOINT)
    if constants.is_offline_mode() or not endpoint.startswith(("http://", "https://")):
        return False
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310 - checked above
        try:
            with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310
                answered.set()
        except urllib.error.HTTPError as error:
            # A hub without a front page is a hub; a gateway's 502 or a proxy's 407 is not.
            if error.code in {404, 405}:
                answered.set()
        except (OSError, ValueError):
            logger.debug("The weights hub does not answer.", exc_info=True)
        finally:
            done.set()

    done = threading.Event()
    threading.Thread(target=ask, name="hub-probe", daemon=True).start()
    done.wait(timeout_s)
    return answered.is_set()


def choose_model(
    model: str,
    pretrained: str | None,
    *,
    bundled: Path,
    pinned: tuple[str, str] | None = None,
    cache_dir: Path | None = None,
) -> tuple[str, str | None]:
    """Return the model and weights tag that `OpenClipEncoder.load` shall load.

    With "auto" and an empty database: the production model when its weights are cached or the
    hub answers, else the bundled one. With "auto" and a filled database: what it was filled with.

    Args:
        model: CLIP_MODEL: "auto", "bundled", an OpenCLIP name, or a model folder.
        pretrained: CLIP_PRETRAINED.
        bundled: the folder of the model that ships with the project.
        pinned: (encoder, pretrained) of the database's embedding space, None when it has none.
        cache_dir: where downloads are kept; None for the hub client's own cache.

    Raises:
        InvalidInput: the database is pinned to a local model that `auto` cannot locate.
    """
    if model in BUNDLED_NAMES:
        return str(bundled), None
    if model != "auto":
        return model, pretrained
    if pinned is not None:
        encoder, tag = pinned
        if not tag.startswith("sha256-"):
            return encoder, tag
        if encoder == folder_name(bundled):
            return str(bundled), None
        raise InvalidInput(
            f"This database was filled with the local model {encoder} ({tag}). Set CLIP_MODEL to "
            "its folder; 'auto' cannot know where it is."
        )
    missing = packages_missing(PRODUCTION_MODEL[0])
    if missing:
        reason = f"needs packages that are not installed ({', '.join(missing)})"
    elif weights_available(*PRODUCTION_MODEL, cache_dir):
        logger.info("Encoder: %s/%s, from the cache.", *PRODUCTION_MODEL)
        return PRODUCTION_MODEL
    elif hub_reachable(AUTO_DECISION_S):
        logger.warning("Encoder: %s/%s. Its weights are downloaded now, once.", *PRODUCTION_MODEL)
        return PRODUCTION_MODEL
    else:
        reason = f"is not in the cache, and its hub did not answer in {AUTO_DECISION_S:.0f} s"
    logger.warning(
        "Encoder: the BUNDLED sticker model. The production model (%s/%s) %s. The bundled model "
        "knows stickers and emoji; it does not understand photographs. To use another, set "
        "CLIP_MODEL (docs/models.md).",
        *PRODUCTION_MODEL,
        reason,
    )
    return str(bundled), None
