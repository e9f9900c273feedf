"""What is measured of a library, and what searches say by it of things that are there and that are not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from benchmarks.demo_set import ROOT
from benchmarks.verdict import empty_pictures, nonsense
from benchmarks.verdict_set import Shelf, all_stickers, is_of, shelf_in
from mirada.adapters.encoders.batching import MAX_WAITING, BatchingEncoder
from mirada.db import spaces
from mirada.db.calibration_models import measured_of
from mirada.kernel.audience import Audience, Scope
from mirada.kernel.calibration import Scale
from mirada.kernel.embeddings import Matrix
from mirada.kernel.keywords import words_of_query
from mirada.kernel.similarity import QueryForm, Verdict
from mirada.runtime import Runtime
from mirada.search import calibrating
from mirada.search.asked import Asked
from mirada.search.calibrating import (
    CALIBRATE,
    calibrate,
    probe_things,
    questions_of,
    queue_due_calibrations,
    strangers,
)
from mirada.search.queries import QueryKind
from mirada.search.related import RelatedRequest, related_images
from mirada.search.related_relevance import related_scale
from mirada.search.request import DEFAULT_WEIGHTS, Part, SearchRequest
from mirada.search.run import run
from mirada.search.verdict import VERSION, judges_of

STICKERS = all_stickers()[::2]
THINGS = json.loads((ROOT / "benchmarks" / "verdict_things.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Half of the demo with captions, measured."""
    found = shelf_in(tmp_path_factory.mktemp("shelf"), STICKERS, "en")
    yield found
    found.runtime.close()


def test_measuring_leaves_room_in_the_encoder_for_those_who_search(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_texts, calls = BatchingEncoder.encode_texts, list[int]()

    def counted(encoder: BatchingEncoder, texts: Sequence[str]) -> Matrix:
        calls.append(len(texts))
        return encode_texts(encoder, texts)

    monkeypatch.setattr(BatchingEncoder, "encode_texts", counted)
    with shelf.runtime.reading() as session:
        space_ids = [row.id for row in spaces.searched_spaces(session)]
    assert sum(calibrate(shelf.runtime, space_id) for space_id in space_ids) >= 2
    assert sum(calls) > len(probe_things())
    # Two spaces may be measured at once, and the library is embedded meanwhile.
    assert max(calls) <= MAX_WAITING / 4


def asked_all(shelf: Shelf, text: str) -> bool:
    return shelf.says_nothing(text, DEFAULT_WEIGHTS)


def test_what_is_there_is_relevant_and_what_is_not_is_nothing(shelf: Shelf) -> None:
    present = [asked_all(shelf, each["names"]["en"]) for each in STICKERS[::5]]
    absent = [asked_all(shelf, names[2]) for names in THINGS["absent"][::10]]
    assert sum(present) <= 2
    assert sum(absent) >= 25
    assert all(asked_all(shelf, text) for text in nonsense(20, np.random.default_rng(1)))


def test_a_thing_that_is_taken_out_turns_from_relevant_to_nothing(shelf: Shelf) -> None:
    turned = []
    for place in range(0, len(STICKERS), 7):
        name = STICKERS[place]["names"]["pt"]
        if asked_all(shelf, name):
            continue
        same = [at for at, other in enumerate(STICKERS) if is_of(STICKERS[place], other)]
        turned.append(shelf.says_nothing(name, DEFAULT_WEIGHTS, same))
    assert len(turned) >= 18
    assert np.mean(turned) >= 0.7


def test_pictures_of_nothing_find_nothing_and_stored_ones_find_themselves(shelf: Shelf) -> None:
    empty = empty_pictures(30, np.random.default_rng(2))
    assert sum(shelf.says_nothing_like(each) for each in empty) >= 29


def test_a_mixed_query_is_judged_steadily(shelf: Shelf) -> None:
    """A little more or less weight of one part moves no relevance by much."""
    text, image_id = STICKERS[50]["names"]["en"], shelf.ids[50]

    def relevances(weight: float) -> dict[int, float]:
        parts = (
            Part(QueryKind.TEXT, text, weight),
            Part(QueryKind.IMAGE_ID, image_id),
            Part(QueryKind.TEXT, "bottle", -0.5),
        )
        asked = Asked(Scope(Audience(shelf.owner_id)))
        found = run(shelf.runtime, SearchRequest(parts, asked, 20))
        assert found.ranking.relevant_count == sum(hit.is_relevant for hit in found.ranking.hits)
        return {hit.image_id: hit.relevance for hit in found.ranking.hits}

    for weight in (0.2, 1.0, 5.0):
        some, nearly = relevances(weight), relevances(weight * 1.01)
        shared = some.keys() & nearly.keys()
        assert len(shared) >= 18
        assert max(abs(some[each] - nearly[each]) for each in shared) < 0.02


def test_a_vector_is_judged_as_what_it_was_made_from(shelf: Shelf) -> None:
    runtime = shelf.runtime
    texts = [STICKERS[10]["names"]["en"], "qxv zzkw"]
    asked = Asked(Scope(Audience(shelf.owner_id)))
    for text, row in zip(texts, runtime.encoder.encode_texts(texts), strict=True):
        by_vector, by_text = (
            run(runtime, SearchRequest((Part(kind, value),), asked, 5)).ranking
            for kind, value in ((QueryKind.VECTOR, row.tolist()), (QueryKind.TEXT, text))
        )
        assert (by_vector.relevant_count == 0) == (by_text.relevant_count == 0)


def test_what_was_measured_is_read_once_and_not_for_every_search(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_all(shelf, "a cat")
    reads: list[int] = []
    monkeypatch.setattr("mirada.search.verdict.measured_of", lambda *_: reads.append(1) or {})
    judges_of(shelf.runtime).forget()
    before = asked_all(shelf, "a cat")
    assert reads == []
    assert asked_all(shelf, "a cat") is before


def test_few_vectors_are_not_measured_and_more_are_measured_anew(
    monkeypatch: pytest.MonkeyPatch, shelf: Shelf
) -> None:
    runtime = shelf.runtime
    queued: list[int] = []

    def noted(session: object, kind: str, *, space_id: int) -> object:
        assert kind == CALIBRATE
        queued.append(space_id)
        return type("Job", (), {"id": 1, "kind": kind})()

    monkeypatch.setattr("mirada.search.calibrating.ledger.enqueue", noted)
    queue_due_calibrations(runtime)
    assert queued == []
    monkeypatch.setattr(calibrating, "GROWTH", 1.0)
    queue_due_calibrations(runtime)
    assert len(queued) == 2
    monkeypatch.setattr(calibrating, "LEAST_VECTORS", len(STICKERS) + 1)
    queue_due_calibrations(runtime)
    assert len(queued) == 2
    assert not calibrate(runtime, queued[0])


def test_an_empty_installation_measures_nothing(runtime: Runtime) -> None:
    queue_due_calibrations(runtime)
    assert not calibrate(runtime, 1)
    with runtime.reading() as session:
        assert measured_of(session, VERSION) == {}


def test_measured_again_replaces_what_was_measured(shelf: Shelf) -> None:
    with shelf.runtime.reading() as session:
        before = measured_of(session, VERSION)
    image_space = next(space for space, form in before if form is QueryForm.TEXT)
    assert calibrate(shelf.runtime, image_space)
    with shelf.runtime.reading() as session:
        after = measured_of(session, VERSION)
    assert after.keys() == before.keys()
    again, first = after[image_space, QueryForm.TEXT], before[image_space, QueryForm.TEXT]
    assert again.calibration == first.calibration


def test_questions_are_short_and_have_words_of_one_text() -> None:
    texts = ["This is my sticker: red balloon.", "This is my sticker: old kite.", "Esto: 猫"] * 7
    asked = questions_of([f"{text} {number}" for number, text in enumerate(texts)])
    assert asked
    for question, words in asked.items():
        assert words == frozenset(words_of_query(question))
        assert len(words) <= calibrating.LONGEST_QUESTION
        assert "sticker" not in words
    assert questions_of([]) == {}


def test_no_probe_is_a_thing_of_the_examination() -> None:
    examined = {names[0] for names in THINGS["absent"]} | {each["names"]["en"] for each in STICKERS}
    assert not examined & {names[0] for names in probe_things()}
    assert len({names[0] for names in probe_things()}) == len(probe_things()) == 256
    assert len({picture.tobytes() for picture in strangers()}) == len(strangers())


def test_related_images_say_what_is_relevant(shelf: Shelf) -> None:
    asked = Asked(Scope(Audience(shelf.owner_id)))
    for image_id in shelf.ids[::30]:
        found = related_images(shelf.runtime, RelatedRequest(image_id, asked, 10))
        told = [result.hit for result in found.results]
        assert [hit.relevance for hit in told] == sorted((h.relevance for h in told), reverse=True)
        assert found.judged.relevant_count == sum(hit.is_relevant for hit in told)
        assert (found.judged.verdict is Verdict.NOTHING) == (found.judged.relevant_count == 0)


@pytest.mark.parametrize("rest", [0.0, 0.3])
def test_the_limit_of_a_blend_with_prompts_goes_from_one_to_the_other(rest: float) -> None:
    picture, prompt = Scale(0.3, 0.1, 0.1), Scale(0.5, 0.2, 0.2)
    limits = [related_scale([picture, prompt], blend, rest).limit for blend in (0.0, 0.01, 0.99, 1)]
    assert limits[0] == pytest.approx(0.3)
    assert limits[3] == pytest.approx(0.5)
    assert limits[1] == pytest.approx(limits[0], abs=0.01)
    assert limits[2] == pytest.approx(limits[3], abs=0.01)
    # Half and half, a picture at its limit with an ordinary prompt is not far from it.
    assert related_scale([picture, prompt], 0.5, rest).limit <= 0.3 / 2 + (rest + 0.5) / 4
    assert related_scale([picture], 0.0, rest) == picture
