"""An import brings everything that people gave, each row once, and names what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from mirada.db.models import Image, Lease, User
from mirada.kernel.errors import Conflict, InvalidInput
from mirada.transfer.vectors import read
from testing.console import run_command
from testing.old_systems import Old, as_jsonl
from tests.transfer.conftest import COUNT, Mirada

OURS = "counting/v1"


def bring(mirada: Mirada, *arguments: str) -> dict[str, Any]:
    """Run `mirada import` and return its report."""
    result = run_command(mirada.runtime, "import", *arguments, "--json")
    assert result.output.startswith("{"), result.output
    report: dict[str, Any] = json.loads(result.output)
    assert (result.exit_code == 1) is (report["refused"] > 0)
    return report


def images(mirada: Mirada) -> list[Image]:
    with mirada.runtime.reading() as session:
        return list(session.execute(select(Image).order_by(Image.id)).scalars())


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_all_that_people_gave_comes_along(
    mirada: Mirada, old: Old, tmp_path: Path, form: str
) -> None:
    file = tmp_path / f"metadata.{form}"
    if form == "jsonl":
        as_jsonl(old, file)
    else:
        import csv

        with file.open("w", newline="") as lines:
            table = csv.DictWriter(lines, old.row(0))
            table.writeheader()
            for number in range(old.count):
                row = old.row(number)
                table.writerow({**row, "likes": json.dumps(row["likes"])})
    asked = (str(file), "--pictures", str(old.folder), "--create-users", "--name", "gallery")
    assert bring(mirada, *asked, "--dry-run")["taken"] == COUNT
    assert images(mirada) == []
    report = bring(mirada, *asked)
    assert (report["taken"], report["to_embed"], report["people_made"]) == (COUNT, COUNT, 3)
    assert (report["marks_taken"], report["marks_left_out"]) == (COUNT // 2, 0)
    rows = images(mirada)
    assert [row.external_id for row in rows] == [str(old.id_of(each)) for each in range(COUNT)]
    with mirada.runtime.reading() as session:
        known = session.execute(select(User.id, User.external_id, User.username)).all()
    people = {row.id: row.external_id for row in known}
    names = {row.external_id: row.username for row in known}
    for number, row in enumerate(rows):
        was = old.row(number)
        assert people[row.owner_id] == str(was["user_id"])
        assert row.created_at.isoformat() == was["created_at"]
        assert (row.prompt, row.caption) == (was["prompt"], was["caption"])
        assert (row.is_public, row.like_count) == (was["is_public"], len(was["likes"]))
        assert row.tags == (["sea", "night"] if number % 2 else None)
        assert row.external_name == f"p{number}.png"
    assert names["901"] == "old-user-1"
    again = bring(mirada, *asked)
    assert (again["taken"], again["already_there"]) == (0, COUNT)
    assert len(images(mirada)) == COUNT


def test_an_owner_who_has_a_user_name_and_no_id_is_found_or_made_by_it(
    mirada: Mirada, old: Old, tmp_path: Path
) -> None:
    with mirada.runtime.transaction() as session:
        session.add(User(username="ana"))
    file = tmp_path / "metadata.csv"
    rows = [
        f"{number},static/p{number}.png,{name}" for number, name in enumerate(("ana", "bea", "bea"))
    ]
    file.write_text("\n".join(["id,file,username", *rows]))
    asked = (str(file), "--pictures", str(old.folder))
    report = bring(mirada, *asked)
    told = (report["taken"], report["refused"], report["people_made"])
    assert told == (1, 2, 0), report["refusals"]
    assert "'bea' is not here: --create-users" in report["refusals"][0]["reason"]
    report = bring(mirada, *asked, "--create-users")
    assert (report["taken"], report["already_there"], report["people_made"]) == (2, 1, 1)
    with mirada.runtime.reading() as session:
        people = {row.id: row for row in session.execute(select(User)).scalars()}
        owners = [people[row.owner_id] for row in images(mirada)]
        # A user name is no id of a product, so no token of one acts for them.
        assert [(each.username, each.external_id) for each in owners] == [
            *(("ana", None), ("bea", None), ("bea", None))
        ]


def test_broken_lines_are_named_and_the_rest_is_taken(
    mirada: Mirada, old: Old, tmp_path: Path
) -> None:
    good = [
        json.dumps({**old.row(number), "vector": old.vectors[number].tolist()})
        for number in (0, 1, 2)
    ]

    def bad(**fields: Any) -> str:
        return json.dumps({**old.row(3), "id": 9, **fields})

    lines = [
        good[0],
        "{",
        "[1, 2]",
        bad(id=1.5),
        bad(id="a/b"),
        bad(file=None),
        bad(file="static/absent.png"),
        bad(file="../../../../etc/passwd"),
        good[1],
        bad(is_public="perhaps"),
        bad(created_at="yesterday"),
        bad(vector=[1.0]),
        bad(vector=[float("nan")] * 32),
        bad(vector=[0.5] * 32),
        bad(vector="x"),
        '{"id": 9, "file": "static/p4.png", "prompt": "' + "\\ud800" + '"}',
        good[0],
        good[2],
    ]
    file = tmp_path / "metadata.jsonl"
    file.write_text("\n".join(lines) + "\n\n")
    report = bring(
        mirada, str(file), "--pictures", str(old.folder), "--owner", "local", "--vectors-are", OURS
    )
    assert report["taken"] == 3
    assert report["already_there"] == 1
    refused = {each["row"]: each["reason"] for each in report["refusals"]}
    assert sorted(refused) == [2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16]
    assert "1 numbers" in refused[12]
    assert "NaN" in refused[13]
    assert "norm 2.828" in refused[14]
    assert "absent.png" in refused[7]


def test_vectors_of_another_model_are_refused_with_the_figure(
    mirada: Mirada, old: Old, tmp_path: Path
) -> None:
    file = tmp_path / "metadata.jsonl"
    as_jsonl(old, file, with_vectors=True)
    asked = (str(file), "--pictures", str(old.folder), "--owner", "local")
    result = run_command(mirada.runtime, "import", *asked, "--vectors-are", "ViT-B-32/openai")
    assert result.exit_code == 1
    assert OURS in result.output
    assert images(mirada) == []
    shifted = Old(old.folder, old.hashes, np.roll(old.vectors, 1, axis=0))
    as_jsonl(shifted, file, with_vectors=True)
    result = run_command(mirada.runtime, "import", *asked, "--vectors-are", OURS)
    assert result.exit_code == 1
    assert "least cosine with theirs is -0" in result.output or "least cosine" in result.output
    assert images(mirada) == []
    assert bring(mirada, *asked)["to_embed"] == COUNT


def test_a_second_import_at_once_is_told_who_runs(mirada: Mirada, old: Old, tmp_path: Path) -> None:
    from mirada.transfer.claims import claimed

    file = tmp_path / "metadata.jsonl"
    as_jsonl(old, file)
    asked = (str(file), "--pictures", str(old.folder), "--owner", "local", "--name", "gallery")
    with claimed(mirada.runtime, "gallery"):
        result = run_command(mirada.runtime, "import", *asked)
        assert result.exit_code == 1
        assert "is running: process" in result.output
        with pytest.raises(Conflict), claimed(mirada.runtime, "gallery"):
            pass
    # A process of this machine that was killed holds nothing.
    with mirada.runtime.transaction() as session:
        lease = session.get(Lease, "import:gallery")
        assert lease is not None
        import socket

        lease.holder, lease.lease_until_ms = f"{socket.gethostname()}:4194305:00", 2**52
    assert bring(mirada, *asked)["taken"] == COUNT


def test_an_import_that_is_interrupted_goes_on(
    mirada: Mirada, old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirada.transfer import taking

    file = tmp_path / "metadata.jsonl"
    as_jsonl(old, file, with_vectors=True)
    asked = (str(file), "--pictures", str(old.folder), "--owner", "local", "--vectors-are", OURS)
    whole = taking.Taking.take
    for stops_at in (3, 2):
        batches = iter(range(stops_at))

        def stopping(self: Any, rows: Any, left: Any = batches) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            whole(self, rows)

        monkeypatch.setattr(taking.Taking, "take", stopping)
        run_command(mirada.runtime, "import", *asked, "--batch", "8")
    monkeypatch.setattr(taking.Taking, "take", whole)
    assert 0 < len(images(mirada)) < COUNT
    report = bring(mirada, *asked)
    assert report["taken"] + report["already_there"] == COUNT
    assert [row.external_id for row in images(mirada)] == [
        str(old.id_of(each)) for each in range(COUNT)
    ]


def test_a_row_may_hold_its_vector_as_an_array(old: Old) -> None:
    from mirada.transfer.records import Record, record_of

    fields = {"id": 7, "path": "p.png", "vector": old.vectors[0]}
    record = record_of(1, fields)
    assert isinstance(record, Record)
    assert record.vector is fields["vector"]


def test_a_vector_of_bytes_may_begin_like_json() -> None:
    vector = np.zeros(32, np.float32)
    # 0x5b is "[", and the least byte of a float32 comes first.
    vector[0] = np.frombuffer(b"\x5b\xff\x7f\x3f", "<f4")[0]
    raw = vector.tobytes()
    assert raw.startswith(b"[")
    assert read(raw, 32).tobytes() == raw
    text = json.dumps(vector.astype(float).tolist()).encode()
    assert read(text, 32).tobytes() == raw
    with pytest.raises(InvalidInput, match="has 31 numbers"):
        read(raw[:-4].replace(b"[", b"\x5c", 1), 32)
