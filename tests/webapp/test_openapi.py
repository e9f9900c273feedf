"""The OpenAPI document is valid and complete, and its readers come with the app."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from testing import application
from webapp.http.rest import ApiBlueprint, field_names
from webapp.schemas.filters import FilterParametersSchema
from webapp.schemas.jobs import JobSchema
from webapp.schemas.search import SearchAddressSchema

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


def test_every_operation_with_a_body_tells_how_it_may_be_refused(document: dict[str, Any]) -> None:
    bodies = [(name, each) for name, each in operations(document) if "requestBody" in each]
    assert len(bodies) > 10
    for name, operation in bodies:
        is_json = "application/json" in operation["requestBody"]["content"]
        # Broken JSON; too large; of another kind; not what the schema says.
        expected = {"413", "415", "422"} | ({"400"} if is_json else set())
        assert expected <= set(operation["responses"]), name


def test_every_error_reply_is_a_problem(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, reply in operation["responses"].items():
            if not status.isdecimal() or int(status) < 400 or "$ref" not in reply:
                continue
            shared = document["components"]["responses"][reply["$ref"].rsplit("/", 1)[1]]
            assert list(shared["content"]) == ["application/problem+json"], (name, status)


def test_every_body_and_reply_that_is_no_picture_has_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        contents = [operation.get("requestBody", {}).get("content", {})]
        contents += [
            operation["responses"].get(status, {}).get("content", {})
            for status in ("200", "201", "202")
        ]
        for content in contents:
            for media_type, described in content.items():
                if not media_type.startswith(("image/", "application/octet-stream")):
                    assert {"example", "examples"} & set(described), (name, media_type)


def operation_of(document: dict[str, Any], operation_id: str) -> dict[str, Any]:
    """Return one operation."""
    (found,) = (o for _, o in operations(document) if o["operationId"] == operation_id)
    return found


@pytest.mark.parametrize(
    ("operation_id", "statuses"),
    [
        ("changeImage", {"400", "412", "415"}),
        ("getImageFile", {"206", "304", "412", "416"}),
        ("getImageThumbnail", {"206", "304", "412", "416"}),
        ("getStoredImage", {"206", "304", "412", "416"}),
        ("searchImages", {"403", "409", "415"}),
        ("findSimilarImagePosts", {"403", "409"}),
    ],
)
def test_what_an_operation_can_answer_is_told(
    document: dict[str, Any], operation_id: str, statuses: set[str]
) -> None:
    assert statuses <= set(operation_of(document, operation_id)["responses"])


def test_headers_that_are_sent_are_told(document: dict[str, Any]) -> None:
    created = operation_of(document, "createImage")["responses"]["201"]["headers"]
    assert "Idempotent-Replayed" in created
    embedded = operation_of(document, "createEmbeddings")["responses"]["200"]["headers"]
    assert {f"X-Embedding-{name}" for name in ("Count", "Dimension", "Space")} <= set(embedded)


FILTERS = set(FilterParametersSchema().fields)
QUERIES = {
    "listSimilarImages": {"limit", "threshold", "mine", "cursor", *FILTERS},
    "getSearch": {*SearchAddressSchema().fields} - {"in_"} | {"in"},
    "findSimilarImagePosts": {"limit", "threshold"},
    "listRelatedImages": {"limit", "blend", "mine", "cursor", *FILTERS},
    "listGalleryRelated": {"limit", "blend", "mine"},
    "listStyleSuggestions": {"limit"},
    "searchImagePosts": {"query", "limit"},
    "createImage": {"caption", "on_duplicate"},
    "listJobs": {"limit", "cursor", "state", "kind"},
    "getUsage": {"user", "days", "limit"},
    "getTheme": {"limit", "cursor"},
}


@pytest.mark.parametrize("operation_id", QUERIES)
def test_headers_do_not_hide_the_query_parameters(
    document: dict[str, Any], operation_id: str
) -> None:
    told = operation_of(document, operation_id)["parameters"]
    assert {each["name"] for each in told if each["in"] == "query"} == QUERIES[operation_id]


def test_every_parameter_that_a_view_takes_is_told(app: Any, document: dict[str, Any]) -> None:
    seen = 0
    for rule in app.url_map.iter_rules():
        taken: list[dict[str, Any]] = (
            getattr(app.view_functions[rule.endpoint], "_apidoc", {})
            .get("arguments", {})
            .get("parameters", [])
        )
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for each in taken:
            names = {each["name"]} if "name" in each else field_names(each["schema"])
            if each["in"] not in ("query", "header"):
                continue
            for method in METHODS & {name.lower() for name in rule.methods or ()}:
                told = document["paths"][path][method]["parameters"]
                assert names <= {one["name"] for one in told}, rule
                seen += 1
    assert seen > 40


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of the document."""
    if isinstance(node, list):
        for each in node:
            yield from nodes(each)
    elif isinstance(node, dict):
        yield node
        for each in node.values():
            yield from nodes(each)


def test_no_field_of_a_body_has_a_default(document: dict[str, Any]) -> None:
    # Generators of TypeScript take a field with one for required.
    assert not [each for each in nodes(document["components"]["schemas"]) if "default" in each]
    assert not [each for each in nodes(document) if each.get("default", ...) is None]
    limit = next(
        each
        for each in operation_of(document, "listImages")["parameters"]
        if each["name"] == "limit"
    )
    assert limit["schema"]["default"] == 20
    created = document["components"]["schemas"]["NewImage"]["properties"]
    assert created["is_public"]["description"].endswith("false where it is left out.")


def test_no_parameter_may_be_null(document: dict[str, Any]) -> None:
    # Addresses and forms have no null.
    for name, operation in operations(document):
        for each in operation.get("parameters", ()):
            assert "null" not in each["schema"].get("type", ()), (name, each["name"])
        form = operation.get("requestBody", {}).get("content", {}).get("multipart/form-data")
        if form is not None:
            schema = document["components"]["schemas"][form["schema"]["$ref"].rsplit("/", 1)[1]]
            for field, told in schema["properties"].items():
                assert "null" not in told.get("type", ()), (name, field)


def test_no_operation_has_a_reply_for_all_the_rest(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert all(status.isdecimal() for status in operation["responses"]), name


def test_every_example_is_what_its_schema_says(document: dict[str, Any]) -> None:
    whole = Resource(contents=document, specification=DRAFT202012)
    registry = Registry().with_resource("urn:document", whole)
    seen = 0
    for name, operation in operations(document):
        described = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media_type, content in (
            pair for each in described for pair in each.get("content", {}).items()
        ):
            if "schema" not in content or media_type == "text/event-stream":
                continue
            # References are of the document, so the schema is asked for as a part of it.
            schema = json.loads(json.dumps(content["schema"]).replace('"#/', '"urn:document#/'))
            check = Draft202012Validator(
                schema, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
            )
            examples = [each["value"] for each in content.get("examples", {}).values()]
            for example in [*examples, *([content["example"]] if "example" in content else [])]:
                fault = best_match(check.iter_errors(example))
                assert fault is None, f"{name} {media_type}: {fault}"
                seen += 1
    assert seen > 90


def test_a_reply_that_is_not_told_is_noticed_by_every_test(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(application._statuses, ("/health/live", "GET"), {500})
    client.get("/health/live")
    assert application.undescribed == {"GET /health/live answered 200"}
    application.undescribed.clear()


def patterns(node: Any) -> list[str]:
    """Return every regular expression of the document."""
    if isinstance(node, list):
        return [found for each in node for found in patterns(each)]
    if not isinstance(node, dict):
        return []
    own = [node["pattern"]] if isinstance(node.get("pattern"), str) else []
    return own + [found for each in node.values() for found in patterns(each)]


def test_patterns_hold_nothing_that_only_python_reads(document: dict[str, Any]) -> None:
    found = patterns(document["components"]["schemas"])
    assert found
    assert not [pattern for pattern in found if re.search(r"\(\?[a-zA-Z]|\\[AZ]", pattern)]


def test_schemas_have_names_that_read_well_in_a_generated_client(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {"NewImage", "Pictures", "PictureQuery"} <= set(schemas)
    assert not [name for name in schemas if "Documentation" in name or "Pagination" in name]
    text = schemas["Search"]["properties"]["text"]
    assert (text["minLength"], text["maxLength"]) == (1, 2000)


def test_no_schema_has_a_field_of_its_own_name(document: dict[str, Any]) -> None:
    # openapi-python-client takes one variable for both.
    for name, schema in document["components"]["schemas"].items():
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        assert snake not in schema.get("properties", {}), name


def test_every_route_is_documented(app: Any, document: dict[str, Any]) -> None:
    # What people look at is no operation.
    shown = {"static", "docs", "pages", "page_assets"}
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.split(".")[0] not in shown]
    # One path of the document may be several rules, by what stands at a place.
    routed = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) for rule in rules}
    assert len(document["paths"]) == len(routed)
    assert len(operations(document)) == len({rule.endpoint for rule in rules})


def test_what_is_documented_of_a_view_shares_its_schemas() -> None:
    blueprint = ApiBlueprint("a", __name__)

    @blueprint.operation("b", "B", refusals=(404,))
    @blueprint.response(200, JobSchema)
    @blueprint.arguments(FilterParametersSchema, location="query")
    def view(*_: Any) -> None: ...

    def schemas(documented: Any) -> list[Any]:
        (asked,) = documented["arguments"]["parameters"]
        (replied,) = documented["response"]["responses"][200]
        return [asked["schema"], replied["schema"]]

    documented = view._apidoc  # type: ignore[attr-defined]
    copied = schemas(copy.deepcopy(documented))
    assert all(one is other for one, other in zip(schemas(documented), copied, strict=True))


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
