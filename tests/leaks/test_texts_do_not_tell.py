"""Who writes what somebody else has written in private learns it from nothing, before their job or after."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from mirada.captions.writing import CAPTION_IMAGE
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs import sweep
from testing.encoders import CountingEncoder
from tests.leaks.exchange import Reply, Upload
from tests.leaks.people import newcomers
from tests.leaks.test_copies_do_not_tell import Uploader, comparable, parting
from tests.leaks.world import World, drawn
from workers.runner import run_job

SOURCES = {"prompt": "prompts", "caption": "captions"}
"""What somebody may write, and what is compared with it."""
GUESSED = {"prompt": "prompt", "caption": "caption", "description": "caption"}
"""Whose words are guessed: another person's prompt or caption, or what a model said of their picture; and
where the guess is written."""
OTHER_JOBS = {"prompt": CAPTION_IMAGE, "caption": CREATE_EMBEDDINGS}
"""What may be done before the job that comes to the text."""


@dataclass
class Writer(Uploader):
    """Somebody new with a picture of their own and a text that somebody else may have written.

    Attributes:
        field: "prompt" or "caption": what the text is of their image.
        text: the text.
        is_typed: it is typed when the image is READY, in place of being sent with the picture.
    """

    field: str = "prompt"
    text: str = ""
    is_typed: bool = True

    def upload(self) -> Iterator[tuple[str, Reply]]:
        form = {"prompt": "mine alone", "caption": "what I see"}
        if not self.is_typed:
            form[self.field] = self.text
        sent = (("file", Upload(self.content, "mine.png", "image/png")), *form.items())
        reply = self.ask("POST", "/api/v1/images", form=sent)
        self.image = json.loads(reply.body)["url"]
        yield "upload", reply

    def type_text(self) -> Iterator[tuple[str, Reply]]:
        yield "type", self.ask("PATCH", self.image, json={self.field: self.text})

    def questions(self) -> Iterator[tuple[str, Reply]]:
        """Ask everything whose answer might depend on the text's vector; the first one finds it by it."""
        image_id = int(self.image.rpartition("/")[2])
        search, source = "/api/v1/search", SOURCES[self.field]
        asked: list[tuple[str, str, dict[str, Any]]] = [
            (
                "POST",
                search,
                {"json": {"text": self.text, "weights": {source: 1}, "mine": True}},
            ),
            ("POST", search, {"json": {"text": self.text, "in": "prompts"}}),
            ("POST", search, {"json": {"text": self.text, "in": "all"}}),
            ("POST", search, {"json": {"image_id": image_id, "in": "prompts"}}),
            ("POST", search, {"json": {"image_id": image_id}}),
            ("POST", "/api/v1/images/search", {"json": {"query": self.text}}),
            ("GET", f"{self.image}/related", {"query": (("limit", "20"), ("blend", "1"))}),
            ("GET", f"/api/images/{image_id}/related", {"query": (("limit", "20"),)}),
            ("GET", "/api/users/me/style-suggestions", {"query": (("limit", "10"),)}),
            ("GET", "/api/v1/users/me/memory", {}),
            ("GET", "/api/v1/suggestions", {"query": (("q", self.text),)}),
            ("GET", self.image, {}),
            ("GET", "/api/v1/images", {"query": (("mine", "true"),)}),
            ("GET", "/api/v1/jobs", {}),
            ("GET", "/api/v1/usage", {}),
            ("GET", "/api/v1/indexes/image", {}),
        ]
        for method, path, parts in asked:
            self.world.refresh()
            yield f"{method} {path} {parts}", self.ask(method, path, **parts)


def do_jobs(world: World, kind: str) -> None:
    """Work what is due of one kind alone."""
    with world.runtime.reading() as session:
        due = [job.id for job in sweep.due_jobs(session) if job.kind == kind]
    for job_id in due:
        run_job(world.runtime, job_id)


def life(world: World, writer: Writer) -> list[tuple[str, Any]]:
    """Return what somebody is answered until they take everything away again."""
    base_seq = world.change_seq()
    told: list[tuple[str, Any]] = []

    def note(steps: Iterator[tuple[str, Reply]]) -> None:
        for step, reply in steps:
            status, text = comparable(world, writer, reply, base_seq)
            name = step.replace(writer.image.rpartition("/")[2], "IMAGE")
            told.append(
                (name.replace(writer.text, "TEXT"), (status, text.replace(writer.text, "TEXT")))
            )

    note(writer.upload())
    if writer.is_typed:
        world.settle()
        note(writer.type_text())
    note(writer.questions())
    do_jobs(world, OTHER_JOBS[writer.field])
    note(writer.questions())
    world.settle()
    note(writer.questions())
    note(writer.leave())
    world.settle()
    return told


def finds_own(told: Sequence[tuple[str, Any]]) -> list[bool]:
    """Return, time by time, whether the writer was found by the text itself."""
    asked = [reply for step, reply in told if "'mine': True" in step]
    return [re.search(r'"similarity":(?:1\.|0\.999)', text) is not None for _, text in asked]


def private_words(world: World, field: str) -> tuple[str, str]:
    """Return what is said of the owner's private picture, and the word of it that nobody else has."""
    private = world.pictures["private"]
    if field == "description":
        said: str = world.told("owner", "GET", private.url)["description"]
        return said, said.split()[1]
    words = private.words[field]
    return (f"a {words} in oil, film still" if field == "prompt" else f"{words} at dusk"), words


def assert_alike(
    world: World, monkeypatch: pytest.MonkeyPatch, field: str, *, is_typed: bool
) -> None:
    # What earlier tests left to be done would be worked in one of the two lives.
    world.settle()
    letter = f"{field[0]}{'t' if is_typed else 's'}"
    known, words = private_words(world, field)
    fresh, field = known.replace(words, words[::-1]), GUESSED[field]
    names = [f"{letter}1", f"{letter}2"]
    world.keys |= dict(zip(names, newcomers(world.runtime, 2, letter), strict=True))
    encode = CountingEncoder._vectors

    def alike(inputs: Sequence[bytes]) -> Any:
        return encode([known.encode() if each == fresh.encode() else each for each in inputs])

    # Both texts mean the same, so that replies differ in nothing but whether there is a vector.
    monkeypatch.setattr(CountingEncoder, "_vectors", staticmethod(alike))
    picture = drawn(640)
    lives = [
        life(world, Writer(world, who, picture, field=field, text=text, is_typed=is_typed))
        for who, text in zip(names, (known, fresh), strict=True)
    ]
    assert finds_own(lives[1]) == [False, False, True], "the judge is blind"
    differences = [
        f"{step}\n{parting(str(mine), str(theirs))}"
        for (step, mine), (_, theirs) in zip(*lives, strict=True)
        if mine != theirs
    ]
    assert not differences, f"{len(differences)} differ:\n" + "\n".join(differences[:6])


FIELDS = pytest.mark.parametrize("field", list(GUESSED))
TYPED = pytest.mark.parametrize("is_typed", [True, False], ids=["typed", "sent"])


@FIELDS
@TYPED
def test_a_guessed_text_is_answered_like_one_that_nobody_wrote(
    world: World, monkeypatch: pytest.MonkeyPatch, field: str, is_typed: bool
) -> None:
    assert_alike(world, monkeypatch, field, is_typed=is_typed)


@pytest.mark.mariadb
@FIELDS
@TYPED
def test_it_is_so_on_mariadb_too(
    mariadb_world: World, monkeypatch: pytest.MonkeyPatch, field: str, is_typed: bool
) -> None:
    assert_alike(mariadb_world, monkeypatch, field, is_typed=is_typed)
