"""Tables and folders of old systems come in under their old ids, and their clients' calls answer."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from mirada.db.classifier_models import ClassifiedPicture, LabelExpansion
from testing.console import run_command
from testing.old_systems import (
    Old,
    as_classifier_tables,
    as_clip_retrieval,
    as_pgvector_table,
    require_parquet,
)
from tests.transfer.conftest import COUNT, Mirada
from tests.transfer.test_importing import OURS, bring, images


def content_of(old: Old, number: int) -> bytes:
    return (old.folder / "static" / f"p{number}.png").read_bytes()


@pytest.mark.postgresql
def test_a_table_with_a_pgvector_column(mirada: Mirada, old: Old, pgvector: Any) -> None:
    with pgvector.new_database() as name:
        url = pgvector.url(name)
        as_pgvector_table(old, url)
        asked = (
            url,
            "--from",
            "image-search",
            "--pictures",
            str(old.folder),
            "--vectors-are",
            OURS,
        )
        unknown = bring(mirada, *asked, "--dry-run")
        assert unknown["refused"] == COUNT
        mirada.encoder.images = 0
        report = bring(mirada, *asked, "--create-users")
        assert (report["taken"], report["vectors_taken"]) == (COUNT, COUNT)
        absent = ("--table", "absent", "--pictures", str(old.folder))
        wrong = run_command(mirada.runtime, "import", url, *absent)
        assert 'relation "absent" does not exist' in wrong.output
        odd = ("--column", "id=nothing", "--pictures", str(old.folder))
        wrong = run_command(mirada.runtime, "import", url, "--table", "images", *odd)
        assert "no column nothing" in wrong.output
    assert mirada.encoder.images == report["vectors_compared"]["pictures"]
    mirada.work()
    assert mirada.encoder.images == report["vectors_compared"]["pictures"]
    # Bookmarks of its clients.
    for number in (0, 17, 48):
        found = mirada.post_picture("/search-similar-images/", content_of(old, number)).get_json()
        best = found["results"][0]
        assert (best["id"], best["path"]) == (old.id_of(number), f"/static/p{number}.png")
        with mirada.client.get(f"/static/p{number}.png", buffered=True) as reply:
            assert reply.status_code == 200
    related = mirada.client.get(f"/api/images/{old.id_of(0)}/related/").get_json()["results"]
    assert {each["image"]["id"] for each in related} <= set(map(old.id_of, range(COUNT)))
    assert {each["image"]["user"]["id"] for each in related} <= {900, 901, 902}
    upload = {"file": (io.BytesIO(content_of(old, 3)), "again.png")}
    new = mirada.client.post("/api/v1/images", data=upload).get_json()
    assert new["id"] > old.id_of(COUNT)


@pytest.mark.mariadb
def test_the_tables_of_a_classifier(mirada: Mirada, old: Old, mariadb: Any, tmp_path: Path) -> None:
    with mariadb.new_database() as name:
        url = mariadb.url(name)
        as_classifier_tables(old, url)
        asked = (url, "--from", "classifier", "--vectors-are", OURS)
        alone = run_command(mirada.runtime, "import", *asked)
        assert alone.exit_code == 1
        assert "--vectors-unchecked" in alone.output
        hashes = tmp_path / "by-hash"
        hashes.mkdir()
        for number in (2, 30):
            (hashes / f"{old.hashes[number]}.png").write_bytes(content_of(old, number))
        report = bring(mirada, *asked, "--pictures", str(hashes))
        assert report["vectors_compared"]["pictures"] == 2
        assert (report["taken"], report["marks_taken"], report["expansions_taken"]) == (
            COUNT,
            COUNT // 2,
            1,
        )
        again = bring(mirada, *asked, "--vectors-unchecked")
        assert (again["taken"], again["already_there"]) == (0, COUNT)
    with mirada.runtime.reading() as session:
        assert session.execute(select(LabelExpansion.label)).scalars().all() == ["dog"]
        assert len(session.execute(select(ClassifiedPicture.id)).all()) == COUNT
    assert mirada.encoder.images == 2
    mirada.work()
    # A picture that was classified there is known here, and like itself by its old name.
    form = {"file": (io.BytesIO(content_of(old, 9)), "x.png"), "labels": "cat, dog"}
    told = mirada.client.post("/classify", data=form).get_json()
    assert told["image_hash"] == old.hashes[9]
    assert mirada.encoder.images == 2
    verdict = {"image_hash": old.hashes[8], "theme": "reaction-meme", "accepted": True}
    assert mirada.client.post("/feedback", json=verdict).status_code == 200
    near = {"file": (io.BytesIO(content_of(old, 9)), "x.png"), "similar_threshold": "-1"}
    similar = mirada.client.post("/classify", data=near).get_json()["similar_images"]
    assert {each["asset_id"] for each in similar} <= {f"asset-{number}" for number in range(COUNT)}
    # Whoever uploads the bytes brings what they are.
    upload = {"file": (io.BytesIO(content_of(old, 5)), "p5.png")}
    image = mirada.client.post("/api/v1/images", data=upload).get_json()
    assert (image["width"], image["height"], image["media_type"]) == (64, 48, "image/png")


def test_a_folder_of_clip_retrieval(mirada: Mirada, old: Old, tmp_path: Path) -> None:
    require_parquet()
    folder = tmp_path / "clip"
    as_clip_retrieval(old, folder)
    asked = (str(folder), "--pictures", str(old.folder), "--vectors-are", OURS)
    report = bring(mirada, *asked)
    assert (report["taken"], report["vectors_taken"]) == (COUNT, COUNT)
    assert [row.caption for row in images(mirada)] == [
        old.row(number)["caption"] for number in range(COUNT)
    ]
    mirada.work()
    assert mirada.encoder.images == report["vectors_compared"]["pictures"]
    assert bring(mirada, *asked)["already_there"] == COUNT


def test_broken_folders_of_clip_retrieval_are_told(
    mirada: Mirada, old: Old, tmp_path: Path
) -> None:
    require_parquet()
    folder = tmp_path / "clip"
    as_clip_retrieval(old, folder)
    asked = (str(folder), "--pictures", str(old.folder), "--vectors-are", OURS)
    metadata, vectors = folder / "metadata/metadata_1.parquet", folder / "img_emb/img_emb_1.npy"
    whole, array = metadata.read_bytes(), np.load(vectors)

    def told() -> str:
        result = run_command(mirada.runtime, "import", *asked)
        assert result.exit_code == 1
        return result.output

    metadata.write_bytes(whole[: len(whole) // 2])
    assert "metadata_1.parquet is no Parquet that can be read" in told()
    metadata.write_bytes(whole)
    np.save(vectors, array[:-1])
    assert "has more rows than" in told()
    array[3] = np.nan
    np.save(vectors, array)
    vectors_2 = folder / "img_emb/img_emb_2.npy"
    vectors_2.unlink()
    assert "img_emb has 2 files" in told()
    np.save(vectors_2, np.ones((len(np.arange(COUNT)[34:]), 7), np.float32))
    report = bring(mirada, *asked)
    # Rows of all parts are numbered on: of the second its fourth, and of the third every one.
    reasons = {each["row"]: each["reason"] for each in report["refusals"]}
    assert sorted(reasons) == [17 + 4, *range(35, COUNT + 1)]
    assert "NaN" in reasons[21]
    assert "7 numbers" in reasons[35]
    assert len(images(mirada)) == 33


def test_without_parquet_the_extra_is_named(
    mirada: Mirada, old: Old, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "clip"
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    np.save(folder / "img_emb" / "img_emb_0.npy", old.vectors)
    (folder / "metadata" / "metadata_0.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run_command(mirada.runtime, "import", str(folder), "--pictures", str(old.folder))
    assert result.exit_code == 1
    assert "requirements-parquet.txt" in result.output


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_points_of_qdrant(mirada: Mirada, old: Old, tmp_path: Path, suffix: str) -> None:
    points = [
        {
            "id": f"point-{number}" if number % 2 else number + 500,
            "vector": {"image": old.vectors[number].tolist(), "text": [1.0]},
            "payload": {"path": f"static/p{number}.png", "caption": f"caption {number}"},
        }
        for number in range(8)
    ]
    file = tmp_path / f"points.{suffix}"
    if suffix == "json":
        file.write_text(json.dumps({"result": {"points": points}, "status": "ok"}))
    else:
        file.write_text("\n".join(map(json.dumps, points)))
    report = bring(
        mirada,
        *(str(file), "--from", "qdrant", "--pictures", str(old.folder)),
        *("--vectors-are", OURS, "--column", "vector=image"),
    )
    assert (report["taken"], report["vectors_taken"]) == (8, 8)
    assert [row.external_id for row in images(mirada)][:3] == ["500", "point-1", "502"]
