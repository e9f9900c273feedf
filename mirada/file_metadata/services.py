"""Programs with a form of their own: NovelAI, InvokeAI in its three ages, Midjourney."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from mirada.file_metadata.flat import joined, values_of
from mirada.file_metadata.texts import Found, Texts
from mirada.kernel.writing import MAX_TEXT_CHARS

MIDJOURNEY_JOB = re.compile(r"Job ID: ?[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\s*\Z")
MIDJOURNEY_SOURCES = ("Description", "xmp:description", "exif:ImageDescription")
BRACKETS = re.compile(r"\[([^\[\]]*)\]")
JOB_CHARS = 80
"""The longest that the end of a description with a job can be."""
MAX_PARAMETERS = 40
DREAM = {"-s": "steps", "-S": "seed", "-W": "width", "-H": "height", "-C": "cfg_scale"}
"""Switches of InvokeAI's first command line, and `-A` for the sampler."""


def read_novelai(texts: Texts) -> Found | None:
    """Return what NovelAI says: `Description`, `Source`, and `Comment` as JSON."""
    marks = (texts.get("Software"), texts.get("Title"), texts.get("exif:Software"))
    if not any("NovelAI" in mark[:200] for mark in marks):
        return None
    comment = texts.json_object("Comment") or texts.json_object("exif:UserComment") or {}
    values = values_of(comment)
    values["prompt"] = (
        _captions(comment.get("v4_prompt"))
        or values["prompt"]
        or texts.get("Description")
        or texts.get("exif:ImageDescription")
    )
    values["negative_prompt"] = (
        _captions(comment.get("v4_negative_prompt")) or values["negative_prompt"]
    )
    model, _, number = texts.get("Source").strip()[:200].rpartition(" ")
    is_hash = bool(re.fullmatch(r"[0-9A-F]{8}", number))
    values["model"] = model if is_hash else texts.get("Source")
    values["model_hash"] = number if is_hash else None
    return "NovelAI", values


def _captions(prompt: object) -> str | None:
    """Return the scene and its characters, as NovelAI's own page writes them in one line."""
    caption = prompt.get("caption") if isinstance(prompt, dict) else None
    if not isinstance(caption, dict):
        return None
    characters = caption.get("char_captions")
    parts = [caption.get("base_caption")]
    for character in characters[:20] if isinstance(characters, list) else []:
        parts.append(character.get("char_caption") if isinstance(character, dict) else None)
    return " | ".join(part for part in parts if isinstance(part, str) and part.strip()) or None


def read_invokeai(texts: Texts) -> Found | None:
    """Return what InvokeAI says, in the newest form that is there."""
    for name in ("invokeai_metadata", "invokeai"):
        newest = texts.json_object(name)
        if newest:
            return "InvokeAI", values_of(newest)
    older = texts.json_object("sd-metadata")
    if older and isinstance(older.get("image"), dict):
        image: dict[str, Any] = older["image"]
        values = values_of({**image, **{k: v for k, v in older.items() if k != "image"}})
        # "model" was the kind of network then; the weights have the name.
        values["model"] = older.get("model_weights")
        values["prompt"], values["negative_prompt"] = _bracketed(joined(image.get("prompt")) or "")
        return "InvokeAI", values
    return _dream(texts.get("Dream")) if "Dream" in texts else None


def _dream(line: str) -> Found | None:
    """Return what a command line says: `"PROMPT [NEGATIVE]" -s 50 -S 1 -W 512 -H 512 -C 7 -A k_lms`."""
    line = line.strip()[:50_000]
    end = line.rfind('" -') if '" -' in line else line.rfind('"')
    if not line.startswith('"') or end < 1:
        return None
    values: dict[str, Any] = {}
    values["prompt"], values["negative_prompt"] = _bracketed(line[1:end])
    words = line[end + 1 :].split()[: 2 * MAX_PARAMETERS]
    for switch, value in pairwise(words):
        if switch in DREAM:
            values[DREAM[switch]] = value
        elif switch == "-A":
            values["sampler"] = value
    return "InvokeAI", values


def _bracketed(prompt: str) -> tuple[str, str]:
    """Return the prompt without its [negative parts], and these."""
    parts = BRACKETS.split(prompt[: 2 * MAX_TEXT_CHARS])
    negative = (part.strip(" ,") for part in parts[1::2])
    return "".join(parts[::2]), ", ".join(part for part in negative if part)


def read_midjourney(texts: Texts) -> Found | None:
    """Return what Midjourney says: `PROMPT --ar 16:9 --v 6.1 Job ID: ...`."""
    for _, text in texts.of(MIDJOURNEY_SOURCES):
        tail = text.rstrip()[-JOB_CHARS:]
        job = MIDJOURNEY_JOB.search(tail)
        if job is None:
            continue
        line = text.rstrip()[: -len(job[0])]
        parts = f" {line}".rsplit(" --", MAX_PARAMETERS)
        said: dict[str, str] = {}
        # Dashes in the prompt are followed by no name.
        while len(parts) > 1 and parts[-1][:1].isalpha():
            name, _, value = parts.pop().partition(" ")
            said[name] = value.strip()
        values: dict[str, Any] = {
            "prompt": " --".join(parts),
            "negative_prompt": said.pop("no", None),
        }
        values["seed"] = said.pop("seed", None)
        version, niji = said.get("v") or said.get("version"), said.get("niji")
        values["model"] = f"niji {niji}" if niji else version and f"Midjourney {version}"
        values["extra"] = said
        return "Midjourney", values
    return None
