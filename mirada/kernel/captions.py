"""Captions: who writes them and in which languages."""

from __future__ import annotations

from enum import StrEnum


class CaptionSource(StrEnum):
    """The author of a caption."""

    PERSON = "person"
    MODEL = "model"


class CaptionLanguage(StrEnum):
    """The languages in which a model writes captions, as ISO 639-1 codes."""

    EN = "en"
    PT = "pt"
    ES = "es"
