"""A rush is many jobs within a second, however small their batches."""

from __future__ import annotations

from typing import Any

from mirada.jobs import pace
from mirada.jobs.pace import MANY, WITHIN_S, Pace


def test_many_small_batches_are_a_rush_until_a_second_without(monkeypatch: Any) -> None:
    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    seen = Pace()
    assert not seen.is_rush()
    for _ in range(MANY // 4 - 1):
        seen.add(4)
    assert not seen.is_rush()
    seen.add(4)
    assert seen.is_rush()
    now[0] += WITHIN_S
    assert seen.is_rush()
    now[0] += 0.01
    assert not seen.is_rush()
