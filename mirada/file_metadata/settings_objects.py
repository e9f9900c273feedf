"""Reads flat JSON objects of settings, in which each program spells the same few names differently."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from mirada.file_metadata.texts import Found, Texts, json_object
from mirada.file_metadata.webui import size_of

OBJECTS = (
    "parameters",
    "generation_data",
    "exif:UserComment",
    "xmp:UserComment",
    "Comment",
    "comment",
    "exif:ImageDescription",
    "exif:XPComment",
    "exif:Model",
    "Description",
    "UserComment",
)
"""The texts in which such an object has been seen, the usual ones first."""
ALIASES = {
    "prompt": ("prompt", "positiveprompt", "originalprompt", "positive", "textprompts"),
    "negative_prompt": ("negativeprompt", "negative", "negativeprompts", "uc"),
    "seed": ("seed", "noiseseed"),
    "steps": ("steps", "numinferencesteps", "samplingsteps", "inferencesteps"),
    "cfg_scale": ("cfgscale", "guidancescale", "cfg", "scale", "guidance"),
    "sampler": ("sampler", "samplername"),
    "scheduler": ("scheduler", "noiseschedule", "scheduletype", "schedulername"),
    "model": (
        "model",
        "modelname",
        "basemodel",
        "basemodelname",
        "usestablediffusionmodel",
        "stablediffusionmodel",
        "modelweights",
        "sdmodel",
        "checkpoint",
        "ckpt",
    ),
    "model_hash": ("modelhash", "basemodelhash", "sdmodelhash"),
    "width": ("width",),
    "height": ("height",),
}
"""The fields of `FileMetadata`, and how programs call them: lower case, letters and digits only."""
SIZES = ("size", "resolution")
"""Names under which a program writes width and height as one text, such as "512x768"."""
EASY_DIFFUSION = ("use_stable_diffusion_model", "Stable Diffusion model")
"""Keywords that only Easy Diffusion uses. It writes one text for each setting into a PNG."""
MAX_KEYS = 300
"""A bound against damaged files, chosen here: many times what any known program writes."""


def read(texts: Texts) -> Found | None:
    """Return the settings of the first object that has a prompt and one more setting."""
    for name, _ in texts.of(OBJECTS):
        found = read_object(texts.json_object(name))
        if found is not None:
            return found
    if any(name in texts for name in EASY_DIFFUSION):
        return "Easy Diffusion", values_of(texts.all())
    return None


def read_object(data: dict[str, Any] | None) -> Found | None:
    """Return the settings in a JSON object; None for an object about something else."""
    if data is None:
        return None
    swarm = data.get("sui_image_params")
    if isinstance(swarm, dict):
        return "SwarmUI", values_of(swarm)
    civitai = json_object(data.get("extraMetadata"))
    if civitai is not None:
        return "Civitai", values_of(civitai)
    if isinstance(data.get("c"), str) and ("uc" in data or "v2" in data):
        return "Draw Things", values_of({**data, "prompt": data["c"], "c": None})
    values = values_of(data)
    is_settings = any(values[field] is not None for field in ("seed", "steps", "model"))
    if not is_settings or not isinstance(values["prompt"], str):
        return None
    return _program(data), values


def values_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values under the names of `FileMetadata`; values under other names go to `extra`."""
    by_alias: dict[str, str] = {}
    for key in islice(data, MAX_KEYS):
        if isinstance(key, str) and len(key) <= 64:
            by_alias.setdefault("".join(char for char in key.lower() if char.isalnum()), key)
    used: set[str] = set()

    def first(aliases: tuple[str, ...]) -> Any:
        for alias in aliases:
            key = by_alias.get(alias)
            if key is not None and data[key] not in (None, ""):
                used.add(key)
                return data[key]
        return None

    values = {field: first(aliases) for field, aliases in ALIASES.items()}
    values["prompt"] = joined(values["prompt"])
    values["negative_prompt"] = joined(values["negative_prompt"])
    values["model"], named_hash = model_of(values["model"])
    values["model_hash"] = values["model_hash"] or named_hash
    if values["width"] is None or values["height"] is None:
        values["width"], values["height"] = size_of(first(SIZES))
    values["extra"] = {
        key: data[key]
        for key in by_alias.values()
        if key not in used and isinstance(data[key], str | int | float)
    }
    return values


def joined(value: object) -> str | None:
    """Return a text as it is, or a list of texts (or objects with a prompt) as one text, one a line."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return None
    parts = [part.get("prompt") if isinstance(part, dict) else part for part in value[:50]]
    return "\n".join(part for part in parts if isinstance(part, str)) or None


def model_of(value: object) -> tuple[object, object]:
    """Return a model's name without folders, and its hash; None where no hash is beside the name."""
    named_hash: object = None
    if isinstance(value, dict):
        named_hash = value.get("hash")
        names = ("model_name", "name", "label", "modelName", "key")
        value = next((value[name] for name in names if isinstance(value.get(name), str)), None)
    if isinstance(value, str):
        value = value.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return value, named_hash


def _program(data: dict[str, Any]) -> str:
    if "use_stable_diffusion_model" in data or "Stable Diffusion model" in data:
        return "Easy Diffusion"
    for key in ("software", "generator", "version", "app", "app_id", "tool"):
        name = data.get(key)
        if isinstance(name, str):
            for known in ("RuinedFooocus", "Fooocus", "InvokeAI", "mflux", "SD.Next"):
                if known.lower() in name.lower()[:200]:
                    return known
            if key in ("software", "generator"):
                return name
    if "adm_guidance" in data or "sharpness" in data:
        return "Fooocus"
    return "TensorArt" if "baseModel" in data and "samplerName" in data else "Unknown"
