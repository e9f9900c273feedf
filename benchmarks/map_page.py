"""Measures the page Map in Chromium: the first drawing, script a frame while it moves, memory.

`python -m benchmarks.map_page --rows 100000` fills a database of its own. Rows, vectors and places are made
up; 48 real thumbnails are shared among them. It needs `apt-get install chromium`.
"""

from __future__ import annotations

import argparse
import bisect
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

import webapp
from benchmarks.map_library import fill
from mirada.config import Settings
from mirada.runtime import Runtime
from testing.app_server import served
from testing.encoders import CountingEncoder, with_encoder
from testing.servers.process import find_binary

SCRIPT = frozenset(
    ("FireAnimationFrame", "EventDispatch", "FunctionCall", "TimerFire", "RunMicrotasks")
)
"""Events of a trace that are script; those inside another one are counted once."""
FIRST = """() => {
  const drawn = performance.getEntriesByName('map-drawn')[0]?.startTime;
  return drawn ?? null;
}"""
HEAP = "() => performance.memory.usedJSHeapSize"


@dataclass
class Measured:
    """Figures of one window.

    Attributes:
        first_ms: from the start of the navigation to the first frame with every point.
        frames_ms: script in each frame while the map was moved, by the clock.
        busy_ms: the same, by the time of the processor: without what others had of it meanwhile.
        longest: what ran in the frame that took most of the processor, with its milliseconds.
        heap_mb: of scripts before the moving and after it, with garbage collected.
    """

    first_ms: float
    frames_ms: list[float]
    busy_ms: list[float]
    longest: list[tuple[str, float]]
    heap_mb: tuple[float, float]


def main(rows: int) -> None:
    """Fill a database, and write what a desk and a phone show."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.from_env(data_dir=folder, faiss_index_dir=f"{folder}/indexes")
        runtime = with_encoder(Runtime(settings), CountingEncoder())
        runtime.migrate()
        begun = time.perf_counter()
        fill(runtime, rows)
        runtime.index(runtime.space()[0]).refresh()
        sys.stdout.write(f"{rows:,} pictures, filled in {time.perf_counter() - begun:.0f} s\n")
        app = webapp.create_app(runtime)
        logging.disable(logging.WARNING)
        _server_times(app)
        with served(app) as address, _chromium() as browser:
            for name, width, height, moving in (
                ("desk", 1440, 900, by_wheel_and_drag),
                ("phone", 390, 844, by_pinch),
            ):
                told = measure(browser, address, width, height, moving)
                _write(name, told)
        runtime.close()


def _write(name: str, told: Measured) -> None:
    sys.stdout.write(
        f"{name:6} first drawing {told.first_ms:6.0f} ms   {len(told.frames_ms)} frames   "
        f"heap {told.heap_mb[0]:.1f} to {told.heap_mb[1]:.1f} MB   load {os.getloadavg()[0]:.1f}\n"
    )
    for by, taken in (("clock", told.frames_ms), ("processor", told.busy_ms)):
        frames = sorted(taken)
        sys.stdout.write(
            f"       script a frame by the {by:9} p50 {statistics.median(frames):4.1f} "
            f"p95 {frames[int(len(frames) * 0.95)]:4.1f} most {frames[-1]:4.1f} ms\n"
        )
    parts = ", ".join(f"{each} {taken:.1f}" for each, taken in told.longest)
    sys.stdout.write(f"       in the longest: {parts}\n")
    sys.stdout.flush()


def _server_times(app: Any) -> None:
    client = app.test_client()
    html = {"Accept": "text/html", "Accept-Encoding": "gzip"}
    address = client.get("/api/v1/map").get_json()["points_url"]
    for name, asked in (("page", "/ui/map"), ("points", address)):
        taken = []
        for _ in range(6):
            begun = time.perf_counter()
            reply = client.get(asked, headers=html)
            taken.append(1_000 * (time.perf_counter() - begun))
            assert reply.status_code == 200, reply.status_code
        size = len(reply.data) / 1_000
        sys.stdout.write(
            f"server, {name:6} p50 {statistics.median(taken):6.0f} ms, {size:.0f} kB\n"
        )


@contextmanager
def _chromium() -> Iterator[Browser]:
    path = find_binary(("chromium", "chromium-browser", "google-chrome"))
    if path is None:
        raise SystemExit("There is no Chromium; install it with apt-get install chromium.")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--enable-precise-memory-info", "--js-flags=--expose-gc"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


def measure(
    browser: Browser, address: str, width: int, height: int, moving: Callable[[Page], None]
) -> Measured:
    """Open the map in a window of this size, move it, and return what that cost."""
    is_phone = width < 600
    profile = browser.new_context(
        viewport={"width": width, "height": height},
        has_touch=is_phone,
        is_mobile=is_phone,
        device_scale_factor=2 if is_phone else 1,
    )
    page = profile.new_page()
    page.goto(f"{address}/ui/map")
    page.locator("#map[data-state=drawn]").wait_for()
    first = page.evaluate(FIRST)
    page.wait_for_load_state("networkidle")
    moving(page)
    page.wait_for_load_state("networkidle")
    before = _heap(page)
    browser.start_tracing(
        page=page, categories=["devtools.timeline", "disabled-by-default-devtools.timeline"]
    )
    moving(page)
    trace = json.loads(browser.stop_tracing())
    for _ in range(4):
        moving(page)
    page.wait_for_load_state("networkidle")
    after = _heap(page)
    profile.close()
    events = trace["traceEvents"]
    frames = script_of_frames(events)
    return Measured(
        float(first or 0),
        [sum(one["dur"] for one in frame) / 1_000 for frame in frames],
        [sum(one.get("tdur", one["dur"]) for one in frame) / 1_000 for frame in frames],
        _parts(max(frames, key=lambda frame: sum(one.get("tdur", 0) for one in frame))),
        (before, after),
    )


def _parts(frame: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """Return the longest events of a frame, with the milliseconds of a processor."""
    told = [
        (str(one["args"].get("data", {}).get("type", one["name"])), one.get("tdur", 0) / 1_000)
        for one in frame
    ]
    return sorted(told, key=lambda one: -one[1])[:5]


def _heap(page: Page) -> float:
    page.evaluate("() => { gc(); gc(); }")
    return float(page.evaluate(HEAP)) / 1e6


def by_wheel_and_drag(page: Page) -> None:
    """Zoom in by 30 steps of the wheel, drag by 60, and zoom out again."""
    box = page.locator("#map").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.5
    page.mouse.move(x, y)
    for _ in range(30):
        page.mouse.wheel(0, -90)
        page.wait_for_timeout(16)
    page.mouse.down()
    for step in range(60):
        page.mouse.move(x + 4 * step, y + 2 * step)
    page.mouse.up()
    page.mouse.move(x, y)
    for _ in range(30):
        page.mouse.wheel(0, 90)
        page.wait_for_timeout(16)


def by_pinch(page: Page) -> None:
    """Spread two fingers, drag with one, and bring two together again."""
    box = page.locator("#map").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        told = [{"x": px, "y": py, "id": id_} for id_, (px, py) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": told})

    for apart in (range(20, 160, 4), range(160, 20, -4)):
        for at, half in enumerate(apart):
            ends = (x - half, y), (x + half, y)
            touch("touchMove" if at else "touchStart", *ends)
        touch("touchEnd")
        if apart.step > 0:
            touch("touchStart", (x, y))
            for step in range(40):
                touch("touchMove", (x - 3 * step, y - 2 * step))
            touch("touchEnd")
    session.detach()


def script_of_frames(events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the events of script between each two frames, of the thread that ran most of it.

    An event within another one is left out, and so is a frame without any.
    """
    script = [one for one in events if one["name"] in SCRIPT and one.get("ph") == "X"]
    by_thread: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for one in script:
        by_thread.setdefault((one["pid"], one["tid"]), []).append(one)
    thread, own = max(by_thread.items(), key=lambda pair: sum(one["dur"] for one in pair[1]))
    begins = sorted(
        one["ts"]
        for one in events
        if one["name"] == "FireAnimationFrame" and (one["pid"], one["tid"]) == thread
    )
    frames: list[list[dict[str, Any]]] = [[] for _ in range(len(begins) + 1)]
    end = 0.0
    for one in sorted(own, key=lambda one: (one["ts"], -one["dur"])):
        if one["ts"] >= end:
            end = one["ts"] + one["dur"]
            # What ran before a frame's drawing delayed that frame.
            frames[bisect.bisect_left(begins, one["ts"])].append(one)
    return [frame for frame in frames if frame]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    main(parser.parse_args().rows)
