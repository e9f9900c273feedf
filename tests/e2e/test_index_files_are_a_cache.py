"""Any file of an index may vanish or rot at any time; answers stay right."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from testing.deployment import Web, wait_until
from tests.e2e.conftest import Production

pytestmark = [pytest.mark.mariadb, pytest.mark.redis]


def rebuild(library: Production) -> dict[str, object]:
    """Publish a snapshot through the API and return the index's status."""
    reply = library.first.http.post("/api/v1/indexes/image/rebuild")
    assert reply.status_code == 202, reply.text
    job = reply.headers["Location"]
    wait_until(
        lambda: library.first.http.get(job).json()["state"] == "done",
        what="rebuild done",
        every_s=0.3,
    )
    return dict(library.first.http.get("/api/v1/indexes").json()["results"][0])


def answers(web: Web, library: Production) -> list[tuple[int, float]]:
    found = []
    for sticker in library.stickers[:12]:
        results = web.search_by_picture(library.sticker_path(sticker).read_bytes(), k="5")[
            "results"
        ]
        found += [(r["image"]["id"], round(r["similarity"], 4)) for r in results]
    return found


def snapshot_files(library: Production) -> list[Path]:
    return list((library.deployment.folder / "faiss_indexes").rglob("vectors.faiss"))


def test_answers_go_on_when_every_index_file_is_deleted_while_serving(library: Production) -> None:
    before = answers(library.first, library)
    rebuild(library)
    assert snapshot_files(library)
    assert answers(library.second, library) == before

    shutil.rmtree(library.deployment.folder / "faiss_indexes")

    assert answers(library.first, library) == before
    assert answers(library.second, library) == before
    fresh = library.deployment.web("web-without-files")
    try:
        assert answers(fresh, library) == before
    finally:
        fresh.process.stop()
    rebuild(library)
    assert snapshot_files(library)


@pytest.mark.parametrize(
    "name",
    [
        "vectors.faiss",
        # Each file and each byte is looked at without servers, in tests/adapters.
        pytest.param("ids.npy", marks=pytest.mark.drill),
        pytest.param("manifest.json", marks=pytest.mark.drill),
    ],
)
def test_a_snapshot_with_a_flipped_byte_is_never_served(library: Production, name: str) -> None:
    before = answers(library.first, library)
    rebuild(library)
    for index_file in snapshot_files(library):
        damaged = index_file.with_name(name)
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 0x10
        # In place of the file, not into it: whoever mapped the old one keeps the old one.
        replacement = damaged.with_suffix(".new")
        replacement.write_bytes(content)
        replacement.replace(damaged)

    fresh = library.deployment.web("web-after-damage")
    try:
        assert answers(fresh, library) == before
        status = fresh.http.get("/api/v1/indexes").json()["results"][0]
        assert status["snapshot"] is None
    finally:
        fresh.process.stop()
    rebuild(library)
