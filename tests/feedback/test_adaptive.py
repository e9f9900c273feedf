from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirada.feedback.adaptive import (
    ABSTENTION,
    HALF_COSINE,
    LARGEST_PUSH,
    PRIOR_VOICES,
    REJECTION_WEIGHT,
    SHARPNESS,
    Evidence,
    adapted_scores,
    affinities,
    affinity,
    fitted_threshold,
    theme_shift,
)
from mirada.feedback.tilt import ShownLabels, shown_shares, tilted_scores
from mirada.kernel.embeddings import Matrix, Vector, l2_normalise
from mirada.kernel.errors import InvalidInput
from mirada.kernel.zero_shot import softmax

DIMENSION = 6
TOLERANCE = 1e-12
"""Sums of floats in another order; every law holds within it."""


@dataclass(frozen=True)
class Verdict:
    vector: tuple[float, ...]
    accepted: bool
    person: int


def evidence(verdicts: list[Verdict]) -> Evidence:
    return Evidence(
        np.array([v.vector for v in verdicts], dtype=np.float32).reshape(-1, DIMENSION),
        np.array([v.accepted for v in verdicts], dtype=bool),
        np.array([v.person for v in verdicts], dtype=np.int64),
    )


vectors = (
    st.lists(st.floats(-1, 1), min_size=DIMENSION, max_size=DIMENSION)
    .filter(lambda values: sum(value * value for value in values) > 0.01)
    .map(lambda values: tuple(float(value) for value in l2_normalise(values)))
)
verdicts = st.builds(Verdict, vectors, st.booleans(), st.integers(1, 4))
verdict_lists = st.lists(verdicts, max_size=12)
shares = st.floats(0, 1)


def row(vector: tuple[float, ...]) -> Vector:
    return np.array(vector, dtype=np.float32)


@given(vectors, shares)
def test_no_evidence_changes_nothing(picture: tuple[float, ...], prior: float):
    assert affinity(row(picture), evidence([]), prior) == prior
    shift = theme_shift(row(picture), evidence([]), 0.4, prior)
    assert shift.after == pytest.approx(prior, abs=TOLERANCE)
    assert shift.contributions.shape == (0,)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=9), vectors, shares)
def test_without_evidence_every_score_is_the_encoders_digit_for_digit(
    logits: list[float], picture: tuple[float, ...], alpha: float
):
    clip = softmax(logits)
    assert adapted_scores(clip, row(picture), {}, alpha).tolist() == clip.tolist()
    assert adapted_scores(clip, row(picture), {0: evidence([])}, alpha).tolist() == clip.tolist()


@given(verdict_lists, vectors, st.integers(1, 5), st.floats(0.01, 0.99))
def test_accepting_a_picture_raises_it_and_rejecting_lowers_it_whatever_was_said_before(
    before: list[Verdict], vector: tuple[float, ...], person: int, prior: float
):
    old = affinity(row(vector), evidence(before), prior)
    accepted = affinity(row(vector), evidence([*before, Verdict(vector, True, person)]), prior)
    rejected = affinity(row(vector), evidence([*before, Verdict(vector, False, person)]), prior)
    assert rejected <= old + 1e-7
    assert accepted >= old - 1e-7
    # Somebody who has said nothing yet is always heard.
    theirs = [Verdict(vector, sign, 99) for sign in (True, False)]
    assert affinity(row(vector), evidence([*before, theirs[0]]), prior) > old
    assert affinity(row(vector), evidence([*before, theirs[1]]), prior) < old


@given(st.lists(verdicts, min_size=1, max_size=12), verdicts, vectors, shares)
def test_a_further_verdict_of_the_same_voice_never_takes_back_what_was_said(
    before: list[Verdict], further: Verdict, picture: tuple[float, ...], prior: float
):
    same = Verdict(further.vector, before[0].accepted, before[0].person)
    old = affinity(row(picture), evidence(before), prior)
    new = affinity(row(picture), evidence([*before, same]), prior)
    if same.accepted:
        assert new >= old - TOLERANCE
    else:
        assert new <= old + TOLERANCE


@given(vectors, vectors, shares, st.integers(1, 5))
def test_the_first_verdict_moves_every_picture_its_way(
    picture: tuple[float, ...], judged_one: tuple[float, ...], prior: float, person: int
):
    accepted = affinity(row(picture), evidence([Verdict(judged_one, True, person)]), prior)
    rejected = affinity(row(picture), evidence([Verdict(judged_one, False, person)]), prior)
    assert rejected <= prior + TOLERANCE
    assert accepted >= prior - TOLERANCE


@given(verdict_lists, vectors, shares)
def test_affinities_stay_in_zero_to_one(
    said: list[Verdict], picture: tuple[float, ...], prior: float
):
    assert 0 <= affinity(row(picture), evidence(said), prior) <= 1


@given(st.lists(verdicts, min_size=1, max_size=12), vectors, st.randoms(use_true_random=False))
def test_the_order_of_verdicts_does_not_matter(said: list[Verdict], picture, random):
    shuffled = list(said)
    random.shuffle(shuffled)
    straight, mixed = (affinity(row(picture), evidence(list_)) for list_ in (said, shuffled))
    assert mixed == pytest.approx(straight, abs=TOLERANCE)


@given(verdict_lists, st.lists(verdicts, max_size=12), vectors, shares)
def test_one_person_moves_an_affinity_by_no_more_than_the_documented_push(
    others: list[Verdict], said: list[Verdict], picture: tuple[float, ...], prior: float
):
    theirs = [Verdict(verdict.vector, verdict.accepted, 99) for verdict in said]
    without = affinity(row(picture), evidence(others), prior)
    with_them = affinity(row(picture), evidence([*others, *theirs]), prior)
    assert abs(with_them - without) <= LARGEST_PUSH + TOLERANCE


@given(verdict_lists, verdicts, st.integers(2, 100), vectors)
def test_a_hundred_verdicts_of_one_person_weigh_no_more_than_one_voice(
    others: list[Verdict], one: Verdict, times: int, picture: tuple[float, ...]
):
    loud = [Verdict(one.vector, one.accepted, 99)] * times
    many = affinity(row(picture), evidence([*others, *loud]))
    mass, support, opposition = _counted(others, picture)
    weight = 1.0 if one.accepted else REJECTION_WEIGHT
    mass += ABSTENTION * weight
    least = (mass * 0.5 + support) / (mass + support + opposition)
    full = (mass * 0.5 + support + (weight if one.accepted else 0)) / (
        mass + support + opposition + weight
    )
    assert min(least, full) - 1e-6 <= many <= max(least, full) + 1e-6


def _counted(said: list[Verdict], picture: tuple[float, ...]) -> tuple[float, float, float]:
    """M, S+ and S-, computed from the formula verdict by verdict."""
    half = np.exp(-SHARPNESS * (1 - HALF_COSINE))
    mass, spoken = PRIOR_VOICES, {True: 0.0, False: 0.0}
    for person, sign in {(v.person, v.accepted) for v in said}:
        nearness = sum(
            np.exp(-SHARPNESS * (1 - min(1.0, float(row(v.vector).astype(float) @ row(picture)))))
            for v in said
            if (v.person, v.accepted) == (person, sign)
        )
        weight = 1.0 if sign else REJECTION_WEIGHT
        spoken[sign] += weight * min(1.0, nearness * (1 + half) / (nearness + half))
        mass += ABSTENTION * weight
    return mass, spoken[True], spoken[False]


@given(st.lists(verdicts, min_size=1, max_size=12), vectors, shares)
def test_the_affinity_is_the_formula(said: list[Verdict], picture: tuple[float, ...], prior: float):
    mass, support, opposition = _counted(said, picture)
    expected = (mass * prior + support) / (mass + support + opposition)
    assert affinity(row(picture), evidence(said), prior) == pytest.approx(expected, abs=1e-6)


@given(
    st.lists(st.floats(-9, 9), min_size=2, max_size=9),
    st.lists(verdicts, min_size=1, max_size=12),
    vectors,
    shares,
)
def test_adapted_scores_sum_to_one_and_follow_the_verdicts(
    logits: list[float], said: list[Verdict], picture: tuple[float, ...], alpha: float
):
    clip = softmax(logits)
    scores = adapted_scores(clip, row(picture), {1: evidence(said)}, alpha)
    assert scores.sum() == pytest.approx(1, abs=1e-9)
    assert ((scores >= 0) & (scores <= 1 + TOLERANCE)).all()
    moved = (1 - alpha) * clip[1] + alpha * affinity(row(picture), evidence(said), clip[1])
    # On the edge itself the two ways of computing it may round to different sides.
    if moved != pytest.approx(clip[1] - TOLERANCE, abs=1e-14):
        assert (scores[1] >= clip[1] - TOLERANCE) == (moved >= clip[1] - TOLERANCE)
    # The others keep their proportions.
    assert scores[0] * clip[-1] == pytest.approx(scores[-1] * clip[0], abs=1e-9) or len(clip) == 2


def test_rejecting_the_only_label_leaves_it_the_only_one():
    vector = tuple(np.eye(DIMENSION)[0])
    scores = adapted_scores([1.0], row(vector), {0: evidence([Verdict(vector, False, 1)])}, 1.0)
    assert scores.tolist() == [1.0]


@given(st.lists(verdicts, min_size=1, max_size=12), vectors, shares)
def test_a_contribution_is_what_the_score_would_lose_without_that_verdict(
    said: list[Verdict], picture: tuple[float, ...], alpha: float
):
    shift = theme_shift(row(picture), evidence(said), alpha)
    for position, contribution in enumerate(shift.contributions):
        rest = said[:position] + said[position + 1 :]
        without = theme_shift(row(picture), evidence(rest), alpha).after
        assert contribution == pytest.approx(shift.after - without, abs=1e-9)
    assert shift.before == 0.5
    assert abs(shift.after - shift.before) <= alpha / 2 + TOLERANCE


def test_undoing_a_verdict_brings_the_old_score_back():
    said = [Verdict(tuple(np.eye(DIMENSION)[i]), i % 2 == 0, i) for i in range(3)]
    further = Verdict(tuple(np.eye(DIMENSION)[4]), True, 7)
    picture = row(tuple(np.eye(DIMENSION)[4]))
    before = affinity(picture, evidence(said))
    assert affinity(picture, evidence([*said, further])) > before
    assert affinity(picture, evidence(said)) == before


def test_feedback_reaches_similar_pictures_and_hardly_unrelated_ones():
    accepted = np.eye(DIMENSION)[0]
    for cosine, least, most in ((1.0, 0.64, 0.66), (0.5, 0.59, 0.61), (0.0, 0.5, 0.52)):
        picture = cosine * accepted + np.sqrt(1 - cosine**2) * np.eye(DIMENSION)[1]
        found = affinity(row(tuple(picture)), evidence([Verdict(tuple(accepted), True, 1)]))
        assert least <= found <= most, cosine


def test_a_crowd_that_speaks_of_other_pictures_hardly_moves_this_one():
    accepted, picture = (row(tuple(np.eye(DIMENSION)[place])) for place in (0, 1))
    crowd = Evidence(
        np.repeat(accepted[None], 1_000, axis=0), np.ones(1_000, dtype=bool), np.arange(1_000)
    )
    assert affinity(picture, crowd, 0.02) < 0.25
    assert affinity(accepted, crowd, 0.02) > 0.75


def test_many_pictures_at_once_get_what_each_gets_alone():
    rng = np.random.default_rng(5)
    pictures: Matrix = l2_normalise(rng.normal(size=(20, DIMENSION)))
    said = Evidence(
        l2_normalise(rng.normal(size=(50, DIMENSION))),
        rng.random(50) < 0.5,
        rng.integers(1, 9, 50),
    )
    priors = rng.random(20)
    alone = [affinity(p, said, float(q)) for p, q in zip(pictures, priors, strict=True)]
    assert affinities(pictures, said, priors) == pytest.approx(alone, abs=TOLERANCE)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_a_weight_outside_zero_to_one_is_refused(alpha: float):
    picture, said = row(tuple(np.eye(DIMENSION)[0])), evidence([])
    with pytest.raises(InvalidInput):
        adapted_scores([1.0], picture, {0: said}, alpha)
    with pytest.raises(InvalidInput):
        theme_shift(picture, said, alpha)


def test_evidence_that_does_not_fit_together_is_refused():
    rows = np.eye(2, DIMENSION, dtype=np.float32)
    with pytest.raises(InvalidInput):
        Evidence(rows, np.array([True]), np.array([1, 2]))
    with pytest.raises(InvalidInput):
        Evidence(rows[0], np.array([True] * DIMENSION), np.arange(DIMENSION))
    said = Evidence(rows, np.array([True, False]), np.array([1, 2]))
    with pytest.raises(InvalidInput):
        affinities(np.eye(2, 5, dtype=np.float32), said)
    with pytest.raises(InvalidInput):
        affinities(rows, said, [0.5, 1.5])


def judged(accepted: int, rejected: int, people: int, spread: float = 0.5) -> Evidence:
    rng = np.random.default_rng(11)
    signs = np.array([True] * accepted + [False] * rejected)
    centres = np.where(signs[:, None], np.eye(DIMENSION)[0], np.eye(DIMENSION)[1])
    rows = l2_normalise(centres + spread * rng.normal(size=centres.shape))
    return Evidence(rows, signs, np.arange(len(signs)) % people)


def test_a_fitted_threshold_separates_what_people_accept():
    said = judged(30, 30, 5)
    threshold = fitted_threshold(said)
    assert threshold is not None
    unseen = judged(200, 200, 5)
    right = (affinities(unseen.vectors, said) >= threshold) == unseen.accepted
    assert right.mean() > 0.75


@pytest.mark.parametrize(("accepted", "rejected", "people"), [(9, 30, 5), (30, 9, 5), (30, 30, 2)])
def test_too_few_verdicts_or_people_give_no_threshold(accepted: int, rejected: int, people: int):
    assert fitted_threshold(judged(accepted, rejected, people)) is None


def test_verdicts_that_contradict_each_other_give_no_threshold():
    rows = np.repeat(np.eye(1, DIMENSION, dtype=np.float32), 40, axis=0)
    said = Evidence(rows, np.arange(40) % 2 == 0, np.arange(40) % 4)
    assert fitted_threshold(said) is None


def test_a_picture_does_not_vouch_for_itself_through_another_persons_verdict():
    # Every picture judged by three people; no two pictures alike: nothing can be generalised.
    rows = np.repeat(np.concatenate([np.eye(DIMENSION), -np.eye(DIMENSION)]), 3, axis=0)
    signs = np.repeat(np.arange(2 * DIMENSION) % 2 == 0, 3)
    said = Evidence(rows.astype(np.float32), signs, np.arange(len(rows)) % 3)
    shuffled = Evidence(said.vectors, said.accepted, np.arange(len(rows)))
    for found in (fitted_threshold(said), fitted_threshold(shuffled)):
        if found is not None:
            # Whatever is left is the faint pull of orthogonal pictures, near no opinion.
            assert abs(found - 0.5) < 0.1


# A theme that is no label moves the labels that its judged pictures show.

LABELS = 3


def shown(said: list[Verdict], probabilities: list[list[float]]) -> ShownLabels:
    of_pictures = np.array(probabilities, dtype=np.float64).reshape(-1, LABELS)
    shares = shown_shares(of_pictures) if said else of_pictures
    return ShownLabels(evidence(said), shares)


clips = st.lists(st.floats(-6, 6), min_size=LABELS, max_size=LABELS).map(softmax)
judged_pictures = st.lists(st.tuples(verdicts, clips), max_size=8)


def tilted(
    clip: np.ndarray, picture: tuple[float, ...], said: list, alpha: float = 0.4
) -> np.ndarray:
    theme = shown([one for one, _ in said], [list(seen) for _, seen in said])
    return tilted_scores(clip, row(picture), theme, alpha)


@given(clips, vectors, shares)
def test_a_theme_nobody_judged_leaves_every_score_digit_for_digit(
    clip: np.ndarray, picture: tuple[float, ...], alpha: float
):
    assert tilted(clip, picture, [], alpha).tolist() == clip.tolist()
    said = [(Verdict(picture, True, 1), clip)]
    assert tilted(clip, picture, said, 0.0).tolist() == clip.tolist()


@given(clips, vectors, judged_pictures, shares)
def test_scores_moved_by_a_theme_still_sum_to_one(
    clip: np.ndarray, picture: tuple[float, ...], said: list, alpha: float
):
    moved = tilted(clip, picture, said, alpha)
    assert moved.sum() == pytest.approx(1, abs=1e-9)
    assert ((moved >= 0) & (moved <= 1 + TOLERANCE)).all()
    assert moved == pytest.approx(tilted(clip, picture, said[::-1], alpha), abs=1e-9)


@given(clips, vectors, st.floats(0.01, 1), st.integers(1, 20))
def test_accepting_a_picture_raises_its_likeliest_label_and_rejecting_lowers_it(
    clip: np.ndarray, picture: tuple[float, ...], alpha: float, people: int
):
    best = int(clip.argmax())
    for accepted in (True, False):
        said = [(Verdict(picture, accepted, person), clip) for person in range(people)]
        moved = tilted(clip, picture, said, alpha)
        if accepted:
            assert moved[best] >= clip[best] - TOLERANCE
        else:
            assert moved[best] <= clip[best] + TOLERANCE
        if 0.5 < clip[best] < 0.99:
            assert moved[best] != clip[best]


@given(clips, vectors, st.lists(st.tuples(vectors, st.booleans(), clips), max_size=30), shares)
def test_one_loud_person_moves_no_score_further_than_one_person_may(
    clip: np.ndarray, picture: tuple[float, ...], said: list, alpha: float
):
    loud = [(Verdict(vector, accepted, 7), seen) for vector, accepted, seen in said]
    moved = tilted(clip, picture, loud, alpha)
    assert np.abs(moved - clip).max() <= alpha * 0.4 + TOLERANCE


def test_one_loud_person_does_not_flip_what_the_encoder_is_sure_of_and_many_do():
    clip, picture = np.array([0.6, 0.3, 0.1]), (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    other = np.array([0.0, 1.0, 0.0])
    loud = [(Verdict(picture, True, 7), other)] * 500
    assert tilted(clip, picture, loud).argmax() == 0
    many = [(Verdict(picture, True, person), other) for person in range(30)]
    assert tilted(clip, picture, many, 0.8).argmax() == 1


def test_a_theme_says_most_of_pictures_like_the_judged_ones():
    clip = np.array([0.4, 0.3, 0.3])
    judged_one = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    said = [(Verdict(judged_one, True, 1), np.array([0.1, 0.8, 0.1]))]
    near, far = (0.9, 0.4358899, 0.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    gains = [tilted(clip, place, said)[1] - clip[1] for place in (judged_one, near, far)]
    assert gains[0] > gains[1] > 5 * gains[2] > 0


def test_pictures_show_their_likeliest_label_and_hardly_any_other():
    found = shown_shares(np.array([[0.8, 0.19, 0.01], [0.5, 0.5, 0.0]]))
    assert found[0, 0] > 0.99
    assert found[1].tolist() == [0.5, 0.5, 0]
