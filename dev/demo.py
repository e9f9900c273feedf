"""Put the bundled stickers and scenes into a running Mirada over HTTP, and say what to search for.

Usage: dev/demo.py [--url http://127.0.0.1:8000] [--key KEY]. Running it again adds what is missing.
"""

from __future__ import annotations

import argparse
import http.client
import json
import mimetypes
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# Run as a file, and by tests by its path.
sys.path.insert(0, str(Path(__file__).resolve().parent))
import demo_packs
import demo_scenes

DEMO = Path(__file__).resolve().parent.parent / "demo"
UPLOADS_AT_ONCE = 4
PATIENCE_S = 600.0
START_PATIENCE_S = 60.0
"""How long a server is waited for that has just been started in another terminal."""
SILENCE_S = 5.0
"""After this long without any progress it is said what the server waits for, such as a download."""
HOLD_UP_AFTER = 280
"""Stickers after which a picture is held up: the worker has others to do, and most ids are as ever."""
FIRST_SEARCH = {"text": "a smiling face", "k": 5}


class Refused(Exception):
    """The server answered with an error; the message is its own."""

    def __init__(self, status: int, detail: str, retry_after_s: float = 1.0) -> None:
        """Keep the status, and when the server asks to be called again."""
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.is_passing = status in {429, 503}
        self.retry_after_s = retry_after_s


class NotMirada(Exception):
    """Something else answers; the message says what it did."""


class Server:
    """The few calls that the demo needs."""

    def __init__(self, url: str, key: str | None) -> None:
        """Keep the address and, where the server asks for one, the API key."""
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        # The server is on this machine or named on purpose; a proxy would not find it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(
        self,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        method: str | None = None,
    ) -> dict[str, Any]:
        """Return the JSON reply, {} for an empty one; a busy server is asked again for a minute.

        Raises Refused, NotMirada, or OSError when nobody answers.
        """
        deadline = time.monotonic() + START_PATIENCE_S
        while True:
            try:
                return self.call_once(path, body, headers, method)
            except Refused as error:
                if not error.is_passing or time.monotonic() > deadline:
                    raise
                time.sleep(error.retry_after_s)

    def call_once(
        self,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        method: str | None = None,
    ) -> dict[str, Any]:
        """Return the JSON reply. Raises Refused, NotMirada, or OSError when nobody answers."""
        request = urllib.request.Request(  # noqa: S310 - the person names the server
            path if path.startswith(self.url) else self.url + path,
            data=body,
            headers={**self._headers, **(headers or {})},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=120) as reply:
                return {} if reply.status == 204 else dict(json.load(reply))
        except urllib.error.HTTPError as error:
            raise _refusal(error) from error
        except (http.client.HTTPException, ValueError, TypeError) as error:
            # A connection that ends is OSError as well, and is tried again as such.
            if isinstance(error, OSError):
                raise
            raise NotMirada("its reply is not JSON over HTTP") from error

    def troubles(self) -> list[str]:
        """Return what /health says is not well; [] where all is, or where it does not answer."""
        try:
            with self._opener.open(f"{self.url}/health", timeout=30) as reply:
                body = json.load(reply)
        except urllib.error.HTTPError as error:
            body = json.loads(error.read() or b"{}")
        except OSError:
            return []
        checks = body.get("checks", {})
        return [f"{name}: {it['detail']}" for name, it in checks.items() if not it["ok"]]

    def send(self, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Send fields as JSON; raises as `call`."""
        return self.call(path, json.dumps(fields).encode(), {"Content-Type": "application/json"})

    def allowed(self, path: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        """Send fields as JSON; None where this caller may not, or where it cannot be done now."""
        try:
            return self.send(path, fields)
        except Refused as error:
            if error.status in {403, 404, 409}:
                return None
            raise

    def put(self, path: str) -> None:
        """Call PUT without a body."""
        self.call(path, method="PUT")

    def delete(self, path: str) -> None:
        """Call DELETE."""
        self.call(path, method="DELETE")

    def every(self, path: str) -> list[dict[str, Any]]:
        """Return the results of all pages of a list."""
        found: list[dict[str, Any]] = []
        following: str | None = path
        while following:
            page = self.call(following)
            found += page["results"]
            following = page.get("next") and urllib.parse.urljoin(self.url, page["next"])
        return found

    def own_images(self) -> list[dict[str, Any]]:
        """Return every image of the caller."""
        return self.every("/api/v1/images?mine=true&limit=100")

    def upload(self, file: Path, caption: str, **fields: str) -> dict[str, Any]:
        """Send one picture, public unless `is_public` says otherwise; return the image."""
        boundary = uuid.uuid4().hex
        texts = {"caption": caption, "is_public": "true"} | fields
        parts = b"".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in texts.items()
        )
        parts += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n'
            f"Content-Type: {mimetypes.types_map.get(file.suffix, 'image/webp')}\r\n\r\n"
        ).encode()
        parts += file.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        content_type = f"multipart/form-data; boundary={boundary}"
        # With it, a call that is made again after a busy reply is no second picture.
        headers = {"Content-Type": content_type, "Idempotency-Key": boundary}
        return self.call("/api/v1/images", parts, headers)


def _refusal(error: urllib.error.HTTPError) -> Refused | NotMirada:
    """Return what an error status means; one without a problem in JSON is not Mirada's."""
    try:
        detail = json.loads(error.read())["detail"]
    except (ValueError, KeyError, TypeError):
        # A proxy says so in HTML while Mirada, behind it, starts.
        if error.code not in {429, 503}:
            return NotMirada(f"it answers {error.code} {error.reason}")
        detail = error.reason
    asked_s = error.headers.get("Retry-After", "")
    wait_s = min(float(asked_s), 10.0) if asked_s.isdigit() else 1.0
    return Refused(error.code, str(detail), wait_s)


def say(line: str, *, end: str = "\n") -> None:
    """Write for the person at the terminal."""
    sys.stdout.write(line + end)
    sys.stdout.flush()


def wait_for(server: Server) -> None:
    """Return once the server takes calls.

    Raises:
        OSError, Refused: it did not within START_PATIENCE_S, or it refused for good.
        NotMirada: something else answers there.
    """
    deadline = time.monotonic() + START_PATIENCE_S
    is_told = False
    while True:
        try:
            if "results" not in server.call_once("/api/v1/images?limit=1"):
                raise NotMirada("its reply is not one of Mirada's")
            return
        except (OSError, Refused) as error:
            if isinstance(error, Refused) and error.status == 404:
                raise NotMirada("it does not know /api/v1/images") from error
            is_hopeless = isinstance(error, Refused) and not error.is_passing
            if is_hopeless or time.monotonic() > deadline:
                raise
        if not is_told:
            say(
                f"Nobody answers at {server.url} yet; trying again for {START_PATIENCE_S:.0f} s. "
                "Has `make run` been started in another terminal?"
            )
            is_told = True
        time.sleep(1)


def _stickers() -> list[dict[str, Any]]:
    return list(json.loads((DEMO / "stickers.json").read_text(encoding="utf-8"))["stickers"])


def upload_missing(server: Server, hold_up: Callable[[], object]) -> set[str]:
    """Upload what the caller does not have yet; return the file names of the whole set.

    `hold_up` is called in between, while the worker has others to do.
    """
    files = [(DEMO / sticker["file"], sticker["names"]["en"]) for sticker in _stickers()]
    there = {(image["filename"], image["byte_size"]) for image in server.own_images()}
    missing = [
        (file, name) for file, name in files if (file.name, file.stat().st_size) not in there
    ]
    say(f"{len(files)} stickers, {len(files) - len(missing)} of them there already.")
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        for done, _ in enumerate(pool.map(lambda each: server.upload(*each), missing), start=1):
            if done % 20 == 0 or done == len(missing):
                say(f"\r  uploaded {done} of {len(missing)}", end="")
            if done == HOLD_UP_AFTER:
                hold_up()
    if missing:
        say("")
    return {file.name for file, _ in files}


def wait_until_embedded(server: Server, names: set[str]) -> None:
    """Wait until every sticker is READY or FAILED, and say how many are."""
    began_s = time.monotonic()
    deadline = began_s + PATIENCE_S
    is_told = False
    while True:
        ours = [image for image in server.own_images() if image["filename"] in names]
        pending = [image for image in ours if image["status"] in {"PENDING", "PROCESSING"}]
        failed = [image for image in ours if image["status"] == "FAILED"]
        say(f"\r  searchable {len(ours) - len(pending) - len(failed)} of {len(ours)}  ", end="")
        if not pending or time.monotonic() > deadline:
            break
        if len(pending) == len(ours) and not is_told and time.monotonic() - began_s > SILENCE_S:
            is_told = True
            for trouble in server.troubles():
                say(f"\r  waiting for {trouble}")
        time.sleep(0.5)
    say("")
    if pending:
        say(f"{len(pending)} are still waiting; {server.url}/api/v1/jobs says what for.")
    for image in failed:
        say(f"Failed: {image['filename']}: {image['failure']}")


def _start_line(url: str) -> str:
    port = urllib.parse.urlsplit(url).port
    return "make run" if port in {None, 8000} else f"PORT={port} make run"


def _address(text: str) -> str:
    """Return the address of a server; one without a scheme is taken as http.

    Raises:
        argparse.ArgumentTypeError: it is no such address.
    """
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urllib.parse.urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise argparse.ArgumentTypeError(f"{text!r} is no address such as http://127.0.0.1:8000")
    return url


def _key_advice(url: str, *, is_named: bool, has_key: bool) -> str:
    """Return how to run the demo again where the server takes no call without a key."""
    arguments = f"--url {url} --key KEY" if is_named else "--key KEY"
    port = urllib.parse.urlsplit(url).port
    prefix = "" if is_named or port in {None, 8000} else f"PORT={port} "
    return (
        f"{'It does not take this key' if has_key else 'It asks for a key'}. Make one, with the "
        "server's settings (.env, DATABASE_URL): bin/mirada users create NAME --admin\n"
        f'Then run: {prefix}make demo ARGS="{arguments}"'
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--url", type=_address, help="the server; by default the one the settings name"
    )
    parser.add_argument("--key", default=os.environ.get("MIRADA_KEY"), help="an API key, if needed")
    parser.add_argument(
        "--pictures",
        type=Path,
        help="the server's folder of pictures (DATA_DIR/images), to have one fail; with --url",
    )
    return parser.parse_args()


def _search(server: Server) -> list[dict[str, Any]]:
    body = json.dumps(FIRST_SEARCH).encode()
    reply = server.call("/api/v1/search", body, {"Content-Type": "application/json"})
    return list(reply["results"])


def _fill_and_search(server: Server, folder: Path | None, *, has_key: bool) -> None:
    wait_for(server)
    before = demo_scenes.hung(server)
    damaged: list[demo_scenes.Damage] = []

    def hold_up() -> None:
        if not damaged:
            demo_scenes.hold_up(server)
            damaged.append(demo_scenes.Damage(server, folder))

    names = upload_missing(server, hold_up)
    hold_up()
    (damage,) = damaged
    try:
        is_enabled = _hang_scenes(server, names, damage, before)
        if is_enabled:
            _say_what_to_try(server, has_key=has_key)
            _wait_for_the_failure(server, damage)
    finally:
        damage.mend()


def _hang_scenes(server: Server, names: set[str], damage: demo_scenes.Damage, before: int) -> bool:
    """Put the scenes in and wait until all is searchable; return whether anything is made so.

    `before` is how many scenes were there already.
    """
    walls = demo_scenes.open_walls(server, lambda key: Server(server.url, key))
    try:
        damage.begin()
        demo_scenes.hang(walls)
        scenes = len(demo_scenes.written()["scenes"])
        say(f"{scenes} scenes, {scenes - before} of them new.")
        if not server.call("/api/v1/models")["enabled"]:
            say(
                "They are stored, and not searchable while EMBEDDINGS_ENABLED is false. "
                "Set it to true and start the server again: it embeds them then."
            )
            return False
        wait_until_embedded(server, names)
        demo_scenes.talk(walls)
        if packs := demo_packs.fill(server, _stickers()):
            say(f"Packs made: {packs}.")
        return True
    finally:
        demo_scenes.close_walls(walls)


def _say_what_to_try(server: Server, *, has_key: bool) -> None:
    say(
        "Within a minute a worker looks what counts as relevant among them; verdicts such as "
        '"nothing relevant" are rough until then.'
    )
    best = _search(server)
    found = ", ".join(f"{each['image']['caption']} {each['similarity']:.2f}" for each in best)
    say(f'"{FIRST_SEARCH["text"]}" finds: {found}\nTry it:')
    key = " -H 'Authorization: Bearer KEY'" if has_key else ""
    say(
        f"  curl -s {server.url}/api/v1/search{key} -H 'Content-Type: application/json' "
        f"-d '{json.dumps(FIRST_SEARCH)}'"
    )
    say(f"Look: {server.url}")
    if demo_scenes.is_held_up(server):
        say(
            f"Work was cancelled on purpose: {server.url}/ui/activity shows it, and Retry there ends "
            "what was begun."
        )


def _wait_for_the_failure(server: Server, damage: demo_scenes.Damage) -> None:
    """Leave the damaged file as it is until the worker has given it up."""
    if not damage.is_awaited:
        return
    say(
        "One picture fails on purpose: its file is damaged until the worker has tried three times, "
        "which takes about half a minute. All else is ready now."
    )
    has_failed = damage.has_failed()
    damage.mend()
    if has_failed:
        say(
            f"It has failed: {server.url}/ui/activity says why, and Retry there makes it searchable, "
            "because its file is whole again."
        )


def main() -> int:
    """Run; return the exit code."""
    options = _options()
    url, folder = options.url, options.pictures
    if url is None:
        # Only now: with an address given, nothing of the product has to be installed here.
        sys.path.insert(0, str(DEMO.parent))
        from mirada.config import SETTINGS_EXIT_CODE, InvalidSettings, Settings

        try:
            settings = Settings.from_env()
        except InvalidSettings as error:
            say(str(error))
            return SETTINGS_EXIT_CODE
        url, folder = settings.address, settings.image_dir
    has_key = bool(options.key)
    try:
        _fill_and_search(Server(url, options.key), folder, has_key=has_key)
    except Refused as error:
        say(f"The server refused: {error}")
        if error.status == 401:
            say(_key_advice(url, is_named=options.url is not None, has_key=has_key))
        return 1
    except NotMirada as error:
        say(f"What answers at {url} is not Mirada: {error}. Is the address right, with its path?")
        return 1
    except OSError as error:
        say(f"Nobody answers at {url} ({error}). Start it first: {_start_line(url)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
