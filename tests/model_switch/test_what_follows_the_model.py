"""What is kept beside the pictures' vectors follows the model that is in use."""

from __future__ import annotations

from sqlalchemy import func, select

from mirada.classify.labelling import LABEL_IMAGES, queue_lacking
from mirada.classify.labels_of_image import labels_of_image
from mirada.db.classifier_models import ImageLabels, LabelVector
from mirada.db.evaluation_models import EvaluationJudgement, EvaluationQuery, EvaluationSet
from mirada.db.filters import is_judged_in_use
from mirada.db.models import Content, Job, Space
from mirada.groups.near_duplicates import DEFAULT_THRESHOLD
from mirada.groups.runs import ClusterKind, newest_run, request
from mirada.kernel.audience import Audience
from mirada.model_switch import changing
from mirada.model_switch.changing import Asked
from mirada.search.judging import JUDGE_PICTURES, queue_judging
from testing.two_models import House


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


def test_scores_of_the_model_of_before_count_again_after_going_back(house: House) -> None:
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
    with house.worker.reading() as session:
        jobs = select(func.count()).select_from(Job).where(Job.kind == JUDGE_PICTURES)
        assert session.execute(jobs).scalar_one() == 1


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
