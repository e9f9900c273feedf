"""Programs written for the five systems, unchanged but for the address, against two web processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from testing import five_systems
from testing.deployment import Web, deployed
from testing.generated import LISTS, node_tools, python_tools
from testing.pictures import picture
from testing.servers.mariadb import MariaDbServer
from testing.servers.process import find_binary, missing
from testing.servers.redis import redis_server

pytestmark = pytest.mark.drill

PAGE = """<script>
async function use(base) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "teal";
  pen.fillRect(8, 8, 40, 40);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const form = () => { const made = new FormData(); made.append("file", blob, "p.png"); return made; };
  const found = await fetch(`${base}/search-similar-images/`, { method: "POST", body: form() });
  const classified = await fetch(`${base}/classify`, { method: "POST", body: form() });
  const hash = (await classified.json()).image_hash;
  const judged = await fetch(`${base}/feedback`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ image_hash: hash, theme: "teal", accepted: true }),
  });
  const made = await fetch(`${base}/api/v1/images`, { method: "POST", body: form() });
  const read = await fetch(base + (await made.clone().json()).url);
  return [found.status, classified.status, judged.status, made.status, read.status,
          made.headers.get("Location") !== null];
}
</script>"""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDbServer) -> Iterator[Web]:
    """Gunicorn with two processes and a worker, over MariaDB and Redis."""
    with (
        mariadb.new_database() as name,
        redis_server() as redis_url,
        deployed(
            tmp_path_factory.mktemp("five"),
            DATABASE_URL=mariadb.url(name),
            REDIS_URL=redis_url,
            WEB_PROCESSES="2",
        ) as deployment,
    ):
        deployment.worker()
        yield deployment.web()


def _told(web: Web, folder: Path, seed: int, *command: str | Path) -> str:
    paths = []
    for each in (seed, seed + 1):
        path = folder / f"{each}.png"
        path.write_bytes(picture(each, "PNG"))
        paths.append(str(path))
    done = subprocess.run(
        [*map(str, command), *paths],
        cwd=folder,
        env=os.environ | {"BASE_URL": web.url},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_lines_for_curl(web: Web, tmp_path: Path) -> None:
    five_systems.check(_told(web, tmp_path, 811, "bash", LISTS / "use_curl.sh"))


def test_a_program_with_requests(web: Web, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    tools = python_tools(Path(pytestconfig.cache.mkdir("tools")))  # type: ignore[union-attr]
    program = LISTS / "use_requests.py"
    five_systems.check(_told(web, tmp_path, 821, tools / "python", program))


def test_a_program_with_axios(web: Web, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    project = node_tools(Path(pytestconfig.cache.mkdir("tools")))  # type: ignore[union-attr]
    program = shutil.copy(LISTS / "use_axios.mjs", project)
    five_systems.check(_told(web, tmp_path, 831, "node", program))


@pytest.mark.parametrize(
    ("origin", "is_answered"), [("http://localhost:3000", True), ("http://localhost:3001", False)]
)
def test_a_page_of_another_origin(web: Web, origin: str, is_answered: bool) -> None:
    path = find_binary(("chromium", "chromium-browser", "google-chrome"))
    if path is None:
        missing("Chromium", "install it with apt install chromium")
    with sync_playwright() as playwright:
        # A page that is played has no address, and such a one would be kept from this machine's own.
        flags = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        page = browser.new_page()
        # The page's own server is played; what the page asks of ours is really sent.
        page.route(f"{origin}/**", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        page.goto(f"{origin}/")
        if is_answered:
            assert page.evaluate("base => use(base)", web.url) == [200, 200, 200, 201, 200, True]
        else:
            refusal = page.evaluate("base => use(base).catch((error) => String(error))", web.url)
            assert refusal == "TypeError: Failed to fetch"
        browser.close()
