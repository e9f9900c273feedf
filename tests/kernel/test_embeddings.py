"""Unit vectors and their BLOBs: laws that hold for every vector."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mirada.kernel.embeddings import (
    BLOB_DTYPE,
    EmbeddingSpace,
    SpaceKind,
    from_blob,
    l2_normalise,
    to_blob,
)
from mirada.kernel.errors import InvalidInput

FINITE = st.floats(-1e6, 1e6, allow_nan=False, width=32)
VECTORS = arrays(np.float32, st.integers(1, 64), elements=FINITE).filter(
    lambda v: float(np.linalg.norm(v)) > 1e-3
)


@given(VECTORS)
def test_a_normalised_vector_has_unit_norm_and_keeps_its_direction(vector: np.ndarray) -> None:
    unit = l2_normalise(vector)

    assert unit.dtype == np.float32
    assert np.linalg.norm(unit) == pytest.approx(1.0, abs=1e-5)
    assert float(unit @ vector) == pytest.approx(float(np.linalg.norm(vector)), rel=1e-4)


@given(VECTORS)
def test_normalising_twice_changes_nothing_that_float32_can_see(vector: np.ndarray) -> None:
    once = l2_normalise(vector)

    np.testing.assert_allclose(l2_normalise(once), once, atol=1e-6)


@given(VECTORS)
def test_a_vector_survives_the_round_trip_through_a_blob_bit_by_bit(vector: np.ndarray) -> None:
    unit = l2_normalise(vector)

    blob, crc32 = to_blob(unit)

    assert len(blob) == 4 * len(unit)
    assert 0 <= crc32 < 2**32
    np.testing.assert_array_equal(from_blob(blob, crc32, len(unit)), unit)


@given(VECTORS, st.data())
def test_a_flipped_bit_in_a_blob_is_noticed(vector: np.ndarray, data: st.DataObject) -> None:
    blob, crc32 = to_blob(l2_normalise(vector))
    position = data.draw(st.integers(0, 8 * len(blob) - 1))
    damaged = bytearray(blob)
    damaged[position // 8] ^= 1 << (position % 8)

    with pytest.raises(InvalidInput, match="checksum"):
        from_blob(bytes(damaged), crc32, len(blob) // 4)


def test_a_blob_of_another_length_is_refused() -> None:
    blob, crc32 = to_blob(l2_normalise([3.0, 4.0]))

    with pytest.raises(InvalidInput, match="8 bytes instead of 12"):
        from_blob(blob, crc32, 3)


@pytest.mark.parametrize("values", [[0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_what_has_no_direction_is_not_normalised(values: list[float]) -> None:
    with pytest.raises(InvalidInput):
        l2_normalise(values)


@pytest.mark.parametrize("values", [[2.0, 0.0], [float("nan"), 1.0]])
def test_only_unit_vectors_are_stored(values: list[float]) -> None:
    with pytest.raises(InvalidInput):
        to_blob(np.array(values, dtype=np.float32))


def test_blobs_are_little_endian_on_every_machine() -> None:
    blob, _ = to_blob(np.array([1.0, 0.0], dtype=np.float32))

    assert blob.hex() == "0000803f00000000"


def test_spaces_that_differ_in_anything_do_not_mix() -> None:
    space = EmbeddingSpace(SpaceKind.IMAGE, "ViT-B-32", "laion2b", "openclip-224-v1", 512)
    other = EmbeddingSpace(SpaceKind.IMAGE, "ViT-B-32", "openai", "openclip-224-v1", 512)

    assert space == replace(space)
    assert space != other
    assert "openai" in other.name
    assert space.name != other.name


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 3e38, 0.0, 0.5])
def test_a_blob_that_is_no_unit_vector_is_refused_whatever_its_checksum(number: float):
    blob = np.array([0.6, number, 0.0], BLOB_DTYPE).tobytes()
    with pytest.raises(InvalidInput, match="no unit vector"):
        from_blob(blob, zlib.crc32(blob), 3)


@pytest.mark.parametrize("dimension", [1, 3, 512, 1_024])
def test_whatever_may_be_stored_is_read_again(dimension: int):
    unit = l2_normalise(np.random.default_rng(dimension).standard_normal(dimension))
    for length in (0.9991, 1.0, 1.0009):
        blob, crc32 = to_blob(unit * np.float32(length))
        assert from_blob(blob, crc32, dimension).size == dimension


@pytest.mark.parametrize("length", [1e155, 1e300, 1.7e308])
def test_numbers_whose_squares_are_beyond_all_have_a_direction_too(length: float):
    long = np.array([[3.0, -4.0], [0.5, 0.0]]) * (length / 4.0)
    expected = np.array([[0.6, -0.8], [1.0, 0.0]], np.float32)
    np.testing.assert_array_equal(l2_normalise(long), expected)
    np.testing.assert_array_equal(l2_normalise(long[0]), expected[0])
