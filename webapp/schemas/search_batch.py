"""Several searches in one call, and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import marshmallow as ma
from marshmallow import validate

from mirada.kernel.errors import InvalidInput
from webapp.http.errors import first_message
from webapp.http.unknown import told
from webapp.schemas.fusion import SearchedSchema
from webapp.schemas.replies import ReplySchema
from webapp.schemas.search import SEARCH_EXAMPLE, SearchSchema

MAX_SEARCHES = 16
BATCH_EXAMPLE = {"queries": [{"text": "a cat", "k": 5}, {"image_id": 17}]}
PROBLEM_EXAMPLE = {
    "status": 404,
    "code": "not_found",
    "detail": "There is no image 17.",
    "errors": {},
}
ANSWERS_EXAMPLE = {
    "answers": [
        {"status": 200, "answer": SEARCH_EXAMPLE, "problem": None},
        {"status": 404, "answer": None, "problem": PROBLEM_EXAMPLE},
    ]
}


class RawSearchField(ma.fields.Nested):
    """A search that is documented and not checked yet: each has a problem of its own."""

    def deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        """Return what was sent, null as well."""
        return value


class SearchBatchSchema(ma.Schema):
    """Several searches."""

    queries = ma.fields.List(
        RawSearchField(SearchSchema),
        required=True,
        validate=validate.Length(1, MAX_SEARCHES),
        metadata={"description": f"1 to {MAX_SEARCHES} searches."},
    )


class SearchProblemSchema(ReplySchema):
    """Why one search has no answer."""

    status = ma.fields.Integer(required=True)
    code = ma.fields.String(required=True)
    detail = ma.fields.String(required=True)
    errors = ma.fields.Dict(required=True, metadata={"description": "Messages by field."})


class SearchAnswerSchema(ReplySchema):
    """The answer to one search, or its problem."""

    status = ma.fields.Integer(
        required=True, metadata={"description": "As the search alone would have."}
    )
    answer = ma.fields.Nested(SearchedSchema, required=True, allow_none=True)
    problem = ma.fields.Nested(SearchProblemSchema, required=True, allow_none=True)


class SearchAnswersSchema(ReplySchema):
    """The answers, in the order of the searches."""

    answers = ma.fields.List(ma.fields.Nested(SearchAnswerSchema), required=True)


def loaded_queries(
    queries: Sequence[Any],
) -> tuple[dict[int, tuple[dict[str, Any], Any]], dict[int, InvalidInput]]:
    """Return searches by their place, validated and as they were sent, and what is wrong with the others."""
    given: dict[int, tuple[dict[str, Any], Any]] = {}
    wrong: dict[int, InvalidInput] = {}
    schema = SearchSchema()
    for place, raw in enumerate(queries):
        try:
            given[place] = (schema.load(raw), raw)
        except ma.ValidationError as error:
            messages = told(error.messages_dict, schema)
            wrong[place] = InvalidInput(
                f"The search does not make sense as it stands: {first_message(messages)}",
                fields=messages,
            )
    return given, wrong
