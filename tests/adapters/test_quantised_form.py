"""The quantised form: its rotation, its lists, and how many of them have to be looked at."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from mirada.adapters.vector_index.faiss.measuring_lists import SHARES, Limits, measured_lists
from mirada.adapters.vector_index.faiss.planning import Costs
from mirada.adapters.vector_index.faiss.quantised import QuantisedForm
from mirada.adapters.vector_index.faiss.rotation import Rotation
from mirada.adapters.vector_index.faiss.scanned import Scan
from mirada.kernel.embeddings import Matrix
from mirada.kernel.similarity import QueryForm
from testing.vector_library import clustered_vectors, random_vectors

DEPTHS = [10, 20, 40]


@pytest.mark.parametrize("dimension", [1, 7, 64, 384, 512, 768])
def test_a_rotation_keeps_lengths_and_angles(dimension: int) -> None:
    vectors = random_vectors(20, dimension)
    rotation = Rotation.random(dimension)
    turned = rotation.apply(vectors)
    assert turned.dtype == np.float32
    np.testing.assert_allclose(turned @ turned.T, vectors @ vectors.T, atol=1e-5)
    np.testing.assert_allclose(rotation.apply(vectors[:1]), turned[:1], atol=1e-6)


def test_a_rotation_spreads_one_long_number_over_all() -> None:
    one = np.zeros((1, 512), np.float32)
    one[0, 77] = 1.0
    assert np.abs(Rotation.random(512).apply(one)).max() < 0.4


def _form(vectors: Matrix, lists: int) -> QuantisedForm:
    form = QuantisedForm.trained(vectors, lists)
    form.index.add(form.rotation.apply(vectors))
    return form


def test_every_row_lies_in_one_list_and_all_lists_hold_all_rows() -> None:
    vectors, _ = clustered_vectors(3_000, 64, clusters=30, spread=0.3, seed=1)
    form = _form(vectors, 12)
    list_of = form.list_of_rows()
    assert set(list_of) <= set(range(12))
    assert len(set(list_of)) > 6
    query = vectors[5]
    ranks = form.ranks_of_lists(query)
    assert sorted(ranks) == list(range(12))
    for lists in (1, 3, 12):
        found = form.candidates(query, 3_000, lists=lists)
        expected = np.flatnonzero(ranks[list_of] < lists)
        assert sorted(found.rows) == sorted(expected)
        assert found.is_everything == (lists == 12)
    assert form.candidates(query, 10).rows[0] == 5


def test_a_form_comes_back_from_its_file_and_no_other_does(tmp_path: Path) -> None:
    vectors, _ = clustered_vectors(500, 64, clusters=5, spread=0.3, seed=2)
    form = _form(vectors, 4)
    path = tmp_path / "quantised.faiss"
    faiss.write_index(form.index, str(path))
    back = QuantisedForm.read(path, form.rotation)
    for query in vectors[:5]:
        assert list(back.candidates(query, 20).rows) == list(form.candidates(query, 20).rows)
    with pytest.raises(TypeError):
        QuantisedForm.read(path, Rotation.random(32))


def _scan(places: list[int], list_ranks: list[int]) -> Scan:
    """A scan of forty candidates whose true ten nearest lie at those places, in lists of those ranks."""
    exact = np.full(40, 0.1, np.float32)
    exact[places] = np.linspace(0.9, 0.5, 10, dtype=np.float32)
    ranks = np.full(40, 9)
    ranks[places] = list_ranks
    estimates = np.linspace(1.0, 0.2, 40, dtype=np.float32)
    return Scan(exact, estimates, np.sort(exact)[::-1][:10], False, ranks)


def test_as_many_lists_and_candidates_are_taken_as_show_the_target_and_one_step_more() -> None:
    limits = Limits(target=0.98, rows=10_000, costs=Costs())
    near = [_scan(list(range(10)), [0] * 10)] * 60
    chosen = measured_lists(QueryForm.PICTURE, near, 10, DEPTHS, limits)
    assert (chosen.setting, chosen.lists, chosen.reason) == (10, SHARES[1], None)
    assert (chosen.deep_setting, chosen.recall) == (None, 1.0)
    # One in ten lies in the fourth list, and at the twenty-second place of all.
    wide = [_scan([*range(9), 21], [0] * 9 + [3])] * 60
    chosen = measured_lists(QueryForm.PICTURE, wide, 10, DEPTHS, limits)
    assert (chosen.setting, chosen.lists) == (10, SHARES[SHARES.index(0.4) + 1])
    # One in ten is no candidate at all.
    missed = _scan(list(range(10)), [0] * 10)
    missed = Scan(
        missed.exact[1:], missed.estimates[1:], missed.truth, False, missed.list_ranks[1:]
    )
    chosen = measured_lists(QueryForm.PICTURE, [missed] * 60, 10, DEPTHS, limits)
    assert chosen.setting is None
    assert chosen.recall == 0.9
    assert "below 0.98" in str(chosen.reason)
