"""Packs go out with an export and come in as they were, from one kind of database to the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testing.console import run_command
from testing.old_systems import Old
from tests.transfer.conftest import COUNT, Mirada
from tests.transfer.test_exporting import answers, filled
from tests.transfer.test_importing import bring, images


def called(image: dict[str, Any]) -> str:
    """Return what every library calls an image that came from the first."""
    return str(image["external_id"] or image["id"])


def packs_told(mirada: Mirada) -> list[dict[str, Any]]:
    """Return all packs as their owner is told of them, without the numbers of this library."""
    listed = mirada.client.get("/api/v1/packs?limit=100").get_json()["results"]
    told = []
    for pack in sorted(listed, key=lambda each: each["title"]):
        inside = mirada.client.get(f"/api/v1/packs/{pack['id']}/images?limit=100").get_json()
        query = dict(pack["query"] or {})
        if "image_id" in query:
            image = mirada.client.get(f"/api/v1/images/{query['image_id']}").get_json()
            query["image_id"] = called(image)
        conditions = dict(query.get("filter") or {})
        if "pack" in conditions:
            named = mirada.client.get(f"/api/v1/packs/{conditions['pack']}").get_json()
            query["filter"] = conditions | {"pack": named["title"]}
        if "owner" in conditions:
            people = {each["id"]: each["username"] for each in users(mirada)}
            query["filter"] = conditions | {"owner": [people[each] for each in conditions["owner"]]}
        told.append(
            {
                **{name: pack[name] for name in ("title", "description", "is_public", "theme")},
                "created_at": pack["created_at"],
                "cover": None if pack["cover"] is None else called(pack["cover"]),
                "query": query,
                "images": [(called(each["image"]), each["emojis"]) for each in inside["results"]],
            }
        )
    return told


def users(mirada: Mirada) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = mirada.client.get("/api/v1/users?limit=100").get_json()["results"]
    return found


def make_pack(mirada: Mirada, title: str, **fields: Any) -> dict[str, Any]:
    reply = mirada.client.post("/api/v1/packs", json={"title": title, **fields})
    assert reply.status_code == 201, reply.get_json()
    made: dict[str, Any] = reply.get_json()
    return made


def with_packs(mirada: Mirada) -> None:
    """Make packs of every kind: one that fills itself by one that was made after it, too."""
    seen = [row for row in images(mirada) if row.is_public]
    first = make_pack(mirada, "Filled itself", query={"text": "a lighthouse 5, film still"})
    cats = make_pack(
        mirada, "Lights 💡", description="Two\nlines, 100 %", theme="Lights", is_public=True
    )
    # The last is its owner's own, and private: the picture that a search finds by its emoji.
    own = next(row for row in images(mirada) if row.external_id is None)
    order = [*(seen[place].id for place in (7, 2, 9)), own.id]
    emojis = {str(order[1]): ["💡", "🌊"], str(order[3]): ["🌙"]}
    address = f"/api/v1/packs/{cats['id']}"
    reply = mirada.client.post(f"{address}/images", json={"image_ids": order, "emojis": emojis})
    assert reply.status_code == 200, reply.get_json()
    trashed = order.pop(2)
    changed = mirada.client.patch(
        address, json={"cover_image_id": order[1]}, headers={"If-Match": "*"}
    )
    assert changed.status_code == 200, changed.get_json()
    with mirada.runtime.transaction() as session:
        from sqlalchemy import update

        from mirada.db.models import Image, utc_now

        session.execute(update(Image).where(Image.id == trashed).values(trashed_at=utc_now()))
    make_pack(mirada, "Empty")
    owner = next(each["id"] for each in users(mirada) if each["username"] == "old-user-1")
    make_pack(mirada, "Of somebody", query={"filter": {"owner": [owner], "tag": ["sea"]}})
    make_pack(mirada, "Like one", query={"image_id": order[0], "threshold": 0.5})
    changed = mirada.client.patch(
        f"/api/v1/packs/{first['id']}",
        json={"query": {"filter": {"pack": cats["id"]}}},
        headers={"If-Match": "*"},
    )
    assert changed.status_code == 200, changed.get_json()


def by_emoji(mirada: Mirada) -> list[str]:
    reply = mirada.client.post("/api/v1/search", json={"text": "🌙", "in": "keywords"})
    assert reply.status_code == 200, reply.get_json()
    return [called(each["image"]) for each in reply.get_json()["results"]]


@pytest.mark.mariadb
@pytest.mark.postgresql
def test_a_library_moves_from_database_to_database(
    make_mirada: Callable[..., Mirada],
    migrated_mariadb_url: str,
    pgvector_database: Any,
    old: Old,
    tmp_path: Path,
) -> None:
    postgresql = pgvector_database.engine.url.render_as_string(hide_password=False)
    first = make_mirada(similarity_threshold=-1)
    filled(first, old, tmp_path)
    with_packs(first)
    first.work()
    told, found = packs_told(first), answers(first, old)
    # An emoji of a pack finds its picture.
    emoji_found = by_emoji(first)
    assert emoji_found
    assert [pack["title"] for pack in told] == sorted(pack["title"] for pack in told)
    lights = next(pack for pack in told if pack["title"] == "Lights 💡")
    assert [emojis for _, emojis in lights["images"]] == [[], ["💡", "🌊"], ["🌙"]]
    assert len(next(pack for pack in told if pack["title"] == "Of somebody")["images"]) > 0
    before = first
    for step, url in enumerate((migrated_mariadb_url, postgresql)):
        after = make_mirada(similarity_threshold=-1, database_url=url, auth_mode="open")
        folder = tmp_path / f"export-{step}"
        result = run_command(before.runtime, "export", str(folder))
        assert result.exit_code == 0, result.output
        dry = bring(after, str(folder), "--create-users", "--dry-run")
        after.encoder.images = 0
        report = bring(after, str(folder), "--create-users")
        # One image is in the trash.
        assert (dry["taken"], dry["packs_taken"]) == (report["taken"], report["packs_taken"])
        assert (report["taken"], report["packs_taken"], report["refused"]) == (COUNT, 5, 0)
        assert report["marks_left_out"] == 0
        after.work()
        assert after.encoder.images == report["vectors_compared"]["pictures"]
        assert after.encoder.texts == []
        assert packs_told(after) == told
        assert answers(after, old) == found
        own = after.client.get("/api/v1/feedback").get_json()["results"]
        assert [(each["theme"], each["accepted"]) for each in own] == [("boats", True)]
        again = bring(after, str(folder))
        assert (again["packs_taken"], again["packs_already_there"]) == (0, 5)
        assert packs_told(after) == told
        assert by_emoji(after) == emoji_found
        before = after


def test_a_part_of_a_library_brings_the_packs_that_it_has_pictures_of(
    make_mirada: Callable[..., Mirada], old: Old, tmp_path: Path
) -> None:
    first, second = make_mirada(), make_mirada()
    filled(first, old, tmp_path)
    with_packs(first)
    lights = next(pack for pack in packs_told(first) if pack["title"] == "Lights 💡")
    chosen = [
        row for row in images(first) if str(row.external_id or row.id) == lights["images"][2][0]
    ]
    folder = tmp_path / "part"
    result = run_command(first.runtime, "export", str(folder), f"--id={chosen[0].id}")
    assert result.exit_code == 0, result.output
    report = bring(second, str(folder), "--create-users")
    assert (report["taken"], report["packs_taken"]) == (1, 1)
    told = packs_told(second)
    assert [(pack["title"], pack["images"]) for pack in told] == [
        ("Lights 💡", [lights["images"][2]])
    ]


def test_a_pack_whose_search_cannot_come_is_named(
    make_mirada: Callable[..., Mirada], old: Old, tmp_path: Path
) -> None:
    first, second = make_mirada(), make_mirada()
    filled(first, old, tmp_path)
    make_pack(first, "On the map", query={"filter": {"area": "0,0,100,100"}})
    make_pack(first, "Stays")
    gone = next(row for row in images(first) if row.is_public)
    make_pack(first, "Like one that is gone", query={"image_id": gone.id})
    assert first.client.delete(f"/api/v1/images/{gone.id}").status_code in (200, 204, 404)
    with first.runtime.transaction() as session:
        from sqlalchemy import update

        from mirada.db.models import Image, utc_now

        session.execute(update(Image).where(Image.id == gone.id).values(trashed_at=utc_now()))
    folder = tmp_path / "export"
    assert run_command(first.runtime, "export", str(folder)).exit_code == 0
    report = bring(second, str(folder), "--create-users")
    assert (report["packs_taken"], report["refused"]) == (1, 2)
    reasons = sorted(each["reason"] for each in report["refusals"])
    assert "Pack 'Like one that is gone': Its search begins at an image" in reasons[0]
    assert "Pack 'On the map': Its search asks for a place on the map" in reasons[1]
    assert [pack["title"] for pack in packs_told(second)] == ["Stays"]
    # Lines as other programs may have changed them are no reason to fail.
    lines = [json.loads(line) for line in (folder / "packs.jsonl").read_text().splitlines()]
    assert [line["title"] for line in lines] == ["On the map", "Stays", "Like one that is gone"]
