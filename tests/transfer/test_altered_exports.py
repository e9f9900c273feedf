"""Exports and lists in which somebody wrote: each bad line is told by its number, and the rest is taken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testing.console import run_command
from testing.old_systems import Old
from tests.transfer.conftest import Mirada
from tests.transfer.test_importing import bring
from tests.transfer.test_packs_move import make_pack

DEEP = "[" * 100_000
HALF = "\ud800"
BAD_SEARCHES: list[Any] = [
    [1],
    "x",
    {},
    {"filter": {"mood": "sad"}},
    {"filter": [1]},
    {"filter": {"kind": 7}},
    {"filter": {"status": ["NOPE"]}},
    {"filter": {"created_after": "soon"}},
    {"filter": {"owner": "x"}},
    {"filter": {"pack": [{}]}},
    {"text": 5},
    {"text": "a\0"},
    {"text": HALF},
    {"text": "a", "in": "dreams"},
    {"text": "a -(", "syntax": "sung"},
    {"text": "a", "threshold": "x"},
    {"text": "a", "threshold": 7},
    {"text": "a", "colour": 1},
    {"image_id": "x"},
]
BAD_FIELDS: list[dict[str, Any]] = [
    *({"query": each} for each in BAD_SEARCHES),
    {"title": 5},
    {"title": HALF},
    {"title": "x" * 1_000},
    {"images": None},
    {"images": [{"id": 1, "external_source": None, "external_id": None, "emojis": 5}]},
    {"images": 2 * [{"id": 1, "external_source": None, "external_id": None, "emojis": []}]},
    {"cover_id": [1]},
    {"created_at": []},
    {"created_at": "soon"},
    {"is_public": "yes"},
    {"theme": 5},
    {"id": None},
    {"owner": "x"},
    {"owner": {"username": HALF, "external_id": None}},
]
BAD_ROWS: list[dict[str, Any]] = [
    {"likes": DEEP},
    {"tags": DEEP},
    {"comments": DEEP},
    {"vector": DEEP},
    {"vector": [float("nan")] * 32},
    {"vector": [1e300] * 32},
    {"tags": [HALF]},
    {"user_id": HALF},
    {"username": HALF},
    {"file": f"{HALF}.png"},
    {"file": "a\0.png"},
    {"prompt": HALF},
    {"caption": HALF},
    {"likes": [HALF]},
    {"comments": [{"by": "9001", "text": HALF}]},
    {"feedback": [{"by": "9001", "theme": HALF}]},
    {"id": HALF},
]


@pytest.fixture
def exported(make_mirada: Callable[..., Mirada], old: Old, tmp_path: Path) -> Path:
    """The folder of an export of three images and a pack that a search fills."""
    first = make_mirada(similarity_threshold=-1)
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(old.row(number)) for number in range(3)))
    bring(first, str(file), "--pictures", str(old.folder), "--create-users", "--name", "gallery")
    make_pack(first, "Good", query={"text": "x"})
    out = tmp_path / "out"
    assert run_command(first.runtime, "export", str(out)).exit_code == 0
    return out


def altered(folder: Path, name: str, content: str) -> None:
    """Write a file of an export anew, with its checksum."""
    (folder / name).write_text(content)
    found = json.loads((folder / "manifest.json").read_text())
    found["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(found))


def test_altered_packs_are_refused_by_their_lines(
    exported: Path, make_mirada: Callable[..., Mirada]
) -> None:
    good = json.loads((exported / "packs.jsonl").read_text())
    lines = [
        "{not json",
        "[1]",
        DEEP,
        json.dumps({name: value for name, value in good.items() if name != "owner"}),
        *(json.dumps(good | {"id": n} | bad) for n, bad in enumerate(BAD_FIELDS, 1_000)),
        json.dumps(good),
    ]
    altered(exported, "packs.jsonl", "".join(f"{line}\n" for line in lines))
    second = make_mirada(similarity_threshold=-1)
    reply = run_command(second.runtime, "import", str(exported), "--create-users", "--json")
    report = json.loads(reply.output)
    assert (report["taken"], report["packs_taken"]) == (3, 1), report
    assert sorted(each["row"] for each in report["refusals"]) == list(range(1, len(lines)))
    (pack,) = second.client.get("/api/v1/packs").get_json()["results"]
    assert pack["title"] == "Good"
    assert second.client.get(f"/api/v1/packs/{pack['id']}/images").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"files": None},
        {"files": []},
        {"files": {}},
        {"files": {"images.jsonl": 5}},
        {"files": {"images.jsonl": "0", "a\0": "0"}},
        {"spaces": []},
        {"images": "many"},
        {"images": None},
        {"version": -1},
    ],
    ids=str,
)
def test_an_altered_manifest_is_none(
    exported: Path, make_mirada: Callable[..., Mirada], change: dict[str, Any]
) -> None:
    file = exported / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    _is_refused(exported, make_mirada())


@pytest.mark.parametrize("content", [DEEP, "[]", "5", "{}"], ids=["deep", "list", "number", "none"])
def test_what_is_no_manifest_is_told(
    exported: Path, make_mirada: Callable[..., Mirada], content: str
) -> None:
    (exported / "manifest.json").write_text(content)
    _is_refused(exported, make_mirada())


def _is_refused(folder: Path, mirada: Mirada) -> None:
    reply = run_command(mirada.runtime, "import", str(folder))
    assert reply.exit_code != 0
    assert isinstance(reply.exception, SystemExit), repr(reply.exception)
    assert "Traceback" not in reply.output


def test_altered_rows_are_refused_by_their_lines(mirada: Mirada, old: Old, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [old.row(0), *({**old.row(1)} | bad for bad in BAD_ROWS), old.row(2)]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    more = ("--create-users", "--name", "gallery", "--json")
    vectors = ("--vectors-are", "counting/v1", "--vectors-unchecked")
    source = (str(file), "--pictures", str(old.folder))
    reply = run_command(mirada.runtime, "import", *source, *more, *vectors)
    assert reply.output.startswith("{"), (reply.output[-300:], repr(reply.exception))
    report = json.loads(reply.output)
    told = {each["row"]: each["reason"] for each in report["refusals"]}
    assert sorted(told) == list(range(2, len(rows))), told
    assert report["taken"] == 2
