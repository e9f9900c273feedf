"""JSON that is large on purpose: refused early, cheaply, and in a reply of a bearable length."""

from __future__ import annotations

import json
import time

import pytest
from flask.testing import FlaskClient

from testing.gallery import assert_problem
from webapp.http.json_bodies import REST, SHOWN_CHARACTERS, SHOWN_MESSAGES, shortened
from webapp.http.uploads import SMALL_BODY_BYTES

MOST_REPLY_BYTES = 20_000
MOST_CPU_S = 1.0


def post(client: FlaskClient, body: str | bytes, path: str = "/api/v1/search") -> object:
    began_s = time.thread_time()
    response = client.post(path, data=body, content_type="application/json")
    assert time.thread_time() - began_s < MOST_CPU_S
    assert len(response.get_data()) < MOST_REPLY_BYTES
    return response


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"text":' + "[" * 40 + "]" * 40 + "}",
        '{"limit":' + "1" * 900_000 + "}",
        json.dumps({f"k{n}": 1 for n in range(70_000)}),
        json.dumps({"weights": {f"k{n}": 1 for n in range(70_000)}}),
    ],
    ids=["lists", "objects", "forty levels", "digits", "fields", "fields within"],
)
def test_json_without_measure_is_400(client: FlaskClient, body: str) -> None:
    assert_problem(post(client, body), 400, "bad_request")


@pytest.mark.parametrize("path", ["/api/v1/search", "/feedback", "/api/v1/images/search"])
def test_json_over_a_megabyte_is_413(client: FlaskClient, path: str) -> None:
    body = json.dumps({f"k{n}": 1 for n in range(300_000)})
    assert len(body) > SMALL_BODY_BYTES
    assert_problem(post(client, body, path), 413, "request_too_large")


def test_of_many_messages_twenty_are_shown_and_the_rest_is_counted(client: FlaskClient) -> None:
    unknown = {f"field_{n}": 1 for n in range(900)}
    errors = assert_problem(post(client, json.dumps(unknown)), 422, "invalid_input")["errors"]
    assert len(errors) == SHOWN_MESSAGES + 1
    assert errors[REST] == ["880 more are not shown."]


def test_a_name_of_a_megabyte_comes_back_shortened(client: FlaskClient) -> None:
    problem = assert_problem(post(client, json.dumps({"k" * 900_000: 1})), 422, "invalid_input")
    (name,) = problem["errors"]
    assert len(name) == SHOWN_CHARACTERS + 3


def test_messages_keep_their_places_when_they_are_shortened() -> None:
    nested = {"items": {n: {"a": ["x", "y"]} for n in range(15)}, "b": ["z"]}
    shown = shortened(nested)
    assert shown["items"] == {str(n): {"a": ["x", "y"]} for n in range(10)}
    assert shown[REST] == ["11 more are not shown."]
    assert shortened({"b": ["z"]}) == {"b": ["z"]}
