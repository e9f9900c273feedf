"""The time that pages may take in a library of 10,000: of a processor, and until one sees something.

`python -m benchmarks.pages --rows 100000` tells the same of more.
"""

from __future__ import annotations

import statistics

import pytest
from playwright.sync_api import Browser

from benchmarks.pages import fill_with, paints, times
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder, with_encoder
from tests.conftest import MakeRuntime

pytestmark = [pytest.mark.browser, pytest.mark.drill]
ROWS = 10_000
MOST_SERVER_MS = 80
"""Of a processor, in the middle: time on the clock says more of the machine than of the page."""
MOST_PAINT_MS = 1_000
"""The quickest of some visits: the others waited for a processor."""


@pytest.fixture
def full(make_runtime: MakeRuntime) -> Runtime:
    runtime = with_encoder(make_runtime(), CountingEncoder())
    fill_with(runtime, ROWS)
    return runtime


def test_pages_keep_their_times(full: Runtime, browser: Browser) -> None:
    busy = {
        name: statistics.median(cpu for _, cpu in taken) for name, taken in times(full, 9).items()
    }
    assert {name: ms for name, ms in busy.items() if ms > MOST_SERVER_MS} == {}
    seen = {name: min(taken) for name, taken in paints(browser, full, 5).items()}
    assert all(ms > 0 for ms in seen.values()), seen
    assert {name: ms for name, ms in seen.items() if ms > MOST_PAINT_MS} == {}
