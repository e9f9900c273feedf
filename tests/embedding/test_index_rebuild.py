"""What a rebuild measures itself with: pictures always, and texts like those people type."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select, update

from mirada.adapters.vector_index.faiss.index import FaissIndex
from mirada.adapters.vector_index.faiss.rebuilding import BuildSettings
from mirada.db.models import Image
from mirada.db.probe_texts import COMMON_WORDS, MAX_PROBE_CHARS, PROBE_TEXTS, probe_texts
from mirada.db.session import Database
from mirada.kernel.similarity import QueryForm, SearchWay
from testing.vector_library import Library, no_progress, random_vectors


def test_a_library_without_words_is_measured_with_common_ones(database: Database) -> None:
    with database.reading() as session:
        assert probe_texts(session) == list(COMMON_WORDS)


def test_captions_and_prompts_join_the_common_words_each_once(sqlite_database: Database) -> None:
    library = Library.create(sqlite_database)
    library.add(random_vectors(200))
    with sqlite_database.transaction() as session:
        for image_id in session.execute(select(Image.id)).scalars().all():
            words = {"caption": "the same caption", "prompt": f"prompt {image_id} " + "x" * 1000}
            session.execute(update(Image).where(Image.id == image_id).values(**words))

    with sqlite_database.reading() as session:
        texts = probe_texts(session)

    assert len(texts) == len(set(texts)) == PROBE_TEXTS
    assert "the same caption" in texts
    assert max(map(len, texts)) == MAX_PROBE_CHARS


def test_a_graph_must_reach_its_recall_for_texts_too_and_says_what_it_reached(
    sqlite_database: Database, tmp_path: Path
) -> None:
    library = Library.create(sqlite_database)
    library.add(random_vectors(600))
    texts = random_vectors(20, seed=7)
    asked: list[bool] = []

    def text_queries() -> object:
        asked.append(True)
        return texts

    def built(hnsw_min_rows: int) -> dict[str, object]:
        index = FaissIndex(
            library.source,
            tmp_path,
            BuildSettings(
                recall_target=0.95,
                hnsw_min_rows=hnsw_min_rows,
                extra_queries=text_queries,  # type: ignore[arg-type]
            ),
        )
        record = index.rebuild(1, no_progress)
        index.close()
        assert record is not None
        return dict(record.manifest["recall"])

    assert built(hnsw_min_rows=10_000) == {"exact": 1.0}
    assert not asked, "a flat index is exact: nobody needs to be asked"
    recall = built(hnsw_min_rows=100)

    for way in ("quantised", "hnsw"):
        shown = recall[way]["text"]  # type: ignore[index]
        assert shown["queries"] == 20
        assert 0.95 <= shown["at_least"] <= shown["recall"] <= 1.0


def test_too_few_texts_show_nothing_and_texts_are_taken_to_be_as_hard_as_blends(
    sqlite_database: Database, tmp_path: Path
) -> None:
    library = Library.create(sqlite_database)
    library.add(random_vectors(600))
    index = FaissIndex(
        library.source,
        tmp_path,
        BuildSettings(
            recall_target=0.98, hnsw_min_rows=100, extra_queries=lambda: random_vectors(5, seed=7)
        ),
    )
    assert index.rebuild(1, no_progress) is not None
    ways = {(one.form, one.way): one for one in index.status().ways}
    index.close()
    for way in (SearchWay.HNSW, SearchWay.QUANTISED):
        text, blend = ways[QueryForm.TEXT, way], ways[QueryForm.BLEND, way]
        assert (text.setting, text.probes) == (blend.setting, 0)
