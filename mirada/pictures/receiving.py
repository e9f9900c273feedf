"""Check the bytes of a received picture, before and outside any transaction."""

from __future__ import annotations

from mirada.kernel.errors import CorruptImage, UnsupportedImage
from mirada.kernel.images import MEDIA_TYPE_ALIASES, ImageFormat, PictureFacts
from mirada.ports import ImageDecoder, StagedFile

UNDECLARED = frozenset({"", "application/octet-stream", "binary/octet-stream", "image/*", "*/*"})
"""Media types that claim nothing; clients send them when they do not know."""


def receive(
    staged: StagedFile, declared_media_type: str | None, decoder: ImageDecoder
) -> PictureFacts:
    """Check received bytes outside any transaction: a picture, of the declared type, decodable.

    Args:
        staged: the file, completely written and flushed.
        declared_media_type: as the client sent it, parameters and all; None for no claim.
        decoder: decodes every pixel once.

    Raises:
        UnsupportedImage, CorruptImage, ImageTooLarge, Unavailable: as `ImageDecoder.inspect` does;
            UnsupportedImage also when the type is not the declared one.
    """
    if staged.byte_size == 0:
        raise CorruptImage("The file is empty.")
    facts = decoder.inspect(staged.path)
    require_declared_type(declared_media_type, facts.format)
    return facts


def require_declared_type(declared_media_type: str | None, fmt: ImageFormat) -> None:
    """Raise UnsupportedImage when a client claimed another type than the picture really is."""
    declared = (declared_media_type or "").partition(";")[0].strip().lower()
    declared = MEDIA_TYPE_ALIASES.get(declared, declared)
    if declared not in UNDECLARED and declared != fmt.media_type:
        raise UnsupportedImage(
            f"The file was sent as {declared[:100]} but it is a {fmt.value} picture. "
            f"Send it as {fmt.media_type}."
        )
