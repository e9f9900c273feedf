"""The demo beside its stickers: scenes of made-up galleries, what people say of them, and work held up.

`dev/demo.py` runs it. Whatever is there already is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

SCENES = Path(__file__).resolve().parent.parent / "demo" / "scenes"
CALLER = ""
"""The name, in scenes.json, of whoever runs the demo."""
PATIENCE_S = 60.0
KEY_LASTS = timedelta(hours=1)


class Server(Protocol):
    """The calls of `dev/demo.py`'s server, as one person."""

    def call(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the JSON reply."""

    def send(self, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Send fields as JSON."""

    def put(self, path: str) -> None:
        """Call PUT without a body."""

    def delete(self, path: str) -> None:
        """Call DELETE."""

    def allowed(self, path: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        """Send fields as JSON; None where the server refuses it to this caller, or at this time."""

    def every(self, path: str) -> list[dict[str, Any]]:
        """Return the results of all pages of a list."""

    def upload(self, file: Path, caption: str, **fields: str) -> dict[str, Any]:
        """Send one picture."""


@dataclass
class Walls:
    """The scenes on a server.

    Attributes:
        people: a server for each name in scenes.json; those without a user are the caller's.
        keys: addresses of the keys that were made for it.
        is_new: names of galleries that were not finished before.
    """

    people: dict[str, Server]
    keys: list[str]
    is_new: set[str]


def written() -> dict[str, Any]:
    """Return scenes.json."""
    return dict(json.loads((SCENES / "scenes.json").read_text(encoding="utf-8")))


def open_walls(caller: Server, as_somebody: Callable[[str], Server]) -> Walls:
    """Make the galleries' users where the caller may, and a key for each that is not finished."""
    book = written()
    names = sorted({each["owner"] for each in book["scenes"] if each["owner"]})
    walls = Walls({CALLER: caller}, [], {CALLER})
    until = (datetime.now(UTC) + KEY_LASTS).isoformat()
    wanted = {"name": "make demo", "expires_at": until}
    there: dict[str, dict[str, Any]] = {}
    for name in names:
        made = caller.allowed("/api/v1/users", {"username": name, "key": wanted})
        if made is None and not there:
            there = _users(caller)
        if made is not None:
            key = made["key"]
        elif name not in there or _is_finished(caller, book, name, there[name]["id"]):
            continue
        else:
            key = caller.send(f"/api/v1/users/{there[name]['id']}/keys", wanted)
        walls.people[name] = as_somebody(key["key"])
        walls.keys.append(key["url"])
        walls.is_new.add(name)
    if not there and not walls.keys:
        # The caller makes no users, so all scenes are theirs.
        walls.people |= dict.fromkeys(names, caller)
    return walls


def _users(caller: Server) -> dict[str, dict[str, Any]]:
    if caller.call("/api/v1/users/me")["role"] != "administrator":
        return {}
    return {user["username"]: user for user in caller.every("/api/v1/users?limit=100")}


def _is_finished(caller: Server, book: dict[str, Any], name: str, user_id: int) -> bool:
    """Return whether a gallery shows its scenes and has written its last comment."""
    images = _shown(caller)
    shown = {file for file, image in images.items() if image["owner"]["id"] == user_id}
    if not {each["file"] for each in book["scenes"] if each["owner"] == name} <= shown:
        return False
    last = [each for each in book["comments"] if each["by"] == name][-1]
    image = images.get(last["on"])
    return image is None or name in {
        comment["author"]["username"]
        for comment in caller.every(f"/api/v1/images/{image['id']}/comments?limit=100")
    }


def _shown(caller: Server) -> dict[str, dict[str, Any]]:
    """Return the scenes that the caller sees, by file name.

    Names of files are their owners' to see; prompts are as public as their pictures.
    """
    files = {each["prompt"]: each["file"] for each in written()["scenes"]}
    images = caller.every("/api/v1/images?has_prompt=true&limit=100")
    return {files[image["prompt"]]: image for image in images if image["prompt"] in files}


def hung(caller: Server) -> int:
    """Return how many scenes are there."""
    return len(_shown(caller))


def hang(walls: Walls) -> int:
    """Upload the scenes that are missing; return how many."""
    added, there = 0, _shown(walls.people[CALLER])
    for scene in written()["scenes"]:
        owner = walls.people.get(scene["owner"] or CALLER)
        if owner is not None and scene["file"] not in there and scene["file"] != held_up():
            owner.upload(SCENES / scene["file"], **_fields(scene))
            added += 1
    return added


def _fields(scene: dict[str, Any]) -> dict[str, str]:
    public = "true" if scene["public"] else "false"
    return {"caption": scene["caption"], "prompt": scene["prompt"], "is_public": public}


def held_up() -> str:
    """Return the file name of the scene whose work is cancelled."""
    return str(written()["held_up"])


def hold_up(caller: Server) -> bool:
    """Upload a picture of the caller and cancel its work, which a retry ends.

    It is called while the worker has other things to do; one that was quicker leaves nothing to
    cancel.

    Returns:
        whether anything was uploaded, which it is once.
    """
    (scene,) = [each for each in written()["scenes"] if each["file"] == held_up()]
    if scene["file"] in _shown(caller):
        return False
    _cancelled(caller, caller.upload(SCENES / scene["file"], **_fields(scene)))
    return True


class Damage:
    """A picture whose file cannot be read while its work is done, which then has failed.

    The file is cut in half in the server's folder and put back afterwards, so that a retry succeeds.
    It is transparent: pixels of opaque ones may wait for the worker beside the file.
    """

    def __init__(self, caller: Server, folder: Path | None) -> None:
        """Upload the picture and cancel its work, while the worker has other things to do.

        Args:
            caller: whose picture it becomes.
            folder: of the server's pictures; None where it is not known, and nothing is done.
        """
        self._caller, self._jobs, self._file, self._whole = caller, list[int](), None, b""
        scene = written()["damaged"]
        source = SCENES / scene["file"]
        if folder is None or scene["prompt"] in _prompts(caller):
            return
        image = caller.upload(source, **_fields(scene))
        self._jobs = _cancelled(caller, image)
        self._file = _stored(folder, source)

    def begin(self) -> None:
        """Damage the file and have the work done; where there is no file, it is done as it should be."""
        if self._file is not None:
            self._whole = self._file.read_bytes()
            self._file.write_bytes(self._whole[: len(self._whole) // 2])
        for job in self._jobs:
            self._caller.allowed(f"/api/v1/jobs/{job}/retry", {})

    @property
    def is_awaited(self) -> bool:
        """Return whether there is such work."""
        return bool(self._jobs)

    def has_failed(self) -> bool:
        """Wait until the work has ended, and return whether it has failed."""
        return "failed" in [_ended(self._caller, job) for job in self._jobs]

    def mend(self) -> None:
        """Put the file back."""
        if self._file is not None and self._whole:
            self._file.write_bytes(self._whole)


def _prompts(caller: Server) -> set[str]:
    images = caller.every("/api/v1/images?has_prompt=true&mine=true&limit=100")
    return {image["prompt"] for image in images}


def _cancelled(caller: Server, image: dict[str, Any]) -> list[int]:
    """Cancel the waiting work of an image, and return its jobs; none where it has begun."""
    jobs = caller.call("/api/v1/jobs?state=queued&limit=100")["results"]
    ours = [job["id"] for job in jobs if (job["image"] or {}).get("id") == image["id"]]
    return [each for each in ours if caller.allowed(f"/api/v1/jobs/{each}/cancel", {})]


def _stored(folder: Path, source: Path) -> Path | None:
    """Return the server's file of a picture; None where it is not there, or not ours to write."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    for file in (folder / digest[:2] / digest[2:4]).glob(f"{digest}-*"):
        if os.access(file, os.W_OK):
            return file
    return None


def _ended(caller: Server, job_id: int) -> str:
    """Return the state of a job once it has ended, or PATIENCE_S later."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        state = str(caller.call(f"/api/v1/jobs/{job_id}")["state"])
        if state not in {"queued", "running"} or time.monotonic() > deadline:
            return state
        time.sleep(0.1)


def is_held_up(caller: Server) -> bool:
    """Return whether the work on that scene is cancelled still."""
    image = _shown(caller).get(held_up())
    return image is not None and image["status"] == "FAILED"


def talk(walls: Walls) -> None:
    """Like, comment and judge, once the pictures are embedded; then group the library, and leave work."""
    book, caller = written(), walls.people[CALLER]
    images = _until_embedded(caller)
    for name, person in walls.people.items():
        if name not in walls.is_new:
            continue
        for file in book["likes"].get(name, []):
            if file in images:
                person.put(f"/api/v1/images/{images[file]['id']}/like")
        given = {(each["image_hash"], each["theme"]) for each in _verdicts(person)}
        for verdict in book["verdicts"]:
            digest = hashlib.sha256((SCENES / verdict["on"]).read_bytes()).hexdigest()
            if verdict["by"] == name and (digest, verdict["label"]) not in given:
                fields = {"theme": verdict["label"], "accepted": verdict["accepted"]}
                person.allowed("/api/v1/feedback", {"image_hash": digest, **fields})
        for comment in book["comments"]:
            image = images.get(comment["on"])
            if comment["by"] == name and image is not None and _is_unsaid(person, image, comment):
                person.send(f"/api/v1/images/{image['id']}/comments", {"text": comment["text"]})
    for kind in ("themes", "near_duplicates"):
        if caller.call(f"/api/v1/clusters?kind={kind}&limit=1")["grouped_at"] is None:
            caller.allowed("/api/v1/clusters", {"kind": kind})
    _leave_work(caller)


def _leave_work(caller: Server) -> None:
    """Begin a classification of all pictures and cancel it, once; last, so that Activity shows it."""
    if caller.call("/api/v1/jobs?kind=classify_images_task&limit=1")["results"]:
        return
    batch = caller.allowed("/api/v1/classifications/batches", {"all": True})
    if batch is not None:
        caller.allowed(f"/api/v1/jobs/{batch['id']}/cancel", {})


def _is_unsaid(person: Server, image: dict[str, Any], comment: dict[str, Any]) -> bool:
    said = person.every(f"/api/v1/images/{image['id']}/comments?limit=100")
    return comment["text"] not in {each["text"] for each in said}


def _verdicts(person: Server) -> list[dict[str, Any]]:
    return person.every("/api/v1/feedback?limit=100")


def _until_embedded(caller: Server) -> dict[str, dict[str, Any]]:
    """Return the scenes once no work on them waits, or PATIENCE_S later."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        images = _shown(caller)
        waiting = [each for each in images.values() if each["status"] in {"PENDING", "PROCESSING"}]
        if not waiting or time.monotonic() > deadline:
            return images
        time.sleep(0.3)


def close_walls(walls: Walls) -> None:
    """Take back the keys that were made."""
    for address in walls.keys:
        walls.people[CALLER].delete(address)
