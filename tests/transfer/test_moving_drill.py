"""5,000 pictures move in from each kind of source, the import killed twice, and old clients go on."""

from __future__ import annotations

import io
import logging
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from mirada.config import Settings
from mirada.db.classifier_models import ClassifiedPicture, Feedback, LabelExpansion
from mirada.db.memory_models import Like
from mirada.db.models import Content, Embedding, Image, Job, JobState, User
from mirada.db.session import Database, make_engine
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.kernel.embeddings import BLOB_DTYPE
from mirada.runtime import Runtime
from testing.deployment import Deployment, Web, deployed
from testing.moving import Moving, counting, files_below
from testing.old_systems import (
    FIRST_ID,
    PROMPT_EVERY,
    Old,
    as_classifier_tables,
    as_clip_retrieval,
    as_jsonl,
    as_pgvector_table,
    drawn_pictures,
    require_parquet,
)
from testing.patience import wait_until

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.drill
COUNT = 5_000
POSTS = 200


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """The bundled encoder, as the processes load it."""
    folder = tmp_path_factory.mktemp("model")
    runtime = Runtime(Settings(clip_model="bundled", data_dir=folder, faiss_index_dir=folder))
    runtime.migrate()
    runtime.encoder  # noqa: B018 - the first use pins its space
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def five_thousand(model: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Old:
    """The pictures, and the vectors that the model gives them."""
    folder = tmp_path_factory.mktemp("old")
    return drawn_pictures(folder, COUNT, model.encoder.encode_images)


def killed_twice(moving: Moving, count: Any, rows: int = COUNT) -> dict[str, Any]:
    """Kill an import twice in the middle, at random, and return the report of the third run."""
    seed = time.time_ns()
    logger.info("seed %s", seed)
    chance = random.Random(seed)
    moving.kill_at(int(rows * chance.uniform(0.02, 0.4)), count)
    moving.kill_at(int(rows * chance.uniform(0.45, 0.85)), count)
    assert 0 < moving.killed_at[0] < moving.killed_at[1] < rows
    return moving.finish()


def encoded(web: Web, kind: str) -> int:
    """Return how many pictures or texts the server's encoder has given a vector."""
    lines = [
        line
        for line in web.http.get("/metrics").text.splitlines()
        if line.startswith("mirada_encoded_items_total") and f'kind="{kind}"' in line
    ]
    return int(sum(float(line.rpartition(" ")[2]) for line in lines))


def worked(web: Web, database: Database) -> None:
    """Wait until the server has done all that the import left it to do."""

    def is_done() -> bool:
        assert web.process.popen.poll() is None, web.process.tail()
        with database.reading() as session:
            query = select(Job.state, func.count()).group_by(Job.state)
            states = pairs(session, query)
        return set(states) <= {JobState.DONE}

    wait_until(is_done, what="every job done", every_s=0.5)


def pairs(session: Any, query: Any) -> dict[Any, Any]:
    return {row[0]: row[1] for row in session.execute(query)}


def opened(url: str) -> Database:
    return Database(make_engine(make_url(url), 4))


def check_pictures(old: Old, database: Database, deployment: Deployment, source: str) -> None:
    """All came once, under their ids and with their vectors, and the store holds nothing else."""
    with database.reading() as session:
        rows = session.execute(
            select(Image.external_id, Image.external_source, Image.external_name, Content.sha256)
            .join(Content, Content.id == Image.content_id)
            .order_by(Image.id)
        ).all()
        keys = set(session.execute(select(Content.storage_key)).scalars())
        stored = session.execute(
            select(Content.sha256, Embedding.vector)
            .join(Content, Content.id == Embedding.content_id)
            .where(Embedding.is_deleted.is_(False))
        ).all()
        jobs = session.execute(
            select(Job.subject_id).where(Job.kind == CREATE_EMBEDDINGS)
        ).scalars()
        looked_at = list(jobs)
        statuses = pairs(session, select(Image.status, func.count()).group_by(Image.status))
    assert len(rows) == len({row.external_id for row in rows}) == old.count
    assert {row.external_source for row in rows} == {source}
    assert [row.sha256 for row in rows] == list(old.hashes)
    assert statuses == {"READY": old.count}
    numbers = {sha256: number for number, sha256 in enumerate(old.hashes)}
    assert len(stored) == old.count
    for sha256, blob in stored:
        vector = np.frombuffer(blob, BLOB_DTYPE)
        np.testing.assert_allclose(vector, old.vectors[numbers[sha256]], atol=1e-6)
    # One job a picture, which reads how it looks and asks the encoder for nothing.
    assert len(set(looked_at)) == len(looked_at) <= old.count
    assert files_below(deployment.folder / "data/images") == keys
    assert len(keys) == old.count


def file_of(old: Old, number: int) -> bytes:
    return (old.folder / "static" / f"p{number}.png").read_bytes()


@pytest.mark.postgresql
@pytest.mark.mariadb
def test_a_pgvector_table_into_mariadb(
    five_thousand: Old, pgvector: Any, mariadb: Any, tmp_path: Path, model: Runtime
) -> None:
    old = five_thousand
    with (
        pgvector.new_database() as table,
        mariadb.new_database() as name,
        deployed(tmp_path / "site", DATABASE_URL=mariadb.url(name)) as deployment,
    ):
        as_pgvector_table(old, pgvector.url(table))
        # The server runs meanwhile, and works on what came.
        web = deployment.web()
        moving = Moving(
            deployment,
            (
                *(pgvector.url(table), "--from", "image-search", "--create-users"),
                *("--pictures", str(old.folder), "--vectors-are", model.space()[1].model),
            ),
        )
        report = killed_twice(moving, counting(mariadb.url(name), Image))
        logger.info("pgvector -> MariaDB: %s; %s", moving.told(), report)
        assert report["taken"] + report["already_there"] == COUNT
        assert (report["refused"], report["vectors_taken"]) == (0, report["taken"])
        database = opened(mariadb.url(name))
        worked(web, database)
        check_pictures(old, database, deployment, "image-search")
        check_gallery(old, database)
        assert encoded(web, "image") == 0
        bookmarks(old, web)
        database.close()


def check_gallery(old: Old, database: Database) -> None:
    """Owners, dates, visibility, prompts, tags and likes are those of before."""
    with database.reading() as session:
        people = pairs(session, select(User.id, User.external_id))
        images = list(session.execute(select(Image).order_by(Image.id)).scalars())
        likes = session.execute(
            select(Image.external_id, Like.user_id).join(Image, Image.id == Like.image_id)
        ).all()
    for number, image in enumerate(images):
        was = old.row(number)
        assert image.external_id == str(was["id"])
        assert people[image.owner_id] == str(was["user_id"])
        assert image.created_at.isoformat() == was["created_at"]
        assert image.is_public is was["is_public"]
        assert image.prompt == (was["prompt"] if number % PROMPT_EVERY == 0 else None)
        assert image.tags == (["sea", "night"] if number % 2 else None)
        assert image.like_count == len(was["likes"])
    given = {
        (str(old.id_of(number)), str(by))
        for number in range(old.count)
        for by in old.row(number)["likes"]
    }
    assert len(likes) == len(given)
    assert {(row.external_id, people[row.user_id]) for row in likes} == given


def bookmarks(old: Old, web: Web) -> None:
    """What clients of before have bookmarked answers, by the ids and names of before."""
    public = [number for number in range(old.count) if old.row(number)["is_public"]]
    private = next(number for number in range(old.count) if not old.row(number)["is_public"])
    ids = {old.id_of(number) for number in public}
    for number in random.Random(5).sample(public, 10):
        reply = web.http.get(f"/static/p{number}.png")
        assert reply.status_code == 200
        # Whoever is not the owner gets a copy; it shows the same.
        assert_looks_like(reply.content, file_of(old, number))
        form = {"file": ("q.png", file_of(old, number), "image/png")}
        results = web.http.post("/search-similar-images/", files=form).json()["results"]
        assert (results[0]["id"], results[0]["path"]) == (
            old.id_of(number),
            f"/static/p{number}.png",
        )
        assert {each["id"] for each in results} <= ids
        related = web.http.get(f"/api/images/{old.id_of(number)}/related/?limit=20").json()
        assert related["count"] == len(related["results"]) == 20
        for each in related["results"]:
            image = each["image"]
            was = old.row(image["id"] - FIRST_ID)
            assert image["user"]["id"] == was["user_id"]
            assert image["like_count"] == len(was["likes"])
            assert image["prompt"] == (was["prompt"] if was["id"] in prompted(old) else None)
        posts = web.http.post(f"/api/v1/images/{old.id_of(number)}/similar?limit=5")
        assert posts.status_code == 404, "it is no post of a captioned site"
        told = web.http.post("/embed-image", files=form).json()
        np.testing.assert_allclose(told["embedding"], old.vectors[number], atol=1e-3)
    assert web.http.get(f"/static/p{private}.png").status_code == 404
    assert web.http.get(f"/api/images/{old.id_of(private)}/related/").status_code == 404
    # A number means one picture for good.
    upload = {"file": ("new.png", file_of(old, 3)[:-1] + b"\x82", "image/png")}
    new = web.http.post("/api/v1/images", files=upload).json()
    assert new["id"] > old.id_of(old.count)


def assert_looks_like(copy: bytes, original: bytes) -> None:
    shown = [np.asarray(Picture.open(io.BytesIO(each)).convert("RGB")) for each in (copy, original)]
    assert shown[0].shape == shown[1].shape
    assert np.abs(shown[0].astype(int) - shown[1]).mean() < 12


def prompted(old: Old) -> set[int]:
    return {old.id_of(number) for number in range(0, old.count, PROMPT_EVERY)}


@pytest.mark.mariadb
def test_a_classifier_s_tables_into_sqlite(
    five_thousand: Old, mariadb: Any, tmp_path: Path, model: Runtime
) -> None:
    old = five_thousand
    with mariadb.new_database() as name, deployed(tmp_path / "site") as deployment:
        as_classifier_tables(old, mariadb.url(name), with_people=True)
        url = f"sqlite:///{deployment.folder / 'data/mirada.db'}"
        hashes = tmp_path / "by-hash"
        hashes.mkdir()
        for number in range(0, COUNT, COUNT // 5):
            (hashes / f"{old.hashes[number]}.png").write_bytes(file_of(old, number))
        moving = Moving(
            deployment,
            (
                *(mariadb.url(name), "--from", "classifier", "--create-users"),
                *("--pictures", str(hashes), "--vectors-are", model.space()[1].model),
            ),
        )
        pictures, verdicts = counting(url, ClassifiedPicture), counting(url, Feedback)
        chance = random.Random()
        moving.kill_at(chance.randrange(COUNT // 50, COUNT * 4 // 5), pictures)
        # The second time among the verdicts.
        moving.kill_at(chance.randrange(COUNT // 50, COUNT * 2 // 5), verdicts)
        assert moving.killed_at[0] < COUNT
        assert moving.killed_at[1] < COUNT // 2
        report = moving.finish()
        logger.info("classifier -> SQLite: %s; %s", moving.told(), report)
        assert (report["taken"], report["already_there"], report["refused"]) == (0, COUNT, 0)
        assert (report["marks_taken"], report["expansions_taken"]) == (COUNT // 2, 1)
        database = opened(url)
        web = deployment.web()
        worked(web, database)
        check_memory(old, database)
        assert files_below(deployment.folder / "data/images") == set()
        classify_again(old, web)
        database.close()


def check_memory(old: Old, database: Database) -> None:
    """Hashes, vectors, owners, dates and verdicts are those of before, each once."""
    with database.reading() as session:
        people = pairs(session, select(User.id, User.external_id))
        pictures = session.execute(
            select(
                Content.sha256,
                ClassifiedPicture.owner_id,
                ClassifiedPicture.asset_id,
                ClassifiedPicture.created_at,
                Embedding.vector,
            )
            .join(Content, Content.id == ClassifiedPicture.content_id)
            .join(Embedding, Embedding.content_id == Content.id)
        ).all()
        verdicts = session.execute(
            select(
                Content.sha256,
                Feedback.user_id,
                Feedback.theme,
                Feedback.accepted,
                Feedback.created_at,
            ).join(Content, Content.id == Feedback.content_id)
        ).all()
        labels = session.execute(select(LabelExpansion.label)).scalars().all()
    numbers = {sha256: number for number, sha256 in enumerate(old.hashes)}
    assert labels == ["dog"]
    assert len(pictures) == len({row.sha256 for row in pictures}) == old.count
    for row in pictures:
        number = numbers[row.sha256]
        was = old.row(number)
        assert people[row.owner_id] == str(was["user_id"])
        assert row.asset_id == f"asset-{number}"
        assert row.created_at.isoformat() == was["created_at"]
        found = np.frombuffer(row.vector, BLOB_DTYPE)
        np.testing.assert_allclose(found, old.vectors[number], atol=1e-6)
    assert len(verdicts) == len({row.sha256 for row in verdicts}) == old.count // 2
    for row in verdicts:
        number = numbers[row.sha256]
        was = old.row(number)
        assert people[row.user_id] == str(was["user_id"])
        assert (row.theme, row.accepted) == ("reaction-meme", number % 4 == 0)
        assert row.created_at.isoformat() == was["created_at"]


def classify_again(old: Old, web: Web) -> None:
    """Bytes that were classified there are known by their hashes, and not embedded again."""
    before = encoded(web, "image")
    form = {"file": ("q.png", file_of(old, 8), "image/png")}
    told = web.http.post("/classify", files=form, data={"labels": "cat, dog"}).json()
    assert told["image_hash"] == old.hashes[8]
    assert encoded(web, "image") == before == 0


def test_a_clip_retrieval_folder_into_sqlite(
    five_thousand: Old, tmp_path: Path, model: Runtime
) -> None:
    require_parquet()
    old = five_thousand
    import pyarrow

    found = (Path(pyarrow.__file__).parents[1], Path(__file__).parents[2])
    with deployed(tmp_path / "site", PYTHONPATH=":".join(map(str, found))) as deployment:
        url = f"sqlite:///{deployment.folder / 'data/mirada.db'}"
        folder = tmp_path / "clip"
        as_clip_retrieval(old, folder)
        moving = Moving(
            deployment,
            (
                *(str(folder), "--pictures", str(old.folder), "--owner", "local", "--public"),
                *("--vectors-are", model.space()[1].model),
            ),
        )
        report = killed_twice(moving, counting(url, Image))
        logger.info("clip-retrieval -> SQLite: %s; %s", moving.told(), report)
        assert report["taken"] + report["already_there"] == COUNT
        assert (report["refused"], report["vectors_taken"]) == (0, report["taken"])
        database = opened(url)
        web = deployment.web()
        worked(web, database)
        check_pictures(old, database, deployment, "clip-retrieval")
        with database.reading() as session:
            captions = session.execute(select(Image.caption).order_by(Image.id)).scalars().all()
        assert captions == [old.row(number)["caption"] for number in range(COUNT)]
        assert encoded(web, "image") == 0
        reply = web.http.get("/static/p7.png")
        assert (reply.status_code, reply.content) == (200, file_of(old, 7))
        posts = tmp_path / "posts.db"
        as_posts(old, posts)
        pictures = str(old.folder / "static")
        asked = ("--from", "captioned-posts", "--pictures", pictures, "--owner", "local")
        moved = Moving(deployment, (f"sqlite:///{posts}", *asked, "--public")).finish()
        assert (moved["taken"], moved["refused"]) == (POSTS, 0)
        worked(web, database)
        # The bytes are here, and so are their vectors.
        assert encoded(web, "image") == 0
        posts_of_before(old, web)
        database.close()


def as_posts(old: Old, path: Path) -> None:
    """Write the table of a site of captioned posts, whose ids are texts."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE image_posts (id TEXT, image_url TEXT, caption TEXT)")
        connection.executemany(
            "INSERT INTO image_posts VALUES (?, ?, ?)",
            [
                (f"post-{number}", f"/uploads/p{number}.png", f"a harbour {number} at dawn")
                for number in range(POSTS)
            ],
        )


def posts_of_before(old: Old, web: Web) -> None:
    """The calls of captioned posts take and tell the ids of before."""
    for number in (0, 57, 199):
        reply = web.http.post(f"/api/v1/images/post-{number}/similar?limit=20")
        assert reply.status_code == 200, reply.text
        assert f"post-{number}" not in [each["id"] for each in reply.json()]
        asked = {"query": f"a harbour {number} at dawn", "limit": "5"}
        found = web.http.post("/api/v1/images/search", params=asked).json()
        assert f"post-{number}" in [each["id"] for each in found]
    assert web.http.post("/api/v1/images/post-200/similar").status_code == 404


def test_of_two_processes_at_once_one_takes_all(tmp_path: Path) -> None:
    old = drawn_pictures(tmp_path / "old", 600, lambda drawn: np.zeros((len(drawn), 2), np.float32))
    file = tmp_path / "metadata.jsonl"
    as_jsonl(old, file)
    with deployed(tmp_path / "site") as deployment:
        asked = (str(file), "--pictures", str(old.folder), "--owner", "local")
        first, second = (Moving(deployment, asked).start() for _ in range(2))
        told = [child.communicate(timeout=300) for child in (first, second)]
        codes = [first.returncode, second.returncode]
        assert sorted(codes) == [0, 1], told
        assert "An import from 'folder' is running: process" in told[codes.index(1)][1]
        database = opened(f"sqlite:///{deployment.folder / 'data/mirada.db'}")
        with database.reading() as session:
            ids = list(session.execute(select(Image.external_id).order_by(Image.id)).scalars())
        assert ids == [str(old.id_of(number)) for number in range(old.count)]
        database.close()
