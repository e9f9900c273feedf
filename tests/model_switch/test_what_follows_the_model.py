"""What is kept beside the pictures' vectors follows the model that is in use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import delete, func, select

from mirada.adapters.vector_index.sampled import MEASURED_AS
from mirada.classify.classifier import Classifier
from mirada.classify.criteria import Question
from mirada.classify.labelling import LABEL_IMAGES, queue_lacking
from mirada.classify.labels_of_image import labels_of_image
from mirada.db import spaces
from mirada.db.classifier_models import ImageLabels, LabelVector
from mirada.db.evaluation_models import EvaluationJudgement, EvaluationQuery, EvaluationSet
from mirada.db.filters import is_judged_in_use
from mirada.db.models import Content, Image, Job, Space
from mirada.db.recall_models import RecallSample
from mirada.feedback.verdicts import give_feedback
from mirada.groups.as_seen import list_clusters
from mirada.groups.near_duplicates import DEFAULT_THRESHOLD
from mirada.groups.runs import ClusterKind, newest_run, request
from mirada.kernel import model_view
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.embeddings import SpaceKind
from mirada.kernel.similarity import SearchWay
from mirada.memory.taste import TasteCache, taste
from mirada.model_switch import changing, flipping
from mirada.model_switch.changing import Asked
from mirada.runtime import Runtime
from mirada.search.judging import JUDGE_PICTURES, queue_judging
from mirada.search.queries import Query, QueryKind
from mirada.search.safety import safety_of
from mirada.search.verdict import judges_of
from testing.two_models import DIMENSIONS, House


def space_id_of(house: House, encoder: str) -> int:
    with house.worker.reading() as session:
        query = select(Space.id).where(Space.encoder == encoder, Space.kind == "image")
        return session.execute(query).scalar_one()


def test_groups_of_both_models_are_kept_beside_each_other(house: House) -> None:
    for seed in range(4):
        house.upload(seed)
    house.worker.space()
    for kind in ClusterKind:
        with house.worker.transaction() as session:
            request(session, kind)
    house.work()
    house.build()
    first, second = space_id_of(house, "first"), space_id_of(house, "second")
    with house.worker.reading() as session:
        for kind in ClusterKind:
            runs = [newest_run(session, kind, space_id) for space_id in (first, second)]
            assert None not in runs
        near = newest_run(session, ClusterKind.NEAR_DUPLICATES, second)
        assert near is not None
        assert near.parameters["threshold"] == session.get_one(Space, second).near_duplicate_cosine
    changing.cancel(house.web, Asked())
    house.work()
    with house.worker.reading() as session:
        for kind in ClusterKind:
            assert newest_run(session, kind, first) is not None
            assert newest_run(session, kind, second) is None


def test_near_duplicates_begin_where_as_many_altered_copies_do(house: House) -> None:
    for seed in range(4):
        house.upload(seed)
    house.build()
    with house.worker.reading() as session:
        least = session.get_one(Space, space_id_of(house, "second")).near_duplicate_cosine
    # No altered copy is near its original for these models, so only what is equal counts.
    assert least is not None
    assert least != DEFAULT_THRESHOLD
    house.flip()
    with house.worker.transaction() as session:
        job = request(session, ClusterKind.NEAR_DUPLICATES)
        assert job.arguments["threshold"] == least


def test_vectors_of_labels_and_of_what_is_unsafe_are_there_before_the_flip(house: House) -> None:
    house.upload(1)
    house.build()
    with house.worker.reading() as session:
        count = select(func.count()).select_from(LabelVector)
        of_second = count.where(LabelVector.space_id == space_id_of(house, "second"))
        assert session.execute(of_second).scalar_one() > 0


def test_labels_of_images_are_judged_by_the_other_model_before_the_flip(house: House) -> None:
    """And those of the model of before are kept for going back, and go with its vectors."""
    image_id = house.upload(1)
    assert queue_lacking(house.worker) is not None
    house.work(LABEL_IMAGES)

    def spaces_judged() -> set[int]:
        with house.worker.reading() as session:
            query = select(ImageLabels.space_id).where(ImageLabels.image_id == image_id)
            return set(session.execute(query).scalars())

    first = spaces_judged()
    house.build()
    second = space_id_of(house, "second")
    assert spaces_judged() == first | {second}
    house.flip()
    assert queue_lacking(house.worker) is None
    assert labels_of_image(house.web, image_id, Audience(house.owner_id)) is not None
    changing.discard(house.web, Asked())
    house.work()
    assert spaces_judged() == {second}


def test_scores_count_only_with_the_model_that_made_them_and_are_made_anew(house: House) -> None:
    house.upload(1)

    def judge() -> None:
        assert queue_judging(house.worker, Audience(house.owner_id)) is not None
        house.work(JUDGE_PICTURES)

    def count_judged() -> int:
        with house.web.reading() as session:
            return session.execute(
                select(func.count()).select_from(Content).where(is_judged_in_use())
            ).scalar_one()

    judge()
    assert count_judged() == 1
    house.build()
    house.flip()
    assert count_judged() == 0
    judge()
    assert count_judged() == 1
    house.go_back()
    # A picture has one score: that of the model which was asked last.
    assert count_judged() == 0
    judge()
    assert count_judged() == 1
    with house.worker.reading() as session:
        jobs = select(func.count()).select_from(Job).where(Job.kind == JUDGE_PICTURES)
        assert session.execute(jobs).scalar_one() == 1


def test_a_request_of_before_the_flip_does_not_call_the_scores_after_it_complete(
    house: House,
) -> None:
    house.upload(1)
    audience = Audience(house.owner_id)
    queue_judging(house.worker, audience)
    house.work(JUDGE_PICTURES)
    house.build()
    house.follow()
    before = house.web.process_view
    house.flip()
    with model_view.working_in(before):
        assert queue_judging(house.web, audience) is None
    with house.web.as_request():
        assert queue_judging(house.web, audience) is not None


@dataclass(frozen=True)
class Served:
    """What one process answers with: numbers of spaces, dimensions of vectors, a threshold."""

    space_ids: set[int | None]
    dimensions: set[int]
    threshold: float | None
    calibrated: bool


def served(house: House, query: Query) -> Served:
    """Ask the web process for everything that rests on a space."""
    web = house.web
    with web.as_request():
        encoder = web.encoder
        classifier = Classifier.prepare(web, encoder, Question(theme="holiday"), within_s=None)
        (evidence,) = classifier.learned.evidence.values()
        safety = safety_of(web, encoder)
        concepts = classifier.vocabulary.concepts
        with web.reading() as session:
            runs = [
                list_clusters(session, kind, Scope(Audience(house.owner_id))).run
                for kind in ClusterKind
            ]
        index = web.index(web.space()[0])
        index.search(encoder.encode_texts(["a cat"]), 1, Scope(Audience(house.owner_id)))
        index.step()  # type: ignore[attr-defined]
        with web.transaction() as session:
            (sampled,) = session.execute(select(RecallSample.space_id).distinct()).scalars()
            session.execute(delete(RecallSample))
        with web.transaction() as session:
            near = request(session, ClusterKind.NEAR_DUPLICATES)
            threshold = (near.arguments or {}).get("threshold")
            grouped = near.space_id
            # It is only looked at.
            session.rollback()
        own = replace(query, vector=encoder.encode_texts(["a cat"])[0], space_id=web.space()[0])
        measured = judges_of(web).of(own).scale
    assert None not in runs
    return Served(
        {
            classifier.space_id,
            classifier.vocabulary.space_id,
            safety.space_id,
            sampled,
            grouped,
            *(run.space_id for run in runs if run is not None),
        },
        {
            classifier.criteria.label_matrix.shape[1],
            concepts.shape[1],
            evidence.vectors.shape[1] // 2,
            safety.unsafe.shape[1],
        },
        threshold,
        measured is not None,
    )


def test_all_that_rests_on_a_space_is_of_the_served_one_after_the_flip_and_after_the_way_back(
    make_runtime: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flipping, "HEARD_AFTER_S", 0.0)
    # So few pictures are compared exactly, which nobody measures.
    monkeypatch.setitem(MEASURED_AS, SearchWay.EXACT, SearchWay.HNSW)
    house = House(make_runtime, {"recall_sample": 1.0})
    images = [house.upload(seed, prompt=f"picture {seed}") for seed in range(4)]
    with house.worker.transaction() as session:
        content = session.get_one(Content, session.get_one(Image, images[0]).content_id)
        give_feedback(
            session,
            user_id=house.owner_id,
            sha256=content.sha256,
            theme="holiday",
            accepted=True,
        )
    first, space = house.worker.space()
    with house.worker.transaction() as session:
        for kind in ClusterKind:
            request(session, kind)
    house.work()
    query = Query(house.worker.encoder.encode_texts(["a cat"])[0], first, space, QueryKind.TEXT)
    before = served(house, query)
    assert before.space_ids == {first}
    assert before.dimensions == {DIMENSIONS["first"]}
    house.build()
    second = space_id_of(house, "second")
    assert served(house, query) == before
    house.flip()
    after = served(house, query)
    assert after.space_ids == {second}
    assert after.dimensions == {DIMENSIONS["second"]}
    with house.worker.reading() as session:
        assert after.threshold == session.get_one(Space, second).near_duplicate_cosine
    house.go_back()
    assert served(house, query) == before
    for follower in house.followers:
        follower.stop()


def test_rates_of_styles_are_reckoned_anew_where_only_the_pictures_change_their_space(
    house: House,
) -> None:
    """As with TEXT_MODEL, whose prompts stay in their space."""
    for seed in range(3):
        house.upload(seed)
    with house.web.as_request():
        taste(house.web, house.owner_id)
    cache = house.web.remembered("tastes", TasteCache)
    before = cache.compared
    assert before is not None
    house.build()
    house.flip()
    with house.web.reading() as session:
        assert spaces.pinned_space_id(session, SpaceKind.PROMPT) is None
    with house.web.as_request():
        taste(house.web, house.owner_id)
    assert cache.compared is not None
    assert cache.compared.key != before.key
    assert cache.compared.version != before.version


def test_the_comparison_tells_what_judged_queries_say(house: House) -> None:
    images = [house.upload(seed) for seed in range(12)]
    with house.worker.transaction() as session:
        kept = EvaluationSet(owner_id=house.owner_id, name="mine")
        session.add(kept)
        session.flush()
        query = EvaluationQuery(set_id=kept.id, text="a cat", language="en")
        session.add(query)
        session.flush()
        for image_id in images[:3]:
            session.add(EvaluationJudgement(query_id=query.id, image_id=image_id, is_good=True))
    house.build()
    compared = house.switch().comparison
    assert compared is not None
    judged = compared["evaluation"]
    assert judged["queries"] == 1
    low, change, high = judged["ndcg_at_10_change"]
    assert low <= change <= high
    told = judged["ndcg_at_10_then"] - judged["ndcg_at_10_now"]
    assert abs(told - change) < 1e-3
