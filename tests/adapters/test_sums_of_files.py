"""The CRC-32 of two pieces follows from those of each."""

from __future__ import annotations

import random
import zlib

import pytest

from mirada.adapters.vector_index.faiss.files import crc32_of_both


@pytest.mark.parametrize("sizes", [(0, 0), (0, 9), (45, 0), (45, 1), (45, 4_097), (7, 100_003)])
def test_the_sum_of_two_pieces_is_that_of_both_in_one(sizes: tuple[int, int]) -> None:
    some = random.Random(sum(sizes))
    first, second = some.randbytes(sizes[0]), some.randbytes(sizes[1])
    both = crc32_of_both(zlib.crc32(first), zlib.crc32(second), len(second))
    assert both == zlib.crc32(first + second)
