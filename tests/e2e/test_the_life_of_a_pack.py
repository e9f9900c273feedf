"""The life of a sticker pack by the commands of docs/packs.md, from 40 files to an empty Mirada."""

from __future__ import annotations

import io
import json
import re
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image as Pillow

from mirada.config import BUNDLED_MODEL_DIR
from mirada.duplicates.finding import queue_waiting
from mirada.runtime import Runtime
from testing.app_server import served
from testing.application import create_app
from testing.deployment import ROOT, deployed, wait_until
from testing.encoders import CountingEncoder, with_encoder
from testing.patience import PATIENCE_S
from testing.servers.process import missing
from tests.conftest import MakeRuntime
from workers import in_process

STICKERS = json.loads((ROOT / "demo" / "stickers.json").read_text(encoding="utf-8"))["stickers"]
DIFFERENT, COPIES = 36, 4
TEXTS = [each["names"]["en"] for each in STICKERS[:120:6]]


def commands() -> str:
    text = (ROOT / "docs" / "packs.md").read_text(encoding="utf-8")
    block = re.search(r"^## The whole life of a pack\n.*?^```sh\n(.*?)^```", text, re.M | re.S)
    assert block is not None
    return block[1]


def lay_out(folder: Path) -> None:
    """Put 40 pictures into a folder: the last four are the first four in other bytes."""
    folder.mkdir()
    for number, each in enumerate(STICKERS[:DIFFERENT]):
        content = (ROOT / "demo" / each["file"]).read_bytes()
        (folder / f"{number:02}.png").write_bytes(content)
    for number in range(COPIES):
        picture = Pillow.open(folder / f"{number:02}.png")
        picture.save(folder / f"9{number}.webp", lossless=True)


def live(server: str, empty: str, folder: Path) -> list[str]:
    """Run the commands of the document against two servers, and return what they printed."""
    lay_out(folder / "stickers")
    script = commands()
    for name, address in (("S", server), ("EMPTY", empty)):
        script, count = re.subn(rf"^{name}=.*$", f"{name}={address}", script, flags=re.M)
        assert count == 1
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split("\n")[:-1]


def places(http: httpx2.Client, server: str) -> dict[int, int]:
    """Return the places of the pictures of the only pack, by image id."""
    reply = http.get(f"{server}/api/v1/packs/1/images?limit=100").json()
    return {each["image"]["id"]: place for place, each in enumerate(reply["results"])}


def found(http: httpx2.Client, server: str, text: str) -> list[int]:
    """Return the first ten of a search in the pack, by their places in it."""
    asked = {"text": text, "k": 10, "filter": {"pack": 1}}
    reply = http.post(f"{server}/api/v1/search", json=asked)
    assert reply.status_code == 200, reply.text
    there = places(http, server)
    return [there[each["image"]["id"]] for each in reply.json()["results"]]


def check(server: str, empty: str, folder: Path) -> None:
    said = live(server, empty, folder)
    # Uploaded, tagged, the pack, packed, brought back, merged, taken in, brought over, found twice.
    first = ["40", "40", "/api/v1/packs/1", "30", "3", str(COPIES), "True", "31"]
    assert (said[: len(first)], len(said)) == (first, len(first) + 2)
    with httpx2.Client(timeout=PATIENCE_S, trust_env=False) as http:
        there = http.get(f"{server}/api/v1/packs/1/images?limit=100").json()["results"]
        here = http.get(f"{empty}/api/v1/packs/1/images?limit=100").json()["results"]
        assert [each["image"]["id"] for each in there[:5]] == [1, 2, 3, 4, 5]
        assert [each["emojis"] for each in here] == [["😀"]] + [[]] * 30
        assert [each["emojis"] for each in there] == [each["emojis"] for each in here]
        for one, other in zip(there, here, strict=True):
            assert one["image"]["width"] == other["image"]["width"]
        assert http.get(f"{empty}/api/v1/packs/1").json()["title"] == "My stickers"
        assert len(TEXTS) == 20
        for text in TEXTS:
            assert found(http, server, text) == found(http, empty, text), text


@contextmanager
def working(runtime: Runtime) -> Iterator[str]:
    """Serve a runtime with its worker beside it, and look for duplicates at once."""
    stop, ended = in_process.start(runtime), threading.Event()

    def look() -> None:
        while not ended.wait(0.2):
            queue_waiting(runtime)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        with served(create_app(runtime)) as address:
            yield address
    finally:
        ended.set()
        thread.join()
        stop()


def test_the_commands_of_the_document_work_as_they_stand(
    make_runtime: MakeRuntime, tmp_path: Path
) -> None:
    runtimes = [with_encoder(make_runtime(), CountingEncoder()) for _ in range(2)]
    with ExitStack() as stack:
        server, empty = (stack.enter_context(working(each)) for each in runtimes)
        check(server, empty, tmp_path)


@pytest.mark.drill
def test_they_work_on_real_servers_with_the_bundled_model(tmp_path: Path) -> None:
    if not (BUNDLED_MODEL_DIR / "open_clip_config.json").exists():
        missing("The bundled encoder", "models/stickers is empty")
    settings: dict[str, Any] = {"CLIP_MODEL": "bundled"}
    with (
        deployed(tmp_path / "one", **settings) as first,
        deployed(tmp_path / "two", **settings) as second,
    ):
        server, empty = first.web(), second.web()
        check(server.url, empty.url, tmp_path)


@pytest.mark.drill
def test_an_export_goes_on_after_a_kill(tmp_path: Path) -> None:
    lay_out(tmp_path / "stickers")
    files = sorted((tmp_path / "stickers").iterdir())
    with deployed(tmp_path / "one", EMBEDDINGS_ENABLED="false") as deployment:
        web = deployment.web()
        sent = [("files", (path.name, path.read_bytes())) for path in files]
        reply = web.http.post("/api/v1/images/files", files=sent).json()
        ids = [each["image_id"] for each in reply["results"]]
        pack = web.http.post("/api/v1/packs", json={"title": "All"}).json()
        body = {"image_ids": ids, "emojis": {str(each): ["😀"] for each in ids}}
        web.http.post(pack["images_url"], json=body)
        job = web.http.post(f"{pack['url']}/exports", json={"format": "signal"}).json()
        parts = Path(deployment.environment["DATA_DIR"]) / "exports"

        def made() -> dict[str, int]:
            return {each.name: each.stat().st_mtime_ns for each in parts.glob("*/*-*.png")}

        wait_until(lambda: len(made()) >= 5, what="five stickers are made", every_s=0.01)
        web.process.kill()
        before = made()
        assert 5 <= len(before) < len(ids), "it was done before it was killed"
        again = deployment.web("again")

        def told() -> dict[str, Any]:
            found: dict[str, Any] = again.http.get(job["url"]).json()
            return found

        wait_until(lambda: told()["state"] == "done", what="the export is done", every_s=0.1)
        assert told()["crashes"] == 1
        content = again.http.get(told()["result"]["file_url"]).content
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) == len(ids) + 1
