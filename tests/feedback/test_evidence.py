"""Verdicts in the database as evidence: whose count, how many, and that taking one back leaves nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from sqlalchemy import update

from mirada.db.models import Content, Embedding, Image, User
from mirada.db.session import Database
from mirada.db.spaces import pin_space
from mirada.embedding.embed import store_embedding
from mirada.feedback import evidence, verdicts
from mirada.feedback.adaptive import NO_OPINION
from mirada.feedback.evidence import CACHED_VECTORS, Adapted, Vocabulary, adapted, evidence_for
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind, Vector, l2_normalise
from mirada.kernel.images import ImageStatus
from mirada.kernel.vector_cache import VectorCache
from mirada.pictures import images, trash

SPACE = EmbeddingSpace(SpaceKind.IMAGE, "test", "v1", "none", 8)
ME, OTHER, THIRD = 1, 2, 3
LABELS = ("cat", "dog", "bus")
CLIP_SCORES = np.array([0.5, 0.3, 0.2])
ALPHA = 0.4


def direction(axis: int, blur: float = 0.0) -> Vector:
    """Return a unit vector along an axis, turned a little towards the next one."""
    vector = np.zeros(8)
    vector[axis], vector[(axis + 1) % 8] = 1.0, blur
    return l2_normalise(vector)


class Taught:
    """Pictures with vectors, verdicts on them, and what a new picture scores."""

    def __init__(self, database: Database, cache: VectorCache[tuple[int, int, int]] | None) -> None:
        self.database = database
        self._numbers = itertools.count(1)
        concepts = np.stack([direction(axis) for axis in range(8)])
        with database.transaction() as session:
            self.space_id = pin_space(session, SPACE).id
            for user_id in (ME, OTHER, THIRD):
                session.add(User(id=user_id, username=f"user{user_id}"))
        self.vocabulary = Vocabulary(self.space_id, 8, concepts, cache)

    def picture(self, vector: Vector | None, owner_id: int = ME) -> Image:
        """Return a private image, embedded when it is given a vector."""
        number = next(self._numbers)
        with self.database.transaction() as session:
            content = Content(
                sha256=f"{number:064x}",
                storage_key=f"aa/{number}.png",
                byte_size=1,
                format="PNG",
                width=1,
                height=1,
                is_animated=False,
            )
            image = Image(
                owner_id=owner_id, content=content, is_public=False, status=ImageStatus.PENDING
            )
            session.add(image)
        if vector is not None:
            self.embed(image, vector)
        return image

    def embed(self, image: Image, vector: Vector, *, replace: bool = False) -> None:
        with self.database.transaction() as session:
            store_embedding(
                session, image.content_id, self.space_id, SPACE, vector, replace=replace
            )

    def judge(self, image: Image, theme: str, accepted: bool) -> int:
        """Give the image's owner's verdict; return its id."""
        with self.database.transaction() as session:
            return verdicts.give_feedback(
                session,
                user_id=image.owner_id,
                sha256=image.content.sha256,
                theme=theme,
                accepted=accepted,
            ).feedback.id

    def teach(self, vector: Vector, theme: str, accepted: bool = True, *, user_id: int = ME) -> int:
        return self.judge(self.picture(vector, user_id), theme, accepted)

    def take_back(self, feedback_id: int) -> None:
        with self.database.transaction() as session:
            verdicts.delete_feedback(session, feedback_id, ME, is_administrator=True)

    def scores(self, vector: Vector, theme: str | None = None) -> Adapted:
        names = [*LABELS] if theme is None else [*LABELS, theme]
        with self.database.reading() as session:
            learned = evidence_for(session, names, self.vocabulary)
        return adapted(LABELS, CLIP_SCORES, vector, learned, ALPHA, theme=theme)

    def affinity(self, vector: Vector, theme: str) -> float:
        found = self.scores(vector, theme).theme_affinity
        assert found is not None
        return found


@pytest.fixture(params=["cached", "afresh"])
def taught(database: Database, request: pytest.FixtureRequest) -> Taught:
    return Taught(database, VectorCache(CACHED_VECTORS) if request.param == "cached" else None)


def test_without_verdicts_nothing_changes(taught: Taught) -> None:
    taught.picture(direction(0))
    taught.teach(direction(0), "something else")
    found = taught.scores(direction(0), "pack 7")
    assert found.scores.tolist() == CLIP_SCORES.tolist()
    assert (found.theme_affinity, found.theme_verdicts) == (NO_OPINION, 0)
    assert taught.scores(direction(0)).theme_affinity is None


def test_a_verdict_moves_the_score_of_similar_pictures(taught: Taught) -> None:
    first = taught.teach(direction(0), "dog")
    near, far = taught.scores(direction(0, 0.3)).scores, taught.scores(direction(4)).scores
    assert near[1] > far[1] >= CLIP_SCORES[1]
    assert near.sum() == pytest.approx(1, abs=1e-9)

    taught.take_back(first)
    taught.teach(direction(0), "DOG", accepted=False)

    assert taught.scores(direction(0, 0.3)).scores[1] < CLIP_SCORES[1]


def test_a_theme_that_is_no_label_has_an_affinity_and_moves_no_label(taught: Taught) -> None:
    taught.teach(direction(0), "pack 7")
    taught.teach(direction(4), "Pack  7", accepted=False)
    found = taught.scores(direction(0, 0.2), "PACK 7")
    assert found.scores.tolist() == CLIP_SCORES.tolist()
    assert found.theme_verdicts == 2
    assert found.theme_affinity is not None
    assert found.theme_affinity > NO_OPINION > taught.affinity(direction(4, 0.2), "pack 7")


def test_the_affinity_to_a_label_is_what_people_say_alone(taught: Taught) -> None:
    assert taught.affinity(direction(0), "Cat") == NO_OPINION
    taught.teach(direction(0), "bus")
    taught.teach(direction(0), "pack 7")
    found = taught.scores(direction(0), "Bus")
    assert found.theme_affinity == taught.affinity(direction(0), "pack 7")
    assert found.scores[2] > CLIP_SCORES[2]


def test_verdicts_on_private_pictures_of_others_count(taught: Taught) -> None:
    taught.teach(direction(0), "pack 7", user_id=OTHER)
    alone = taught.affinity(direction(0), "pack 7")
    taught.teach(direction(0), "pack 7", user_id=THIRD)
    assert taught.affinity(direction(0), "pack 7") > alone > NO_OPINION


def test_taking_a_verdict_back_restores_the_scores_exactly(taught: Taught) -> None:
    for axis in range(3):
        taught.teach(direction(axis, 0.3), LABELS[axis], user_id=OTHER)
    before = taught.scores(direction(1, 0.1), "dog")

    undone = [taught.teach(direction(1), "dog", accepted) for accepted in (True, False, True)]
    moved = taught.scores(direction(1, 0.1), "dog")
    for feedback_id in undone:
        taught.take_back(feedback_id)
    after = taught.scores(direction(1, 0.1), "dog")

    assert moved.scores.tolist() != before.scores.tolist()
    assert after.scores.tolist() == before.scores.tolist()
    assert after.theme_affinity == before.theme_affinity


def test_a_verdict_changed_and_changed_back_leaves_no_trace(taught: Taught) -> None:
    image = taught.picture(direction(0))
    taught.teach(direction(0, 0.5), "dog", user_id=OTHER)
    taught.judge(image, "dog", True)
    before = taught.scores(direction(0)).scores.tolist()
    taught.judge(image, "dog", False)
    assert taught.scores(direction(0)).scores.tolist() != before
    taught.judge(image, "dog", True)
    assert taught.scores(direction(0)).scores.tolist() == before


def test_deleting_the_picture_undoes_what_was_learned_from_it(taught: Taught) -> None:
    image = taught.picture(direction(0))
    taught.judge(image, "cat", False)
    assert taught.scores(direction(0)).scores.tolist() != CLIP_SCORES.tolist()
    with taught.database.transaction() as session:
        images.delete_image(session, image.id, ME, expected_version=None)
    assert taught.scores(direction(0)).scores.tolist() == CLIP_SCORES.tolist()


def test_a_picture_in_the_trash_teaches_nothing_until_it_is_back(taught: Taught) -> None:
    image = taught.picture(direction(0))
    taught.judge(image, "cat", False)
    before = taught.scores(direction(0)).scores.tolist()
    with taught.database.transaction() as session:
        trash.put_away(session, image.id, trash.Asker(ME))
    assert taught.scores(direction(0)).scores.tolist() == CLIP_SCORES.tolist()
    with taught.database.transaction() as session:
        trash.take_back(session, image.id, trash.Asker(ME))
    assert taught.scores(direction(0)).scores.tolist() == before != CLIP_SCORES.tolist()


def test_a_picture_counts_once_it_has_a_vector_and_by_the_vector_it_has(taught: Taught) -> None:
    image = taught.picture(None)
    taught.judge(image, "pack 7", True)
    assert taught.affinity(direction(0), "pack 7") == NO_OPINION
    taught.embed(image, direction(0))
    at_zero = taught.affinity(direction(0), "pack 7")
    assert at_zero > NO_OPINION
    taught.embed(image, direction(4), replace=True)
    assert taught.affinity(direction(4), "pack 7") == pytest.approx(at_zero)
    assert taught.affinity(direction(0), "pack 7") < at_zero


def test_a_damaged_vector_is_left_out_and_stops_nothing(taught: Taught) -> None:
    damaged = taught.picture(direction(0))
    taught.judge(damaged, "pack 7", True)
    taught.teach(direction(2), "pack 7", user_id=OTHER)
    with taught.database.transaction() as session:
        session.execute(
            update(Embedding)
            .where(Embedding.content_id == damaged.content_id)
            .values(vector=b"nonsense")
        )
    assert taught.scores(direction(2), "pack 7").theme_verdicts == 1


def test_one_person_s_many_verdicts_crowd_nobody_else_s_out(
    taught: Taught, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "MOST_PER_THEME", 6)
    quiet = [taught.teach(direction(0, 0.1 * n), "pack 7", user_id=OTHER) for n in range(2)]
    loud = [taught.teach(direction(4, 0.1 * n), "pack 7", False) for n in range(20)]
    with taught.database.reading() as session:
        learned = evidence_for(session, ["pack 7"], taught.vocabulary)
    # Both quiet ones, and the loud one's newest in the places that are left.
    assert list(learned.verdict_ids["pack 7"]) == [*quiet, *loud[-4:]]


@examples(st.lists(st.integers(1, 5_000), max_size=50))
def test_what_is_read_in_all_has_a_limit_that_is_used(counts: list[int]) -> None:
    each = evidence._per_theme(counts)
    taken = sum(min(count, each) for count in counts)
    one_more = sum(min(count, each + 1) for count in counts)
    assert taken <= evidence.MOST_IN_ALL
    assert each <= evidence.MOST_PER_THEME
    assert each == evidence.MOST_PER_THEME or one_more > evidence.MOST_IN_ALL
