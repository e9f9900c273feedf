"""The job that fetches a picture from its address and takes it in as any upload."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from mirada.fetching import request
from mirada.fetching.request import FETCH_IMAGE, WantedPicture
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy, TimeLimit
from mirada.jobs.waiting import slot_of
from mirada.kernel.errors import (
    AddressRefused,
    CallFailed,
    CorruptImage,
    ImageTooLarge,
    UnfitAnswer,
    UnsupportedImage,
)
from mirada.kernel.reach import Named
from mirada.outgoing.calling import Answer, Caller, Limits
from mirada.outgoing.connecting import Rules
from mirada.pictures.intake import UNDECLARED, take_in
from mirada.pictures.new_image import FileClaims, NewImage, Texts
from mirada.ports import StagedFile
from mirada.runtime import Runtime

ACCEPT = "image/*, application/octet-stream;q=0.5"
TOTAL_S = 60.0
THREADS_PER_FETCH = 4
"""A fetch holds a thread as long as a slow server likes; most of a process's threads stay free."""
PASSING = frozenset({408, 425, 429})
"""Statuses below 500 that say nothing of the address."""


def fetcher_of(runtime: Runtime) -> Caller:
    """Return what fetches pictures in this process, within the operator's settings."""
    settings = runtime.settings
    return runtime.remembered(
        "fetcher",
        lambda: Caller(
            Rules(frozenset(settings.fetch_ports), Named.read(settings.fetch_hosts)),
            Limits(total_s=TOTAL_S, max_bytes=settings.max_upload_bytes),
        ),
    )


def fetch_image(runtime: Runtime, attempt: Attempt) -> None:
    """Fetch a picture and register it, once, however many attempts that takes."""
    with runtime.reading() as session:
        wanted = request.wanted_picture(session, attempt.job)
    if not runtime.settings.fetch_urls:
        raise AddressRefused(request.TURNED_OFF)
    with slot_of(runtime, FETCH_IMAGE, THREADS_PER_FETCH) as slot:
        slot.take()
        staged, media_type = _fetched(runtime, wanted.url)
    try:
        attempt.check()
        with _blaming_the_server():
            _register(runtime, attempt, wanted, staged, media_type)
    finally:
        staged.discard()


def _fetched(runtime: Runtime, url: str) -> tuple[StagedFile, str | None]:
    """Return the bytes at an address and the type that they were said to have."""
    staged = runtime.image_store.stage()
    try:
        with fetcher_of(runtime).get(url, accept=ACCEPT) as answer:
            media_type = _media_type(answer)
            for chunk in answer.chunks:
                staged.stream.write(chunk)
        staged.stream.flush()
    except BaseException:
        staged.discard()
        raise
    return staged, media_type


def _media_type(answer: Answer) -> str | None:
    """Return the declared type of a picture; None for none. Raises for whatever is no picture."""
    if answer.status >= 500 or answer.status in PASSING:
        raise CallFailed(f"The server answered with status {answer.status}.")
    if answer.status != 200:
        raise UnfitAnswer(
            f"The server answered with status {answer.status}, and not with the picture."
        )
    declared = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared in UNDECLARED:
        return None
    if not declared.startswith("image/"):
        raise UnfitAnswer(f"The server sends {declared[:100]!r}, which is no picture.")
    return declared


@contextmanager
def _blaming_the_server() -> Iterator[None]:
    """Tell that a picture cannot be taken in as what its server did: nobody here chose its bytes."""
    try:
        yield
    except UnsupportedImage as error:
        raise UnfitAnswer(
            "What the server sent is no picture of an accepted format, or not of the type that it said."
        ) from error
    except CorruptImage as error:
        raise UnfitAnswer(f"What the server sent is no whole picture. {error.detail}") from error
    except ImageTooLarge as error:
        raise UnfitAnswer(f"What the server sent is too large. {error.detail}") from error


def _register(
    runtime: Runtime,
    attempt: Attempt,
    wanted: WantedPicture,
    staged: StagedFile,
    media_type: str | None,
) -> None:
    take_in(
        runtime,
        staged,
        NewImage(
            attempt.job.owner_id or 0,
            Texts(_filename(wanted.url), wanted.prompt, wanted.caption),
            is_public=wanted.is_public,
            auto_caption=wanted.auto_caption,
            asset_id=wanted.asset_id,
            is_once_per_owner=wanted.is_once_per_owner,
            tags=wanted.tags,
        ),
        FileClaims(media_type, read_metadata=wanted.read_metadata),
        request_id=attempt.job.request_id,
        # In the same transaction: there is an image if and only if its job is done.
        together_with=lambda session, registered: request.finish(
            session, attempt.job.id, attempt.token, registered.image.id
        ),
    )


def _filename(url: str) -> str | None:
    """Return the last part of an address's path, as a file's name; None where there is none."""
    return unquote(urlsplit(url).path.rpartition("/")[2]) or None


KIND = Kind(
    FETCH_IMAGE,
    fetch_image,
    RetryPolicy(max_attempts=5, first_delay_s=30.0),
    TimeLimit(soft_s=120, hard_s=300),
    makes_image=True,
    title="Fetch a picture by its address",
)
