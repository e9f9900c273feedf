"""The drawing job: have a picture drawn, keep it, and take it in as any upload."""

from __future__ import annotations

import logging
import shutil

from mirada.drawing import request
from mirada.drawing.request import WantedDrawing
from mirada.jobs.kinds import Attempt, Kind, RetryPolicy
from mirada.jobs.waiting import slot_of
from mirada.kernel.drawing import sides_of
from mirada.kernel.errors import (
    CorruptImage,
    ImageTooLarge,
    MiradaError,
    NotFound,
    Unavailable,
    UnsupportedImage,
    UnusableReply,
)
from mirada.kernel.file_metadata import FileMetadata
from mirada.kernel.model_requests import Drawing, PictureToDraw
from mirada.language_model import paying, spending
from mirada.pictures.intake import take_in
from mirada.pictures.new_image import FileClaims, NewImage, Texts
from mirada.ports import StagedFile
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

GENERATOR = "OpenAI images API"
THREADS_PER_DRAWING = 4
"""A drawing holds a thread for minutes; most of a process's threads stay free for other jobs."""


def draw_image(runtime: Runtime, attempt: Attempt) -> None:
    """Have a picture drawn and register it, both once, however many attempts that takes."""
    job = attempt.job
    wanted, key = request.wanted_drawing(job), request.drawn_key(job)
    size = wanted.size or runtime.settings.generation_size
    if not _is_drawn(runtime, key):
        with runtime.reading() as session:
            request.require_asker(session, job)
        with slot_of(runtime, job.kind, THREADS_PER_DRAWING) as slot:
            slot.take()
            _draw(runtime, attempt, wanted.prompt, size, key)
    attempt.check()
    try:
        _register(runtime, attempt, wanted, size, key)
    except (UnsupportedImage, CorruptImage, ImageTooLarge) as error:
        # A retry by hand has another one drawn.
        _forget(runtime, key)
        raise UnusableReply(f"What was drawn cannot be kept. {error.detail}") from error
    _forget(runtime, key)


def _is_drawn(runtime: Runtime, key: str) -> bool:
    try:
        runtime.image_store.path(key)
    except NotFound:
        return False
    return True


def _draw(runtime: Runtime, attempt: Attempt, prompt: str, size: str, key: str) -> None:
    """Pay for a picture and keep its bytes under `key` before anything else happens."""
    settings = runtime.settings
    order = paying.order_of(attempt, spending.DRAWING, attempt.job.same_work)
    drawing = PictureToDraw(
        settings.generation_model,
        prompt,
        size,
        setting="GENERATION_MODEL",
        timeout_s=settings.generation_timeout_ms / 1000,
    )
    model = paying.language_model_of(runtime, drawing)
    # What could not be kept must not be paid for; nor what this process does not live to see.
    runtime.image_store.probe()
    attempt.check_long()
    with paying.paid_call(runtime, order, drawing, model=model) as drawn:
        _keep(runtime, drawn, key)


def _keep(runtime: Runtime, drawing: Drawing, key: str) -> None:
    most = runtime.settings.max_upload_bytes
    if len(drawing.picture) > most:
        raise UnusableReply(
            f"What was drawn has {len(drawing.picture):,} bytes, and MAX_UPLOAD_MB allows {most:,}."
        )
    try:
        staged = runtime.image_store.stage()
        try:
            staged.stream.write(drawing.picture)
            runtime.image_store.commit(staged, key)
        finally:
            staged.discard()
    except Unavailable as error:
        # Paid for and lost. To pay again by itself, as long as the disk is full, would be worse.
        raise UnusableReply(
            f"It was drawn and paid for, and could not be kept: {error.detail} Retry the job by "
            "hand when that is mended."
        ) from error


def _register(
    runtime: Runtime, attempt: Attempt, wanted: WantedDrawing, size: str, key: str
) -> None:
    width, height = sides_of(size)
    take_in(
        runtime,
        _staged_copy(runtime, key),
        NewImage(
            wanted.owner_id,
            Texts(prompt=wanted.prompt, caption=wanted.caption),
            is_public=wanted.is_public,
            auto_caption=wanted.auto_caption,
            is_beyond_quota=True,
        ),
        FileClaims(
            made_by=FileMetadata(
                GENERATOR,
                prompt=wanted.prompt,
                model=runtime.settings.generation_model,
                width=width,
                height=height,
            )
        ),
        request_id=attempt.job.request_id,
        # In the same transaction: there is an image if and only if its job is done.
        together_with=lambda session, registered: request.finish(
            session, attempt.job.id, attempt.token, registered.image.id
        ),
    )


def _staged_copy(runtime: Runtime, key: str) -> StagedFile:
    staged = runtime.image_store.stage()
    try:
        with runtime.image_store.path(key).open("rb") as drawn:
            shutil.copyfileobj(drawn, staged.stream)
    except BaseException as error:
        staged.discard()
        if isinstance(error, OSError):
            # Its text names a path of the server's.
            raise Unavailable("What was drawn cannot be read from the file store.") from error
        raise
    return staged


def _forget(runtime: Runtime, key: str) -> None:
    """Remove the kept drawing, an image by now; a failure leaves an orphan and is only logged."""
    try:
        runtime.image_store.delete(key)
    except MiradaError as error:
        logger.warning("A drawn picture stays behind as %s: %s", key, error)


KIND = Kind(
    request.GENERATE_IMAGE,
    draw_image,
    # Each silence may have been a picture that is paid for, so there are few.
    RetryPolicy(max_attempts=4, first_delay_s=10.0),
    makes_image=True,
    title="Draw a picture",
)
