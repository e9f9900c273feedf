"""Finds the files of the model that a setting names: a folder or an OpenCLIP name. No network is used."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any

from mirada.adapters.encoders.hub import HubFile
from mirada.kernel.errors import EncoderUnavailable, InvalidInput

CONFIG_NAME = "open_clip_config.json"
"""OpenCLIP's name of the configuration in a model folder."""
WEIGHTS_NAMES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
"""Names of a folder's weights in OpenCLIP's order of preference; then come others, safetensors first."""
WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pth")
PHOTOS_MANIFEST, PHOTO_WEIGHTS = "photos.json", "photo_tower.safetensors"
"""In a folder that holds a tower for photographs beside the sticker model of the folder above."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
"""Names of transformers' tokenizer files, the preferred one first."""


def model_folder(model: str) -> Path | None:
    """Return the folder that a model setting names; None when it is an OpenCLIP name.

    Raises:
        EncoderUnavailable: it has the form of a path, and there is no such folder.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise EncoderUnavailable(
            f"There is no model folder {model}. A model is a folder with {CONFIG_NAME} and "
            "weights, or an OpenCLIP model name."
        )
    return None


def _configuration_in(folder: Path) -> dict[str, Any]:
    """Return a model folder's configuration, which describes both towers.

    Raises:
        EncoderUnavailable: it is missing, cannot be read, or describes no model.
    """
    path = folder / CONFIG_NAME
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        towers = [config["model_cfg"][part] for part in ("vision_cfg", "text_cfg")]
    except FileNotFoundError as error:
        raise EncoderUnavailable(
            f"{folder} is not an OpenCLIP model folder: it has no {CONFIG_NAME}."
        ) from error
    except (KeyError, TypeError) as error:
        raise EncoderUnavailable(
            f"{path} does not describe a model: it needs model_cfg with vision_cfg and text_cfg."
        ) from error
    except (OSError, ValueError) as error:
        raise EncoderUnavailable(f"{path} cannot be read: {error}") from error
    if not all(isinstance(tower, dict) for tower in towers):
        raise EncoderUnavailable(f"{path} does not describe a model: a tower is no JSON object.")
    return config


def weights_in(folder: Path) -> Path:
    """Return the weights file of a model folder, in OpenCLIP's order of preference.

    A folder with a tower for photographs is named by that tower's weights.

    Raises:
        EncoderUnavailable: the configuration or the weights are missing or cannot be read.
    """
    if (folder / PHOTOS_MANIFEST).exists():
        if (folder / PHOTO_WEIGHTS).is_file():
            return folder / PHOTO_WEIGHTS
        raise EncoderUnavailable(f"{folder} holds no {PHOTO_WEIGHTS}. Fetch the folder again.")
    _configuration_in(folder)
    candidates = sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS_SUFFIXES)
    preferred = [folder / name for name in WEIGHTS_NAMES if folder / name in candidates]
    safe = [path for path in candidates if path.suffix == ".safetensors"]
    found = next(iter([*preferred, *safe, *candidates]), None)
    if found is None:
        raise EncoderUnavailable(
            f"{folder} holds a configuration but no weights (open_clip_model.safetensors). Restore "
            "the file; nothing is ever computed with random weights."
        )
    return found


def digest_of(weights: Path) -> str:
    """Return the weights tag of a local model: "sha256-" and the first 12 hex digits."""
    with weights.open("rb") as stream:
        return f"sha256-{hashlib.file_digest(stream, 'sha256').hexdigest()[:12]}"


def folder_name(folder: Path) -> str:
    """Return the name of a model folder: "name" in its configuration, else the folder's own."""
    if (folder / PHOTOS_MANIFEST).exists():
        name = json.loads((folder / PHOTOS_MANIFEST).read_text(encoding="utf-8")).get("name")
    else:
        name = _configuration_in(folder).get("name")
    return name if isinstance(name, str) and name else folder.resolve().name


def require_known(model: str) -> None:
    """Raise InvalidInput with similar names unless OpenCLIP knows the model."""
    import open_clip

    name = model.replace("/", "-")
    if name not in open_clip.list_models():
        near = difflib.get_close_matches(name, open_clip.list_models(), n=4, cutoff=0.4)
        raise InvalidInput(
            f"OpenCLIP knows no model '{model}'. Near names: {', '.join(near) or 'none'}. A model is one "
            "of its names, a folder, or 'bundled'."
        )


def pretrained_entry(model: str, pretrained: str | None) -> dict[str, Any]:
    """Return OpenCLIP's record of a model name and weights tag.

    Raises:
        InvalidInput: OpenCLIP knows no such name or tag; the message lists similar ones.
    """
    import open_clip

    require_known(model)
    name = model.replace("/", "-")
    tags = open_clip.list_pretrained_tags_by_model(name)
    entry: dict[str, Any] = open_clip.get_pretrained_cfg(name, pretrained or "")
    if not entry:
        what = f"no weights '{pretrained}'" if pretrained else "several weights; none was chosen"
        raise InvalidInput(
            f"OpenCLIP has {what} for '{model}'. Choose (CLIP_PRETRAINED, or behind a slash) one of: "
            f"{', '.join(tags) or '(it has none: use a model folder)'}."
        )
    return entry


def text_config(source: str) -> dict[str, Any]:
    """Return the text tower's part of a model's configuration.

    Args:
        source: OpenCLIP's name of the model, or "local-dir:" and a folder.
    """
    import open_clip

    is_folder = source.startswith("local-dir:")
    config = open_clip.get_model_config(source if is_folder else source.replace("/", "-")) or {}
    text: dict[str, Any] = config.get("text_cfg", {})
    return text


def tokenizer_file(text: dict[str, Any]) -> HubFile | None:
    """Return the hub's file of a model's tokenizer; None for OpenCLIP's own tokenizer."""
    name = text.get("hf_tokenizer_name")
    return HubFile(name, TOKENIZER_FILES) if name else None


def text_tower_file(text: dict[str, Any]) -> HubFile | None:
    """Return the hub's file of a text tower of transformers; None for OpenCLIP's own text tower."""
    name = text.get("hf_model_name")
    return HubFile(name, ("config.json",)) if name and not Path(name).is_dir() else None


def weights_file(entry: dict[str, Any]) -> HubFile:
    """Return the hub's file of the weights in OpenCLIP's record `entry`."""
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    repository, _, filename = entry["hf_hub"].rpartition("/")
    if not filename:
        return HubFile(repository, (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME))
    return HubFile(repository, (f"{filename.rpartition('.')[0]}.safetensors", filename))


def hub_files(model: str, pretrained: str | None) -> list[HubFile]:
    """Return every file that a model needs from the hub.

    Args:
        model: OpenCLIP name, or a model folder.
        pretrained: weights tag, or a weights file; None for a folder.

    Raises:
        InvalidInput: OpenCLIP knows no such name or tag.
        EncoderUnavailable: there is no such folder.
    """
    folder = model_folder(model)
    if folder is not None:
        # Weights and tokenizer lie in the folder; the text tower's configuration does not.
        tower = text_tower_file(text_config(f"local-dir:{folder}"))
        return [tower] if tower else []
    require_known(model)
    text = text_config(model)
    needed = [text_tower_file(text), tokenizer_file(text)]
    if not (pretrained and Path(pretrained).is_file()):
        needed.insert(0, weights_file(pretrained_entry(model, pretrained)))
    return [file for file in needed if file is not None]
