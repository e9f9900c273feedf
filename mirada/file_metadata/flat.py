"""Programs that write one flat object of settings: the same few names, each spelled in its own way."""

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
"""Where such an object has been seen."""
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
"""Our fields, and their names without capitals, blanks and underscores."""
SIZES = ("size", "resolution")
EASY_DIFFUSION = ("use_stable_diffusion_model", "Stable Diffusion model")
"""Either of its two spellings; it writes one text per setting into a PNG."""
MAX_KEYS = 300


def read(texts: Texts) -> Found | None:
    """Return what the first object with a prompt and one more setting says."""
    for name, _ in texts.of(OBJECTS):
        found = read_object(texts.json_object(name))
        if found is not None:
            return found
    if any(name in texts for name in EASY_DIFFUSION):
        return "Easy Diffusion", values_of(texts.all())
    return None


def read_object(data: dict[str, Any] | None) -> Found | None:
    """Return what an object of settings says, None for one that is about something else."""
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
    """Return the object's values under our names; what is left over is extra."""
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
    """Return a text; of a list of texts, or of objects with a prompt, one a line."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return None
    parts = [part.get("prompt") if isinstance(part, dict) else part for part in value[:50]]
    return "\n".join(part for part in parts if isinstance(part, str)) or None


def model_of(value: object) -> tuple[object, object]:
    """Return a model's name without its folders, and its hash where it stands beside the name."""
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
