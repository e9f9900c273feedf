"""Suggestions while typing, and recent searches."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import validate

from mirada.kernel.label_words import LANGUAGES
from mirada.suggestions.recent import MAX_WORDS
from mirada.suggestions.suggesting import MAX_TYPED, MOST, SuggestionKind
from webapp.schemas.query_parts import NOT_BLANK
from webapp.schemas.replies import ReplySchema, ResourceSchema, list_of

SUGGESTION_EXAMPLE = {"kind": "label", "text": "cat", "id": None}
RECENT_SEARCH_EXAMPLE = {
    "id": 7,
    "created_at": "2026-01-02T03:04:05+00:00",
    "words": "red cat",
    "searched_at": "2026-01-09T03:04:05+00:00",
    "url": "/api/v1/recent-searches/7",
}


class SuggestionQuerySchema(ma.Schema):
    """The text that is being typed."""

    q = ma.fields.String(
        load_default="",
        metadata={
            "description": "What stands in the box; empty for what there is to try. Nothing is suggested "
            f"for more than {MAX_TYPED} characters."
        },
    )
    limit = ma.fields.Integer(load_default=8, validate=validate.Range(1, MOST))
    language = ma.fields.String(
        load_default="en",
        validate=validate.OneOf(LANGUAGES),
        metadata={"description": "That the built-in labels are called in where several fit."},
    )


class SearchSuggestionSchema(ReplySchema):
    """Something to search for."""

    kind = ma.fields.String(
        required=True,
        validate=validate.OneOf([each.value for each in SuggestionKind]),
        metadata={
            "description": "`recent`: the caller's own search; `label` and `style`: of the lists in force; "
            "`tag`: of an image that the caller may see; "
            "`word`: of a prompt, caption or description that the caller may see; `owner`: whose images "
            "they may see."
        },
    )
    text = ma.fields.String(
        required=True,
        metadata={
            "description": "The whole text to search for, with what was typed before its last word; of an "
            "owner the user name."
        },
    )
    id = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Of the recent search, or of the owner; null for the others."},
    )


SuggestionListSchema = list_of(SearchSuggestionSchema, "SearchSuggestionList")


class NewRecentSearchSchema(ma.Schema):
    """A search to remember."""

    words = ma.fields.String(required=True, validate=[validate.Length(1, MAX_WORDS), NOT_BLANK])


class RecentSearchSchema(ResourceSchema):
    """A search that the caller made lately."""

    words = ma.fields.String(required=True)
    searched_at = ma.fields.DateTime(
        required=True,
        metadata={"description": "When they made it last; 30 days later it is forgotten."},
    )


RecentSearchListSchema = list_of(RecentSearchSchema, "RecentSearchList")
