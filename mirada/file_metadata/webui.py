"""Reads the settings line of AUTOMATIC1111's web UI, which a dozen other programs write too.

PROMPT
Negative prompt: NEGATIVE
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x768, Model: NAME
"""

from __future__ import annotations

import json
from typing import Any

from mirada.file_metadata.texts import Found, Texts

SOURCES = (
    "parameters",
    "exif:UserComment",
    "xmp:UserComment",
    "xmp:parameters",
    "comment",
    "exif:ImageDescription",
    "exif:XPComment",
    "Comment",
    "Description",
    "xmp:description",
    "UserComment",
)
"""The texts in which the settings line has been seen, the usual ones first."""
FIELDS = {
    "Steps": "steps",
    "Sampler": "sampler",
    "Schedule type": "scheduler",
    "Scheduler": "scheduler",
    "CFG scale": "cfg_scale",
    "CFG Scale": "cfg_scale",
    "Guidance Scale": "cfg_scale",
    "Seed": "seed",
    "Model": "model",
    "Base Model": "model",
    "Model hash": "model_hash",
    "Base Model Hash": "model_hash",
}
"""Keys of the line, and the fields of `FileMetadata` that they fill."""
NEGATIVE = "\nNegative prompt:"
MAX_SETTINGS_CHARS = 50_000
"""Characters of the line that are read: the longest lines hold two more prompts in quotes."""
MAX_NESTED_CHARS = 10_000
"""Characters of one value in quotes or brackets; the length of a prompt."""
MAX_SETTINGS = 100
"""A bound against damaged files, chosen here: the longest known line has about 30 settings."""


def read(texts: Texts) -> Found | None:
    """Return the settings of the first text that has this format."""
    for name, text in texts.of(SOURCES):
        # A JSON object, whole or cut off, belongs to another format; a prompt may begin with "{".
        is_object = text.lstrip()[:2] == '{"' or texts.json_object(name) is not None
        found = None if is_object else read_text(text, is_certain=name == "parameters")
        if found is not None:
            return found
    return None


def read_text(text: str, *, is_certain: bool) -> Found | None:
    """Return the settings of a text in this format; None for any other text.

    Args:
        text: the whole text, with its prompt.
        is_certain: the text is under a name that only generators use: a prompt alone is enough.
    """
    text = "\n" + text.replace("\r\n", "\n").replace("\r", "\n")
    # A prompt may quote a settings line, so the last one counts.
    line_at = text.rfind("\nSteps: ")
    head = text if line_at < 0 else text[:line_at]
    prompt, negative_mark, negative = head.partition(NEGATIVE)
    if line_at < 0 and not negative_mark and not is_certain:
        return None
    settings = {} if line_at < 0 else _settings(text[line_at + 1 :].partition("\n")[0])
    values: dict[str, Any] = {"prompt": prompt, "negative_prompt": negative}
    values["width"], values["height"] = size_of(settings.pop("Size", ""))
    for key in list(settings):
        if key in FIELDS:
            # Two keys may fill one field; the first of them counts.
            values.setdefault(FIELDS[key], settings.pop(key))
    values["extra"] = settings
    return _program(settings), values


def size_of(text: object) -> tuple[str | None, str | None]:
    """Return width and height of "512x768" or "(512, 768)" as digits; (None, None) for other texts."""
    if not isinstance(text, str) or len(text) > 40:
        return None, None
    for separator in ("x", "×", ","):
        width, found, height = text.strip("()[] ").partition(separator)
        if found and width.strip().isdecimal() and height.strip().isdecimal():
            return width.strip(), height.strip()
    return None, None


def _settings(line: str) -> dict[str, str]:
    """Return the line's values by key. A value may be a JSON string, or hold commas in brackets."""
    line = line[:MAX_SETTINGS_CHARS]
    pairs: dict[str, str] = {}
    at = 0
    for _ in range(MAX_SETTINGS):
        colon = line.find(":", at)
        if colon < 0:
            break
        key = line[at:colon].strip(" ,")
        at = colon + 1
        while at < len(line) and line[at] == " ":
            at += 1
        end = _end_of_value(line, at)
        pairs.setdefault(key, _unquoted(line[at:end].strip()))
        comma = line.find(",", end)
        if comma < 0:
            break
        at = comma + 1
    return pairs


def _end_of_value(line: str, start: int) -> int:
    """Return the position of the comma after the value that begins at `start`, or the line's length."""
    depth, is_quoted, at = 0, False, start
    may_nest = line[start : start + 1] in ('"', "{", "[")
    stop = min(len(line), start + MAX_NESTED_CHARS) if may_nest else start
    while at < stop:
        letter = line[at]
        if letter == "\\":
            at += 1
        elif letter == '"':
            is_quoted = not is_quoted
        elif not is_quoted and letter in "{[":
            depth += 1
        elif not is_quoted and letter in "]}":
            depth -= 1
        elif letter == "," and not is_quoted and depth <= 0:
            return at
        at += 1
    if may_nest and not is_quoted and depth <= 0 and stop == len(line):
        return stop
    # A quote without its partner is part of a plain value.
    comma = line.find(",", start)
    return len(line) if comma < 0 else comma


def _unquoted(value: str) -> str:
    if not (len(value) > 1 and value.startswith('"') and value.endswith('"')):
        return value
    try:
        text = json.loads(value)
    except ValueError:
        return value
    return text if isinstance(text, str) else value


def _program(settings: dict[str, str]) -> str:
    """Return the program that wrote a settings line; AUTOMATIC1111 where the line names none."""
    app, version = settings.get("App", ""), settings.get("Version", "")
    if app.startswith("SD.Next"):
        return "SD.Next"
    if version.startswith(("f1.", "f2.")) or "forge" in version.lower():
        return "Forge"
    for name in ("Fooocus", "ComfyUI", "InvokeAI", "Draw Things"):
        if name.lower() in f"{version} {app}".lower():
            return name
    if "Civitai resources" in settings:
        return "Civitai"
    return "AUTOMATIC1111"
