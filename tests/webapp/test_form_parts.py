"""Files in the place of text fields, in every form there is."""

from __future__ import annotations

import json
from typing import Any

from testing.gallery import Gallery, as_upload, assert_problem, nothing_kept
from testing.pictures import picture


def forms(gallery: Gallery) -> dict[str, list[str]]:
    """Return the paths of all operations that take a form, with the names of its text fields."""
    document = gallery.client.get("/openapi.json").get_json()
    found = {}
    for path, operations in document["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        if "multipart/form-data" in content:
            schema = content["multipart/form-data"]["schema"]
            name = schema["$ref"].rpartition("/")[2]
            fields = document["components"]["schemas"][name]["properties"]
            found[path] = [field for field, told in fields.items() if not is_file(told)]
    return found


def is_file(told: dict[str, Any]) -> bool:
    one = told.get("items", told)
    return bool(one.get("format") == "binary")


def test_a_file_in_the_place_of_a_text_field_is_refused_by_its_name(gallery: Gallery) -> None:
    asked = [(path, field) for path, fields in forms(gallery).items() for field in fields]
    assert {
        ("/api/v1/search", "query"),
        ("/api/v1/images", "caption"),
        ("/classify", "labels"),
    } <= {*asked}
    for path, field in asked:
        with nothing_kept(gallery.runtime):
            part = "files" if path.endswith("/files") else "file"
            data = {part: as_upload(picture(1)), field: as_upload(picture(2))}
            problem = assert_problem(gallery.client.post(path, data=data), 422, "invalid_input")
        assert [*problem["errors"]] == [field], (path, problem)
        assert "it came as a file" in problem["errors"][field][0], path
        assert problem["detail"].endswith("give the file part another name.")


def test_a_query_names_no_file_part_as_a_text_field_is_named(gallery: Gallery) -> None:
    for name in ("k", "text", "query"):
        data = {"query": json.dumps([{"picture": name}]), name: as_upload(picture(1))}
        problem = assert_problem(
            gallery.client.post("/api/v1/search", data=data), 422, "invalid_input"
        )
        assert [*problem["errors"]] == [name]


def test_a_form_without_its_picture_says_which_part_it_belongs_into(gallery: Gallery) -> None:
    own = [path for path in forms(gallery) if path.startswith("/api/v1/")]
    for path in [*own, "/classify"]:
        other = gallery.client.post(path, data={"image": as_upload(picture(1))})
        problem = assert_problem(other, 422, "invalid_input")
        part = "files" if path.endswith("/files") else "file"
        assert f"Files belong into the part '{part}', not 'image'." in problem["detail"], path
