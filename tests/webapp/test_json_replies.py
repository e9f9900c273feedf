"""Replies say in JSON what Flask's own encoder would say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import marshmallow as ma
import pytest
from flask import Flask
from flask.json.provider import DefaultJSONProvider

from webapp.http import json_replies


class Colour(StrEnum):
    RED = "red"


@dataclass
class Point:
    x: int


@pytest.fixture(scope="module")
def bare() -> Flask:
    app = Flask(__name__)
    json_replies.register(app)
    return app


@pytest.mark.parametrize(
    "value",
    [
        {"b": 1, "a": [1.5, -0.0, 1e-7, 1e22, 0.1 + 0.2, None, True]},
        {"text": 'naïve 猫 \u2028 </script> \\ " \x00'},
        {"half": "\ud83d"},
        {"large": 2**64, "largest": 2**63 - 1, "small": -(2**70)},
        {1: "a number as a name"},
        {"colour": Colour.RED, "pair": (1, 2)},
        {"sum": Decimal("1.10"), "id": UUID(int=7), "point": Point(3)},
        [],
        "text",
    ],
    ids=repr,
)
def test_a_reply_is_what_flask_would_send(bare: Flask, value: Any) -> None:
    theirs = DefaultJSONProvider(bare)
    theirs.sort_keys = False
    with bare.test_request_context():
        reply = bare.json.response(value)
        expected = theirs.response(value)
    assert reply.mimetype == expected.mimetype == "application/json"
    assert json.loads(reply.get_data()) == json.loads(expected.get_data())
    assert list(json.loads(reply.get_data())) == list(json.loads(expected.get_data()))
    assert reply.get_data().endswith(b"\n")


def test_what_is_no_json_is_refused(bare: Flask) -> None:
    with bare.test_request_context(), pytest.raises(TypeError):
        bare.json.response({"what": object()})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused(bare: Flask, number: float) -> None:
    with bare.test_request_context(), pytest.raises(ValueError, match="A reply may not hold"):
        bare.json.response({"results": [{"similarity": number}]})


@pytest.mark.parametrize("beside", [None, 2**64], ids=["quick", "slow"])
def test_times_are_as_schemas_write_them(bare: Flask, beside: int | None) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC)
    with bare.test_request_context():
        reply = bare.json.response({"at": at, "beside": beside})
    assert json.loads(reply.get_data())["at"] == ma.fields.DateTime().serialize("at", {"at": at})
