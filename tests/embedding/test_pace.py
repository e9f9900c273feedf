"""A rush is a full batch, or many small ones within a second."""

from __future__ import annotations

from typing import Any

from mirada.embedding import pace
from mirada.embedding.pace import MANY, WITHIN_S, Pace
from mirada.jobs.batches import BATCH


def test_a_full_batch_is_a_rush() -> None:
    assert Pace().is_rush(BATCH)
    assert not Pace().is_rush(BATCH - 1)


def test_many_small_batches_are_a_rush_until_a_second_without(monkeypatch: Any) -> None:
    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    seen = Pace()
    assert [seen.is_rush(4) for _ in range(MANY // 4)] == [False] * (MANY // 4 - 1) + [True]
    now[0] += WITHIN_S / 2
    assert seen.is_rush(1)
    now[0] += WITHIN_S / 2 + 0.01
    assert not seen.is_rush(1)
