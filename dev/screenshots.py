"""Make the pictures of the pages: start a server, run the demo, open each page in Chromium, keep WebP.

`make screenshots ARGS="explore map"` makes only the pictures whose names begin so. The same tree gives
nearly the same pictures: times and the order of uploads differ.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent

PICTURES = ROOT / "docs" / "pictures-of-pages"
TOUR_IN = ROOT / "docs" / "pages.md"
TOUR_BEGINS, TOUR_ENDS = "<!-- The tour: made by make screenshots. -->", "<!-- The tour ends. -->"
MOST_BYTES, MOST_ANIMATED_BYTES = 60 * 1024, 400 * 1024
DESK, PHONE = (1440, 900), (390, 844)
WIDEST = 1200
"""Pixels across of a picture that is kept."""
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Shot:
    """A picture to make.

    Attributes:
        name: of the file, without .webp.
        path: of the page; NAMED has the ids that are filled in.
        says: what one sees, for the tour.
        is_dark: in the dark theme.
        size: of the window, in pixels.
        before: done on the page before the picture is taken.
    """

    name: str
    path: str
    says: str
    is_dark: bool = False
    size: tuple[int, int] = DESK
    before: Callable[[Page], object] | None = None


SHOTS = (
    Shot(
        "explore-light",
        "/ui",
        "The library, newest first; a lock marks what only its owner sees",
    ),
    Shot(
        "explore-dark",
        "/ui?q=heart&plus={pink}&minus={two}",
        "A search that is mixed: a word, one picture that is wanted, one that is not; clear matches first",
        is_dark=True,
    ),
    Shot("explore-phone", "/ui?q=cat", "Explore on a phone", size=PHONE),
    Shot(
        "image-light",
        "/ui/images/{scene}",
        "A picture, what the model takes it for, and what people say of it",
    ),
    Shot(
        "image-phone",
        "/ui/images/{other}",
        "A picture of one's own, with verdicts that its owner gave",
        is_dark=True,
        size=PHONE,
    ),
    Shot("add-light", "/ui/add", "Add takes files, folders and what is pasted"),
    Shot("map-dark", "/ui/map", "Map lays out the library by what pictures show", is_dark=True),
    Shot("memory-light", "/ui/memory", "Memory tells which styles and subjects recur"),
    Shot(
        "activity-light",
        "/ui/activity",
        "Activity: the work, what went wrong, and how to try it again",
    ),
    Shot("activity-phone", "/ui/activity", "Activity on a phone", is_dark=True, size=PHONE),
    Shot("groups-dark", "/ui/groups", "Groups of pictures that are alike", is_dark=True),
    Shot("index-light", "/ui/index", "Index: how fresh and how exact the search is"),
    Shot("settings-dark", "/ui/settings", "Settings", is_dark=True),
)
NAMED = {
    "scene": "The lighthouse, evening",
    "other": "Dusk over the hills",
    "pink": "pink heart",
    "two": "two hearts",
}
"""Pictures of the demo that the pictures of pages are about, by their captions."""
MIXING = "mixing"
MIXING_SAYS = "Typing a word, then more like one picture and less like another"


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def say(line: str) -> None:
    """Write for the person at the terminal."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Yield the address of a server with the demo in it."""
    port = free_port()
    kept = ("PATH", "HOME", "LANG", "UV_CACHE_DIR", "VIRTUAL_ENV")
    environment = {name: os.environ[name] for name in kept if name in os.environ} | {
        "MIRADA_ENV_FILE": os.devnull,
        "DATA_DIR": str(folder / "data"),
        "FAISS_INDEX_DIR": str(folder / "faiss_indexes"),
        "PORT": str(port),
        "CLIP_MODEL": "bundled",
    }
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [ROOT / "bin" / "mirada", "run"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        demo = [sys.executable, ROOT / "dev" / "demo.py", "--url", address]
        demo += ["--pictures", folder / "data" / "images"]
        subprocess.run(demo, check=True, env=environment)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def reply(address: str, path: str) -> Any:
    """Return what the API answers."""
    with urllib.request.urlopen(f"{address}{path}", timeout=30) as found:  # noqa: S310 - our server
        return json.load(found)


def wait_until_idle(address: str) -> None:
    """Wait until no job waits or runs, so that pages show the end of all work."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        waiting = reply(address, "/api/v1/jobs?state=queued&state=running&limit=1")["results"]
        # The work of the minute is queued by a clock.
        measured = reply(address, "/api/v1/jobs?kind=calibrate_relevance&state=done&limit=2")
        if not waiting and len(measured["results"]) == 2:
            return
        time.sleep(1)
    say("Some work has not ended; the pictures show it.")


def ids_of_named(address: str) -> dict[str, int]:
    """Return the ids of NAMED, by the names that the paths of shots use."""
    images = every_image(address)
    ids = {image["caption"]: image["id"] for image in images}
    return {name: ids[caption] for name, caption in NAMED.items()}


def every_image(address: str) -> list[dict[str, Any]]:
    """Return all images."""
    images, path = [], "/api/v1/images?limit=100"
    while path:
        page = reply(address, path)
        images += page["results"]
        path = page["next"]
    return images


def is_there(address: str, path: str) -> bool:
    """Return whether a page exists."""
    request = urllib.request.Request(f"{address}{path}", headers={"Accept": "text/html"})  # noqa: S310
    try:
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - our server
    except urllib.error.HTTPError:
        return False
    return True


@contextmanager
def window(
    browser: Browser, size: tuple[int, int], *, is_dark: bool, finer: float = 1
) -> Iterator[Page]:
    """Yield a page in a profile of its own, without motion."""
    profile = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if is_dark else "light",
        reduced_motion="reduce",
        device_scale_factor=finer,
        locale="en-GB",
        timezone_id="UTC",
    )
    yield profile.new_page()
    profile.close()


def settled(page: Page) -> bytes:
    """Return the page as PNG once all that it loads is there."""
    page.wait_for_load_state("networkidle")
    return page.screenshot(animations="disabled", caret="hide")


def kept(png: bytes, file: Path) -> None:
    """Write a picture as WebP of at most MOST_BYTES, as good as fits."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((WIDEST, 4 * WIDEST), Image.Resampling.LANCZOS)
    for quality in range(86, 20, -6):
        written = io.BytesIO()
        picture.save(written, "WEBP", quality=quality, method=6)
        if written.tell() <= MOST_BYTES:
            break
    file.write_bytes(written.getvalue())
    say(f"  {file.name} {len(written.getvalue()) // 1024} KB, quality {quality}")


def shoot(browser: Browser, address: str, wanted: list[str]) -> None:
    """Make the pictures."""
    ids = ids_of_named(address)
    for shot in SHOTS:
        if wanted and not any(shot.name.startswith(name) for name in wanted):
            continue
        path = shot.path.format(**ids)
        if not is_there(address, path):
            say(f"  {shot.name}: there is no page {path}")
            continue
        finer = 2 if shot.size == PHONE else 1
        with window(browser, shot.size, is_dark=shot.is_dark, finer=finer) as page:
            page.goto(f"{address}{path}")
            if shot.before is not None:
                shot.before(page)
            kept(settled(page), PICTURES / f"{shot.name}.webp")


def mix(browser: Browser, address: str) -> None:
    """Make the animation of a search by words, then with a plus and a minus."""
    ids, frames = ids_of_named(address), []
    with window(browser, (960, 640), is_dark=True) as page:
        page.goto(f"{address}/ui")
        frames.append((settled(page), 900))
        for letters in ("h", "he", "hea", "hear", "heart"):
            page.locator("#q").fill(letters)
            page.wait_for_timeout(60)
            frames.append((page.screenshot(animations="disabled"), 160))
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(600)
        frames.append((settled(page), 1500))
        for act, name in (("more", "pink"), ("less", "two")):
            tile = page.locator(f"#i{ids[name]}")
            tile.hover()
            frames.append((settled(page), 700))
            tile.locator(f'[data-act="{act}"]').click()
            page.wait_for_timeout(600)
            page.mouse.move(5, 5)
            frames.append((settled(page), 1900))
    animate(frames, PICTURES / f"{MIXING}.webp")


def animate(frames: list[tuple[bytes, int]], file: Path) -> None:
    """Write frames, each with its milliseconds, as an animated WebP of at most MOST_ANIMATED_BYTES."""
    pictures = [
        Image.open(io.BytesIO(png)).convert("RGB").resize((840, 560), Image.Resampling.LANCZOS)
        for png, _ in frames
    ]
    for quality in range(78, 20, -8):
        written = io.BytesIO()
        pictures[0].save(
            written,
            "WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=[milliseconds for _, milliseconds in frames],
            loop=0,
            quality=quality,
            method=6,
            minimize_size=True,
        )
        if written.tell() <= MOST_ANIMATED_BYTES:
            break
    file.write_bytes(written.getvalue())
    say(f"  {file.name} {len(written.getvalue()) // 1024} KB, {len(frames)} frames")


def write_tour() -> None:
    """Write the pictures that there are into the document, each with its sentence."""
    told = [(shot.name, shot.says) for shot in SHOTS]
    told.insert(2, (MIXING, MIXING_SAYS))
    lines = [
        f"{says}:\n\n![{says}](pictures-of-pages/{name}.webp)"
        for name, says in told
        if (PICTURES / f"{name}.webp").exists()
    ]
    text = TOUR_IN.read_text(encoding="utf-8")
    before, rest = text.split(TOUR_BEGINS)
    tour = "\n\n".join([TOUR_BEGINS, *lines, TOUR_ENDS])
    TOUR_IN.write_text(before + tour + rest.split(TOUR_ENDS)[1], encoding="utf-8")


def main() -> int:
    """Run; return the exit code."""
    wanted = sys.argv[1:]
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    chromium = next((path for path in found if path), None)
    if chromium is None:
        say("There is no Chromium on this machine: apt-get install chromium")
        return 1
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as address,
        sync_playwright() as playwright,
    ):
        wait_until_idle(address)
        # Containers have no user namespaces for the sandbox; nothing but our own pages is opened.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shoot(browser, address, wanted)
        if not wanted or MIXING in wanted:
            mix(browser, address)
        browser.close()
    write_tour()
    return 0


if __name__ == "__main__":
    sys.exit(main())
