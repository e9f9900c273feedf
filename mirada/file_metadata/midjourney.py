"""Reads the description that Midjourney writes: `PROMPT --ar 16:9 --v 6.1 Job ID: ...`."""

from __future__ import annotations

import re

from mirada.file_metadata.texts import Found, Texts

JOB = re.compile(r"Job ID: ?[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\s*\Z")
"""The end of every description by Midjourney; without it the text is somebody else's."""
SOURCES = ("Description", "xmp:description", "exif:ImageDescription")
"""The texts in which the description has been seen."""
JOB_CHARS = 80
"""Characters at the end that are searched for JOB, whose match has about 44."""
MAX_PARAMETERS = 40
"""A bound against damaged files, chosen here; it also bounds the time that a line takes."""


def read(texts: Texts) -> Found | None:
    """Return the settings of a picture by Midjourney; None for a picture by another program."""
    for _, text in texts.of(SOURCES):
        job = JOB.search(text.rstrip()[-JOB_CHARS:])
        if job is None:
            continue
        line = text.rstrip()[: -len(job[0])]
        parts = f" {line}".rsplit(" --", MAX_PARAMETERS)
        said: dict[str, str] = {}
        # Two dashes without a name behind them are part of the prompt.
        while len(parts) > 1 and parts[-1][:1].isalpha():
            name, _, value = parts.pop().partition(" ")
            said[name] = value.strip()
        version, niji = said.get("v") or said.get("version"), said.get("niji")
        return "Midjourney", {
            "prompt": " --".join(parts),
            "negative_prompt": said.pop("no", None),
            "seed": said.pop("seed", None),
            "model": f"niji {niji}" if niji else version and f"Midjourney {version}",
            "extra": said,
        }
    return None
