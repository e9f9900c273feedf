"""Fused search over a real database and indexes: who is silent, who is sure, who may see what."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sqlalchemy import update

from mirada.db.models import Image, User
from mirada.db.session import Database
from mirada.db.spaces import pin_space
from mirada.db.vector_rows import DatabaseVectors
from mirada.embedding import embed, texts
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, Vector, l2_normalise
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageFormat, ImageStatus, PictureFacts
from mirada.pictures import register
from mirada.search.choice import Choice, Collapse
from mirada.search.choosing import Chooser
from mirada.search.found import Hit, Ranking
from mirada.search.fuse import VectorQuery, WordQuery, rank_fused
from mirada.search.queries import Query, QueryKind, Source
from testing.exact_index import ExactIndex
from testing.registering import register_image
from testing.scopes import seen_by

SPACES = {
    "pictures": EmbeddingSpace(SpaceKind.IMAGE, "toy", "v1", "none", 4),
    "prompts": EmbeddingSpace(SpaceKind.PROMPT, "toy", "v1", "none", 4),
}
ME, OTHER = 1, 2


def at(degrees: float) -> Vector:
    angle = np.radians(degrees)
    return l2_normalise([np.cos(angle), np.sin(angle), 0, 0])


class Shelf:
    """Images whose pictures and prompts lie so many degrees away from what is asked."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as session:
            session.add_all([User(id=ME, username="me"), User(id=OTHER, username="other")])
            self.space_ids = {
                "pictures": pin_space(session, SPACES["pictures"]).id,
                "prompts": pin_space(session, SPACES["prompts"]).id,
            }
        self.indexes = {
            name: ExactIndex(DatabaseVectors(database, space_id))
            for name, space_id in self.space_ids.items()
        }
        self._numbers = itertools.count(1)

    def put(
        self,
        picture: float,
        prompt: float | None = None,
        *,
        owner_id: int = ME,
        caption: str | None = None,
        is_public: bool = False,
    ) -> int:
        number = next(self._numbers)
        sha256 = f"{number:064x}"
        key = register.storage_key(sha256, ImageFormat.GIF)
        new = register.NewPicture(sha256, 1, PictureFacts(ImageFormat.GIF, 1, 1, 1), key)
        with self.database.transaction() as session:
            image = register_image(
                session,
                new,
                owner_id=owner_id,
                space_id=self.space_ids["pictures"],
                is_public=is_public,
                prompt=None if prompt is None else f"text{number}",
                caption=caption,
            ).image
            session.flush()
            embed.store_embedding(
                session,
                image.content_id,
                self.space_ids["pictures"],
                SPACES["pictures"],
                at(picture),
            )
            if prompt is not None:
                assert image.prompt_text_id is not None
                texts.show_vectors(session, image.content_id)
                texts.store_prompt_vectors(
                    session,
                    self.space_ids["prompts"],
                    SPACES["prompts"],
                    {image.prompt_text_id: at(prompt)},
                )
        return image.id

    def found(
        self,
        *,
        words: str | None = None,
        viewer_id: int | None = ME,
        k: int = 10,
        **options: float | None,
    ) -> Ranking:
        queries = []
        for name, index in self.indexes.items():
            index.refresh()
            query = Query(at(0), self.space_ids[name], SPACES[name], QueryKind.TEXT)
            queries.append(VectorQuery(Source(name), 1.0, query, index))
        with self.database.reading() as session:
            return rank_fused(
                session,
                queries,
                None if words is None else WordQuery(words, 1.0),
                seen_by(viewer_id),
                k=k,
                **options,  # type: ignore[arg-type]
            )


@pytest.fixture
def shelf(database: Database) -> Shelf:
    return Shelf(database)


def ids_of(found: Ranking) -> list[int]:
    return [hit.image_id for hit in found.hits]


def test_an_image_without_a_prompt_is_not_outranked_for_lacking_one(shelf: Shelf) -> None:
    bare = shelf.put(5)
    related = shelf.put(20, prompt=40)
    assert ids_of(shelf.found()) == [bare, related]


def test_a_prompt_that_fits_lifts_a_picture_that_does_not_show_it(shelf: Shelf) -> None:
    unfitting = shelf.put(20, prompt=85)
    fitting = shelf.put(30, prompt=1)
    assert ids_of(shelf.found(threshold=0.5)) == [fitting, unfitting]
    parts = {part.source: part.rank for part in shelf.found().hits[0].found_by}
    assert parts == {"pictures": 2, "prompts": 1}


def test_an_image_that_is_not_ready_is_found_by_its_words_and_by_nothing_else(
    shelf: Shelf,
) -> None:
    """Its bytes may have a vector that somebody else's upload brought; that is not told."""
    waiting = shelf.put(0, caption="zebra")
    with shelf.database.transaction() as session:
        session.execute(update(Image).where(Image.id == waiting).values(status=ImageStatus.PENDING))
    found = shelf.found(words="zebra")
    assert [(p.source, p.similarity) for p in found.hits[0].found_by] == [("keywords", None)]
    assert ids_of(found) == [waiting]
    assert ids_of(shelf.found()) == []


def test_what_others_keep_to_themselves_is_in_no_ranking(shelf: Shelf) -> None:
    secret = shelf.put(0, prompt=0, owner_id=OTHER, caption="zebra")
    mine = shelf.put(40, caption="zebra")
    public = shelf.put(50, owner_id=OTHER, is_public=True)
    found = shelf.found(words="zebra")
    assert set(ids_of(found)) == {mine, public}
    assert found.hits[0].found_by[0].rank == 1
    assert ids_of(shelf.found(words="zebra", viewer_id=None)) == [public]
    assert secret in ids_of(shelf.found(words="zebra", viewer_id=OTHER))


def test_words_alone_without_a_word_are_refused_and_beside_others_left_out(shelf: Shelf) -> None:
    image_id = shelf.put(0)
    found = shelf.found(words="+++")
    assert (ids_of(found), list(found.left_out)) == ([image_id], ["prompts", "keywords"])
    with shelf.database.reading() as session, pytest.raises(InvalidInput):
        rank_fused(session, [], WordQuery("+++", 1.0), seen_by(ME), k=3)


def test_what_holds_an_unwanted_word_is_not_found_by_its_words(shelf: Shelf) -> None:
    zebra = shelf.put(10, caption="a zebra")
    both = shelf.put(20, caption="a zebra and a small horse")

    def by_words(*without: str) -> list[int]:
        asked = WordQuery("zebra", 1.0, without)
        with shelf.database.reading() as session:
            return ids_of(rank_fused(session, [], asked, seen_by(ME), k=5))

    assert by_words() == [zebra, both]
    assert by_words("horse") == [zebra]
    assert by_words("small horse", "+++") == [zebra]
    # Of a phrase every word has to be there.
    assert by_words("large horse") == [zebra, both]


def test_pictures_of_one_file_are_counted_by_who_may_see_them(shelf: Shelf) -> None:
    first = shelf.put(10, is_public=True)
    other = shelf.put(20, is_public=True)
    copies = [shelf.put(30, owner_id=owner) for owner in (ME, OTHER, OTHER)]
    with shelf.database.transaction() as session:
        content_id = session.get_one(Image, first).content_id
        session.execute(update(Image).where(Image.id.in_(copies)).values(content_id=content_id))
    hits = [Hit(first, 0.9, 0.9), Hit(other, 0.8, 0.9)]
    for viewer_id, counts in ((ME, [1, 0]), (OTHER, [2, 0]), (None, [0, 0])):
        with shelf.database.reading() as session:
            chooser = Chooser(session, seen_by(viewer_id), None)
            shown = chooser.with_counts(hits, Choice(Collapse.SAME_FILE))
            assert [hit.collapsed_count for hit in shown] == counts
