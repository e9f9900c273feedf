"""OpenAI's models by name: how little each can be told to reason, and when some of them end.

Source: developers.openai.com/api/docs/models and /deprecations, and the lists of the openai package
3.52, read on 2026-11-30. A name that is not known here is sent no parameter that a server could refuse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
NONE = "none"
_LEAST_EFFORTS = (
    (r"gpt-[\d.]+-(?:pro|chat-latest)", None),
    (r"gpt-5(?:-mini|-nano)?", "minimal"),
    (r"gpt-5[\d.]*-codex[\w-]*", "low"),
    (r"gpt-5\.[1-9]\d*(?:-(?:mini|nano|sol|terra|luna))?", NONE),
    (r"gpt-6(?:\.\d+)?-(?:luna|terra)", NONE),
    (r"gpt-6(?:\.\d+)?-[a-z]+", "low"),
    (r"o[134](?:-mini)?", "low"),
)
"""By whole name without its date; the first that fits counts. None: the model takes no such parameter,
or one value only. GPT-6 Astra and GPT-6.1 Sol have no "none"; of a later one "low" is sure."""
_THOUGHT_TOKENS = {"minimal": 1_000, "low": 4_000}
"""Tokens beside the answer that a model reasons with at most, as a rule, about a question like ours."""
ENDS = {
    "gpt-image-1": "2026-10-23",
    "gpt-image-1-mini": "2026-12-01",
    "gpt-image-1.5": "2026-12-01",
    "chatgpt-image-latest": "2026-12-01",
    "gpt-5": "2026-12-11",
    "gpt-5-mini": "2026-12-11",
    "gpt-5-nano": "2026-12-11",
    "o3": "2026-12-11",
    "gpt-4o": "2027-01-14",
    "gpt-4o-mini": "2027-01-14",
    "gpt-4.1": "2027-01-14",
    "gpt-4.1-mini": "2027-01-14",
    "gpt-5.1": "2027-04-01",
    "gpt-5.4-nano": "2027-04-01",
}
"""The day on which OpenAI ends a model, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The least reasoning that a model can be told to do.

    Attributes:
        effort: the value of `reasoning_effort`; None where the parameter is not sent.
        tokens: room that its hidden reasoning needs beside the answer; 0 without any.
    """

    effort: str | None
    tokens: int


def family(model: str) -> str:
    """Return a model's name without the date of a snapshot.

    >>> family("gpt-4o-mini-2024-07-18")
    'gpt-4o-mini'
    """
    return _SNAPSHOT.sub("", model)


def least_reasoning(model: str) -> Reasoning:
    """Return the least reasoning of a model; no parameter and no room for an unknown one."""
    name = family(model)
    for pattern, effort in _LEAST_EFFORTS:
        if re.fullmatch(pattern, name):
            return Reasoning(effort, _THOUGHT_TOKENS.get(effort or "", 0))
    return Reasoning(None, 0)


def ends_on(model: str) -> str | None:
    """Return the day on which OpenAI ends a model, ISO 8601; None while none is announced."""
    return ENDS.get(family(model))
