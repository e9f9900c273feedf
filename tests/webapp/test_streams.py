"""A stream of events: it beats while nothing happens, and ends with its reader."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from mirada.runtime import Runtime
from webapp.http import streams


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass only while the stream sleeps."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    time = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(streams, "time", time)
    return now


def sent(runtime: Runtime, next_event: Callable[[], str | None], gone: Callable[[], bool]) -> str:
    return "|".join(streams._sent(runtime, next_event, gone))


def test_silence_is_broken_by_a_beat_every_ten_seconds(
    runtime: Runtime, clock: list[float]
) -> None:
    assert sent(runtime, lambda: "", lambda: False).count(streams.BEAT) == 6
    assert clock[0] == pytest.approx(60, abs=1)


def test_an_event_puts_the_beat_off(runtime: Runtime, clock: list[float]) -> None:
    events = iter(["a", *[""] * 19, "b", *[""] * 20, None])
    assert sent(runtime, lambda: next(events), lambda: False) == f"a|b|{streams.BEAT}"


def test_a_reader_that_hung_up_is_noticed_within_two_seconds(
    runtime: Runtime, clock: list[float]
) -> None:
    assert sent(runtime, lambda: "", lambda: clock[0] >= 3.2) == ""
    assert clock[0] < 3.2 + 2
