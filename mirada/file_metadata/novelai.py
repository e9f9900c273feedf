"""Reads the settings that NovelAI writes: texts `Description` and `Source`, and JSON in `Comment`."""

from __future__ import annotations

import re

from mirada.file_metadata.settings_objects import values_of
from mirada.file_metadata.texts import Found, Texts


def read(texts: Texts) -> Found | None:
    """Return the settings of a picture by NovelAI; None for a picture by another program."""
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
    """Return the prompt of the scene and of its characters in one line, as NovelAI's own page does."""
    caption = prompt.get("caption") if isinstance(prompt, dict) else None
    if not isinstance(caption, dict):
        return None
    found = caption.get("char_captions")
    characters = found[:20] if isinstance(found, list) else []
    parts = [caption.get("base_caption")]
    parts += [each.get("char_caption") for each in characters if isinstance(each, dict)]
    return " | ".join(part for part in parts if isinstance(part, str) and part.strip()) or None
