"""The settings line of AUTOMATIC1111's web UI, which a dozen other programs write as well.

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
"""Where the text has been seen, the usual places first."""
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
NEGATIVE = "\nNegative prompt:"
MAX_SETTINGS_CHARS = 50_000
"""Of the line: the longest carry a prompt or two for details in quotes."""
MAX_NESTED_CHARS = 10_000
"""Of one value in quotes or brackets."""
MAX_SETTINGS = 100


def read(texts: Texts) -> Found | None:
    """Return what the first text of this form says."""
    for name, text in texts.of(SOURCES):
        # An object of settings, whole or cut off, is another form's; a prompt may begin so.
        is_object = text.lstrip()[:2] == '{"' or texts.json_object(name) is not None
        found = None if is_object else read_text(text, is_certain=name == "parameters")
        if found is not None:
            return found
    return None


def read_text(text: str, *, is_certain: bool) -> Found | None:
    """Return what a text of this form says, None for any other text.

    Args:
        text: all of it.
        is_certain: it stood where only generators write, so that a prompt alone will do.
    """
    text = "\n" + text.replace("\r\n", "\n").replace("\r", "\n")
    # A prompt may quote such a line; the last one counts.
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
            # A second name of the same field adds nothing to a first that is there.
            values.setdefault(FIELDS[key], settings.pop(key))
    values["extra"] = settings
    return _program(settings), values


def size_of(text: object) -> tuple[str | None, str | None]:
    """Return width and height of "512x768" or "(512, 768)", Nones for anything else."""
    if not isinstance(text, str) or len(text) > 40:
        return None, None
    for separator in ("x", "×", ","):
        width, found, height = text.strip("()[] ").partition(separator)
        if found and width.strip().isdecimal() and height.strip().isdecimal():
            return width.strip(), height.strip()
    return None, None


def _settings(line: str) -> dict[str, str]:
    """Return the line's pairs; a value may be a JSON string or hold commas in brackets."""
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
    """Return the position of the comma that ends a value, or of the line's end."""
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
    # Quotes that never close are part of a plain value.
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
    """Return which program wrote a settings line; without a hint the one that began it."""
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
