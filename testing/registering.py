"""Register or take in a picture by plain keyword arguments, for tests that are about something else."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from mirada.db.idempotency import Once
from mirada.kernel.images import ImageFormat, PictureFacts
from mirada.pictures import intake, register
from mirada.pictures.intake import TakenIn
from mirada.pictures.new_image import FileClaims, NewImage, Processing, Texts
from mirada.pictures.register import NewPicture, Registered
from mirada.ports import StagedFile
from mirada.runtime import Runtime

TEXTS = ("filename", "prompt", "caption")
OF_IMAGE = ("is_public", "auto_caption", "is_once_per_owner")
CLAIMS = ("read_metadata", "made_by")


def new_picture(sha256: str) -> NewPicture:
    """Return a small GIF of that hash."""
    key = register.storage_key(sha256, ImageFormat.GIF)
    return NewPicture(sha256, 1, PictureFacts(ImageFormat.GIF, 1, 1, 1), key)


def register_image(
    session: Session,
    picture: NewPicture,
    *,
    owner_id: int,
    space_id: int | None = None,
    idempotency_key: str | None = None,
    fingerprint: str = "",
    **fields: Any,
) -> Registered:
    """Register a picture; `fields` are of Texts, NewImage and, by its names, Processing."""
    texts = Texts(**_taken(fields, TEXTS))
    image = NewImage(owner_id, texts, **_taken(fields, OF_IMAGE))
    return register.register_image(
        session,
        picture,
        image,
        Processing(space_id, **fields),
        request=Once(owner_id, idempotency_key, fingerprint),
    )


def take_in(
    runtime: Runtime,
    staged: StagedFile,
    *,
    owner_id: int,
    declared_media_type: str | None = "image/png",
    request_id: str | None = None,
    idempotency_key: str | None = None,
    together_with: intake.Together | None = None,
    **fields: Any,
) -> TakenIn:
    """Take a picture in as an upload does; `fields` are of Texts, NewImage and FileClaims."""
    texts = Texts(**_taken(fields, TEXTS))
    claims = FileClaims(declared_media_type, **_taken(fields, CLAIMS))
    return intake.take_in(
        runtime,
        staged,
        NewImage(owner_id, texts, **fields),
        claims,
        request_id=request_id,
        idempotency_key=idempotency_key,
        together_with=together_with,
    )


def _taken(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: fields.pop(name) for name in names if name in fields}
