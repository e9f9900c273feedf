"""The wishes that every form of a search takes: in JSON, in a form and in an address."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import validate

from mirada.groups.near_duplicates import DEFAULT_THRESHOLD
from mirada.search.choice import FORMER_NAME, Collapse, Order
from mirada.search.queries import ALL, Source
from mirada.search.run import NEWEST_OF
from webapp.schemas.query_parts import Syntax
from webapp.schemas.switches import SwitchField


def syntax_field() -> ma.fields.String:
    """Return the field of how a text is read."""
    return ma.fields.String(
        load_default=Syntax.PLAIN.value,
        validate=validate.OneOf([syntax.value for syntax in Syntax]),
        metadata={
            "description": 'How the text is read: as it is, or with signs: `cat -dog "red hat"` is a '
            "cat and a red hat, without a dog."
        },
    )


def mine_field() -> ma.fields.Boolean:
    """Return the field that asks for the caller's own images alone."""
    return SwitchField(
        load_default=False, metadata={"description": "Search only the caller's own images."}
    )


def in_field() -> ma.fields.String:
    """Return the field of what is compared."""
    return ma.fields.String(
        data_key="in",
        load_default=Source.PICTURES.value,
        validate=validate.OneOf([*(source.value for source in Source), ALL]),
        metadata={
            "description": "What is compared: what pictures show, the prompts they were made from, "
            "or, with text, captions, the words as they are written, or all there is, fused."
        },
    )


def collapse_field() -> ma.fields.String:
    """Return the field of what counts as one picture."""
    return ma.fields.String(
        load_default=None,
        allow_none=False,
        validate=validate.OneOf([*(each.value for each in Collapse), FORMER_NAME]),
        metadata={
            "description": "What counts as one picture, of which one image is shown: the same file; `near`, "
            "the same picture in other bytes as well; or `same_subject`, also pictures whose cosine is "
            f"{DEFAULT_THRESHOLD:g} or more, formerly called {FORMER_NAME}. `collapsed_count` says how "
            "many more there are that the caller may see and that pass the filter."
        },
    )


def diversify_field() -> ma.fields.Float:
    """Return the field of how much is to be new."""
    return ma.fields.Float(
        load_default=None,
        allow_none=False,
        validate=validate.Range(0, 1),
        metadata={
            "description": "Put what is new before more of the same, among the 256 best: lambda of "
            "maximal marginal relevance. 1 keeps the order, 0 looks for what is new alone; 0.7 is a "
            "good start."
        },
    )


def sort_field() -> ma.fields.String:
    """Return the field of the order."""
    return ma.fields.String(
        load_default=Order.RELEVANCE.value,
        validate=validate.OneOf([each.value for each in Order]),
        metadata={
            "description": "`newest` puts the newest of those that are relevant first, of the "
            f"{NEWEST_OF:,} best; the others come behind them, by relevance."
        },
    )


def explain_field() -> ma.fields.Boolean:
    """Return the field that asks for an explanation."""
    return SwitchField(
        load_default=False,
        metadata={"description": "Say how the first page came about, in `explained`."},
    )
