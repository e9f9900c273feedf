"""Measures the pages: the server's time of each, and the largest paint of Explore's in Chromium.

`python -m benchmarks.pages --rows 10000` fills a database of its own, then asks for each page in turn, so
that a busy moment hits all alike. The encoder is a stand-in, because remembered words ask none. Each paint
is of a new browser profile, which has no file of ours; all thumbnails are one picture of 320 pixels, as if
a worker had made them. `cpu` is the time of a processor, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, sync_playwright

import webapp
from mirada.config import Settings
from mirada.runtime import Runtime
from testing.app_server import served
from testing.encoders import CountingEncoder, with_encoder
from testing.filled import fill
from testing.pictures import picture
from testing.servers.process import find_binary

PAGES = {
    "the library": "/ui",
    "its next page": "/ui?cursor={next}",
    "remembered words": "/ui?q=red+heart",
    "pictures like one": "/ui?plus=1",
    "by likes": "/ui?sort=likes",
    "one shape": "/ui?shape=landscape",
    "with the filters": "/ui?filters=true",
    "an image": "/ui/images/1",
    "map": "/ui/map",
    "memory": "/ui/memory",
    "groups": "/ui/groups",
    "activity": "/ui/activity",
    "index": "/ui/index",
    "usage": "/ui/usage",
    "settings": "/ui/settings",
    "add": "/ui/add",
}
PAINTED = ("the library", "remembered words", "pictures like one", "with the filters", "an image")
WINDOW = {"width": 1440, "height": 900}
PAINT = """
  window.painted = 0;
  new PerformanceObserver((list) => { for (const one of list.getEntries()) window.painted = one.startTime; })
    .observe({type: "largest-contentful-paint", buffered: true});
"""


def main(rows: int, rounds: int, profiles: int, kept: str | None) -> None:
    """Fill a database, and write the median and the 95th percentile of each page, and of each paint."""
    with tempfile.TemporaryDirectory() if kept is None else nullcontext(kept) as folder:
        is_filled = (Path(folder) / "images").exists()
        settings = Settings.from_env(
            data_dir=folder, faiss_index_dir=f"{folder}/indexes", log_level="ERROR"
        )
        runtime = with_encoder(Runtime(settings), CountingEncoder())
        runtime.migrate()
        if is_filled:
            runtime.index(runtime.space()[0]).refresh()
        else:
            fill_with(runtime, rows)
        sys.stdout.write(f"{rows:,} pictures, {rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
        for name, taken in times(runtime, rounds).items():
            cpu = statistics.median(busy for _, busy in taken)
            _write(name, [each for each, _ in taken], f"   cpu {cpu:6.1f} ms")
        if profiles:
            sys.stdout.write(f"Largest paint, {profiles} profiles, load {os.getloadavg()[0]:.1f}\n")
            with sync_playwright() as playwright:
                path = find_binary(("chromium", "chromium-browser", "google-chrome"))
                browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
                for name, painted in paints(browser, runtime, profiles).items():
                    _write(name, painted)
                browser.close()
        runtime.close()


def fill_with(runtime: Runtime, rows: int) -> None:
    """Put so many pictures with vectors of no meaning into a library, and index them."""
    space_id, space = runtime.space()
    drawn = np.random.default_rng(0).normal(size=(rows, space.dimension)).astype(np.float32)
    vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    fill(runtime.database, Path(runtime.settings.image_dir), space_id, vectors)
    runtime.index(space_id).refresh()


def _write(name: str, taken: list[float], more: str = "") -> None:
    p50, p95 = statistics.median(taken), sorted(taken)[int(len(taken) * 0.95)]
    sys.stdout.write(f"{name:20} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms{more}\n")
    sys.stdout.flush()


def times(runtime: Runtime, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return the milliseconds of each visit: on the clock, and of a processor."""
    client = webapp.create_app(runtime).test_client()
    headers = {"Accept": "text/html", "Accept-Encoding": "gzip"}
    listed = client.get("/api/v1/images?limit=60").get_json()["next"]
    cursor = listed.partition("cursor=")[2].partition("&")[0]
    taken: dict[str, list[float]] = {name: [] for name in PAGES}
    busy: dict[str, list[float]] = {name: [] for name in PAGES}
    for _ in range(rounds + 1):
        for name, address in PAGES.items():
            begun, worked = time.perf_counter(), time.process_time()
            reply = client.get(address.format(next=cursor), headers=headers)
            taken[name].append(1_000 * (time.perf_counter() - begun))
            busy[name].append(1_000 * (time.process_time() - worked))
            assert reply.status_code == 200, (address, reply.status_code)
    # The first round reads templates, indexes and encoders.
    return {name: list(zip(taken[name], busy[name], strict=True))[1:] for name in PAGES}


def paints(browser: Browser, runtime: Runtime, profiles: int) -> dict[str, list[float]]:
    """Return the milliseconds from the start of each visit to the largest paint."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = _with_thumbnails(webapp.create_app(runtime))
    found: dict[str, list[float]] = {name: [] for name in PAINTED}
    with served(app) as address:
        for _ in range(profiles + 1):
            for name in PAINTED:
                found[name].append(_paint(browser, f"{address}{PAGES[name]}"))
    # The first round reads templates.
    return {name: taken[1:] for name, taken in found.items()}


def _with_thumbnails(app: Any) -> Any:
    """Return the app with one picture for every thumbnail."""
    body = picture(0, "WEBP", (320, 240))

    def answer(environ: Any, start: Any) -> Any:
        path = environ["PATH_INFO"]
        if not path.startswith("/i/") and "/thumbnail" not in path:
            return app(environ, start)
        start("200 OK", [("Content-Type", "image/webp"), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def _paint(browser: Browser, address: str) -> float:
    profile = browser.new_context(viewport=WINDOW)
    page = profile.new_page()
    page.add_init_script(PAINT)
    page.goto(address)
    page.wait_for_load_state("networkidle")
    painted = float(page.evaluate("window.painted"))
    profile.close()
    return painted


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--paints", type=int, default=5, help="0 asks for no browser")
    parser.add_argument(
        "--library", help="a folder where it stays, and is taken from the next time"
    )
    given = parser.parse_args()
    main(given.rows, given.rounds, given.paints, given.library)
