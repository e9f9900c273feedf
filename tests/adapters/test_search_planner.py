"""The planner: cheapest first, never dearer than a scan, exact up to a promise, and told by trust."""

from __future__ import annotations

import math

import pytest

from mirada.adapters.vector_index.faiss.planning import Costs, Planner, Step, WaySetting
from mirada.kernel.similarity import QueryForm, SearchWay
from mirada.kernel.ways import MEASURED, Trust

PICTURE, TEXT = QueryForm.PICTURE, QueryForm.TEXT
EXACT, HNSW, QUANTISED, IVF = (
    SearchWay.EXACT,
    SearchWay.HNSW,
    SearchWay.QUANTISED,
    SearchWay.IVF,
)
COSTS = Costs(
    scanned_row=0.08,
    picked_row=0.1,
    quantised_row=0.005,
    filtered_row=0.01,
    candidate=0.5,
    beam_step=5.0,
)
WAYS = (
    WaySetting(PICTURE, HNSW, 64, probes=100),
    WaySetting(PICTURE, QUANTISED, 200, 600, spread=0.03, tolerance=0.01, probes=100),
    WaySetting(TEXT, HNSW, None, reason="its probes show a recall of 0.97 at least, below 0.98"),
    WaySetting(TEXT, QUANTISED, 400, 900, spread=0.03, tolerance=0.01, probes=100),
)


def _planner(total: int) -> Planner:
    return Planner(total, WAYS, COSTS)


def _first(total: int, permitted: int, k: int, form: QueryForm = PICTURE) -> Step:
    return _planner(total).steps(permitted, k, form, MEASURED)[0]


@pytest.mark.parametrize("permitted", [1, 20_000])
def test_up_to_the_promise_nothing_but_a_scan_is_tried(permitted: int):
    [only] = _planner(10**6).steps(permitted, 10, PICTURE, MEASURED)
    assert only.way is EXACT
    assert _first(100_000, 20_001, 10).way is not EXACT


def test_who_sees_everything_walks_with_the_measured_beam():
    first = _first(100_000, 100_000, 10)
    assert (first.way, first.width, first.measured) == (HNSW, 64, 64)


def test_a_small_share_or_many_results_widen_the_beam_until_a_scan_of_bits_is_cheaper():
    # The tenth of a scattered 70 % is expected at rank 14.3, and within two deviations at 19.2.
    first = _first(100_000, 70_000, 10)
    assert (first.way, first.width) == (HNSW, math.ceil(64 * 1.923))
    assert _first(100_000, 21_000, 10).way is QUANTISED
    assert _first(100_000, 100_000, 100).way is QUANTISED
    assert _first(100_000, 100_000, 100).width == 600


def test_depth_lies_between_the_two_that_were_measured_and_grows_in_proportion_beyond():
    def depths(k: int) -> int:
        steps = _planner(10**6).steps(10**6, k, TEXT, MEASURED)
        return min(step.width for step in steps if step.way is QUANTISED)

    assert [depths(k) for k in (1, 10, 55, 100, 500)] == [400, 400, 650, 900, 4_500]


def test_a_form_whose_probes_missed_loses_that_way_alone():
    assert {step.way for step in _planner(10**6).steps(10**6, 10, TEXT, MEASURED)} == {
        QUANTISED,
        EXACT,
    }
    assert HNSW in {step.way for step in _planner(10**6).steps(10**6, 10, PICTURE, MEASURED)}


@pytest.mark.parametrize("total", [30_000, 100_000, 10**6])
@pytest.mark.parametrize("share", [0.03, 0.3, 0.71, 1.0])
@pytest.mark.parametrize("k", [1, 10, 100, 5_000])
def test_steps_grow_dearer_and_end_with_the_scan(total: int, share: float, k: int):
    steps = _planner(total).steps(int(total * share), k, PICTURE, MEASURED)
    costs = [step.cost_us for step in steps]
    assert costs == sorted(costs)
    assert [step.way for step in steps].count(EXACT) == 1
    assert steps[-1].way is EXACT
    assert all(0 < step.width <= 4 * total for step in steps[:-1])


def test_what_serving_taught_widens_a_way_or_leaves_it_out():
    def first(trust: object) -> Step:
        return _planner(100_000).steps(100_000, 10, PICTURE, trust)[0]  # type: ignore[arg-type]

    wider = MEASURED.widened(PICTURE, HNSW, 1.5)
    assert (first(wider).way, first(wider).width, first(wider).measured) == (HNSW, 96, 96)
    without = MEASURED.without(PICTURE, HNSW, "recall 0.93 of 400 live queries")
    assert first(without).way is QUANTISED
    nothing = without.without(PICTURE, QUANTISED, "recall 0.91")
    assert first(nothing).way is EXACT
    text = _planner(100_000).steps(100_000, 10, TEXT, nothing)[0]
    assert text.way is QUANTISED
    [status] = [one.status(without) for one in WAYS if (one.form, one.way) == (PICTURE, HNSW)]
    assert (status.is_in_use, status.reason) == (False, "recall 0.93 of 400 live queries")


def test_a_walk_is_trusted_only_as_deep_as_its_beam_was_measured():
    walk = Step(HNSW, 1.0, width=128, measured=64)
    assert walk.reaches(20)
    assert not walk.reaches(21)


def test_the_lists_near_a_query_are_looked_at_up_to_the_rank_they_were_measured_for():
    one = WaySetting(PICTURE, IVF, 200, 800, lists=0.3, deep_lists=0.5, probes=100)
    planner = Planner(10**6, (one,), COSTS)

    def step(permitted: int, k: int, trust: Trust = MEASURED) -> Step | None:
        steps = planner.steps(permitted, k, PICTURE, trust)
        return steps[0] if steps[0].way is IVF else None

    everything = step(10**6, 10)
    assert everything is not None
    assert (everything.width, everything.lists, everything.rank) == (200, 0.3, 10)
    assert everything.cost_us == pytest.approx(0.3 * 10**6 * 0.005 + 200 * 0.5)
    # The tenth of a scattered 70 % is expected within rank 20, for which a hundred's lists are taken.
    most = step(700_000, 10)
    assert most is not None
    assert (most.width, most.lists, most.rank) == (267, 0.5, 20)
    assert (most.reaches(20), most.reaches(21)) == (True, False)
    assert step(10**6, 100) is not None
    assert step(10**6, 101) is None
    assert step(300_000, 50) is None
    wider = step(10**6, 10, MEASURED.widened(PICTURE, IVF, 2.0))
    assert wider is not None
    assert (wider.width, wider.lists) == (400, 0.6)


def test_lists_that_were_measured_for_ten_alone_are_asked_for_ten_alone():
    one = WaySetting(PICTURE, IVF, 200, None, lists=0.3, probes=100)
    planner = Planner(10**6, (one,), COSTS)
    assert planner.steps(10**6, 10, PICTURE, MEASURED)[0].way is IVF
    assert planner.steps(10**6, 11, PICTURE, MEASURED)[0].way is EXACT
    assert planner.steps(900_000, 10, PICTURE, MEASURED)[0].way is EXACT


def test_crossings_say_from_how_many_permitted_rows_each_way_comes_first():
    crossings = _planner(100_000).crossings(MEASURED)
    assert list(crossings["picture"]) == ["exact", "quantised", "hnsw"]
    assert list(crossings["text"]) == ["exact", "quantised"]
    assert crossings["text"] == {"exact": 0, "quantised": 21_000}


@pytest.mark.parametrize(
    "bad", [{"scanned_row": 0}, {"candidate": float("nan")}, {"beam_step": -1}]
)
def test_costs_that_are_none_are_refused(bad: dict[str, float]):
    with pytest.raises(ValueError, match="no positive number"):
        Costs.of_dict(bad)
