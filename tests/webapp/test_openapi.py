"""The OpenAPI document is valid and complete, and its readers come with the app."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate

VENDOR = Path(__file__).parents[2] / "webapp" / "static" / "vendor"
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    """The document as a client gets it."""
    return client.get("/openapi.json").get_json()  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return every operation with "METHOD /path"."""
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_every_operation_has_an_id_of_its_own_a_summary_and_its_errors(
    document: dict[str, Any],
) -> None:
    found = operations(document)
    ids = [operation.get("operationId") for _, operation in found]
    assert None not in ids
    assert len(set(ids)) == len(ids) >= 25
    for name, operation in found:
        assert operation["summary"], name
        if operation["security" if "security" in operation else "tags"] != [{}]:
            assert {"401", "500", "503"} <= set(operation["responses"]), name


def test_every_error_reply_is_a_problem(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, reply in operation["responses"].items():
            if not status.isdecimal() or int(status) < 400 or "$ref" not in reply:
                continue
            shared = document["components"]["responses"][reply["$ref"].rsplit("/", 1)[1]]
            assert list(shared["content"]) == ["application/problem+json"], (name, status)


def test_every_json_reply_of_our_api_has_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if "/api/v1" not in name or operation["operationId"] == "findSimilarImagePosts":
            continue
        for status in ("200", "201", "202"):
            content = operation["responses"].get(status, {}).get("content", {})
            if "application/json" in content:
                assert "example" in content["application/json"], (name, status)


def test_every_route_is_documented(app: Any, document: dict[str, Any]) -> None:
    undocumented = {"static", "docs.openapi_json", "docs.swagger_ui", "docs.redoc"}
    routed = {
        rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint not in undocumented
    }
    assert len(document["paths"]) == len(routed)


def test_the_document_is_304_for_those_who_have_it(client: FlaskClient) -> None:
    tag = client.get("/openapi.json").headers["ETag"]
    assert client.get("/openapi.json", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_a_reader_has_no_inline_script_and_no_outside_address(
    client: FlaskClient, page: str
) -> None:
    html = client.get(page).get_data(as_text=True)
    assert "<script>" not in html
    assert "http" not in html


def test_vendored_files_are_what_their_list_says() -> None:
    listed = json.loads((VENDOR / "vendor.json").read_text())
    for package in listed.values():
        assert package["version"]
        assert any("LICENSE" in name for name in package["files"])
        for name, digest in package["files"].items():
            assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
