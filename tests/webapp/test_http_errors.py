"""Every error is a problem, whoever raised it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient

from mirada.kernel import errors as domain
from testing.gallery import assert_problem
from webapp.http.errors import STATUS_OF, status_of


def test_an_unknown_path_is_a_problem(client: FlaskClient) -> None:
    assert_problem(client.get("/nowhere"), 404, "not_found")


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_wrong_method_names_the_right_ones(client: FlaskClient, slash: str) -> None:
    response = client.put(f"/api/v1/search{slash}")
    problem = assert_problem(response, 405, "method_not_allowed")
    assert "POST" in response.headers["Allow"]
    assert problem["detail"] == "PUT is not possible here. Possible: GET, HEAD, OPTIONS, POST."


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        (
            "/api/v1/search",
            {"txt": "a"},
            "txt: Unknown field; it takes collapse, cursor, diversify",
        ),
        ("/api/v1/evaluations", {"name": "a", "nam": "b"}, "nam: Unknown field; it takes name."),
        (
            "/api/v1/search",
            {"text": "a", "filter": {"tone": "red"}},
            "`mine` stands beside the filter. The conditions are area, asset_id, colour, created_after",
        ),
        (
            "/api/v1/search",
            {"query": [{"text": "a", "boost": 1}]},
            "query.0.boost: Unknown field; it takes image_id, picture, text, vector and weight.",
        ),
    ],
)
def test_an_unknown_field_is_told_with_those_that_there_are(
    client: FlaskClient, path: str, body: dict[str, Any], says: str
) -> None:
    problem = assert_problem(client.post(path, json=body), 422, "invalid_input")
    assert says in problem["detail"]


def test_broken_json_is_a_problem(client: FlaskClient) -> None:
    response = client.post("/api/v1/search", data="{", content_type="application/json")
    assert_problem(response, 400, "bad_request")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (domain.NotFound("x"), 404),
        (domain.NotAuthenticated("x"), 401),
        (domain.NotAllowed("x"), 403),
        (domain.UnsupportedImage("x"), 415),
        (domain.CorruptImage("x"), 422),
        (domain.ImageTooLarge("x"), 413),
        (domain.InvalidInput("x"), 422),
        (domain.Conflict("x"), 409),
        (domain.PreconditionFailed("x"), 412),
        (domain.Unavailable("x"), 503),
        (domain.StorageFull("x"), 503),
        (domain.EncoderUnavailable("x"), 503),
        (domain.EmbeddingSpaceMismatch("x"), 503),
        (domain.LeaseLost("x"), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_domain_error_has_its_status(error: domain.MiradaError, status: int) -> None:
    assert status_of(error) == status


def test_the_table_knows_only_errors_of_ours() -> None:
    assert all(issubclass(kind, domain.MiradaError) for kind in STATUS_OF)


def broken(app: Any, error: Exception) -> FlaskClient:
    def view() -> str:
        raise error

    app.add_url_rule("/broken", view_func=view)
    return app.test_client()  # type: ignore[no-any-return]


def test_what_nobody_foresaw_is_a_500_that_says_nothing_but_its_request_id(app: Any) -> None:
    with structlog.testing.capture_logs() as logs:
        response = broken(app, RuntimeError("secret")).get("/broken")
    body = assert_problem(response, 500, "internal_error")
    assert "secret" not in json.dumps(body)
    (logged,) = [entry for entry in logs if entry["event"] == "unexpected_error"]
    assert isinstance(logged["exc_info"], RuntimeError)


def test_unavailable_says_when_to_come_back(app: Any) -> None:
    response = broken(app, domain.Unavailable("Busy.", retry_after_s=7)).get("/broken")
    assert response.get_json()["detail"] == "Busy."
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "7"


def test_not_authenticated_says_how(app: Any) -> None:
    response = broken(app, domain.NotAuthenticated("Who are you?")).get("/broken")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
