"""Reads the settings that InvokeAI writes, in its three formats: two JSON objects and a command line."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from mirada.file_metadata.settings_objects import joined, values_of
from mirada.file_metadata.texts import Found, Texts
from mirada.kernel.user_text import MAX_TEXT_CHARS

BRACKETS = re.compile(r"\[([^\[\]]*)\]")
DREAM = {"-s": "steps", "-S": "seed", "-W": "width", "-H": "height", "-C": "cfg_scale"}
"""The switches of InvokeAI's first command line, `dream`; `-A` for the sampler is read apart."""
MAX_SWITCHES = 40
"""A bound against damaged files, chosen here; it also bounds the time that a line takes."""
MAX_LINE_CHARS = 50_000
"""Chosen here: five times MAX_TEXT_CHARS, room for two prompts and every switch."""


def read(texts: Texts) -> Found | None:
    """Return the settings that InvokeAI wrote, from the newest of its formats that is present."""
    for name in ("invokeai_metadata", "invokeai"):
        newest = texts.json_object(name)
        if newest:
            return "InvokeAI", values_of(newest)
    older = texts.json_object("sd-metadata")
    if older and isinstance(older.get("image"), dict):
        image: dict[str, Any] = older["image"]
        values = values_of({**image, **{k: v for k, v in older.items() if k != "image"}})
        # This format calls the kind of network "model"; the name of the weights is beside it.
        values["model"] = older.get("model_weights")
        values["prompt"], values["negative_prompt"] = _bracketed(joined(image.get("prompt")) or "")
        return "InvokeAI", values
    return _dream(texts.get("Dream")) if "Dream" in texts else None


def _dream(line: str) -> Found | None:
    """Return the settings of a line like `"PROMPT [NEGATIVE]" -s 50 -S 1 -W 512 -H 512 -A k_lms`."""
    line = line.strip()[:MAX_LINE_CHARS]
    end = line.rfind('" -') if '" -' in line else line.rfind('"')
    if not line.startswith('"') or end < 1:
        return None
    values: dict[str, Any] = {}
    values["prompt"], values["negative_prompt"] = _bracketed(line[1:end])
    words = line[end + 1 :].split()[: 2 * MAX_SWITCHES]
    for switch, value in pairwise(words):
        if switch in DREAM:
            values[DREAM[switch]] = value
        elif switch == "-A":
            values["sampler"] = value
    return "InvokeAI", values


def _bracketed(prompt: str) -> tuple[str, str]:
    """Return the prompt without its parts in brackets, and those parts: the negative prompt."""
    parts = BRACKETS.split(prompt[: 2 * MAX_TEXT_CHARS])
    negative = (part.strip(" ,") for part in parts[1::2])
    return "".join(parts[::2]), ", ".join(part for part in negative if part)
