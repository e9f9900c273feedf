"""Duplicates: the three tiers that they are told in."""

from __future__ import annotations

from enum import StrEnum


class Tier(StrEnum):
    """How much two images have in common; each tier has a threshold of its own."""

    SAME_FILE = "same_file"
    NEAR = "near"
    SAME_SUBJECT = "same_subject"
