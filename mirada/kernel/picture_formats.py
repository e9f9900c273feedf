"""The accepted picture formats: their names, media types and first bytes. Standard library only."""

from __future__ import annotations

from enum import StrEnum


class ImageFormat(StrEnum):
    """The accepted container formats, by Pillow's names."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    GIF = "GIF"
    AVIF = "AVIF"
    HEIC = "HEIC"
    TIFF = "TIFF"
    BMP = "BMP"

    @property
    def media_type(self) -> str:
        """Return the registered media type, e.g. "image/jpeg"."""
        return f"image/{self.value.lower()}"

    @property
    def extension(self) -> str:
        """Return the usual file extension without a dot, e.g. "jpg"."""
        return "jpg" if self is ImageFormat.JPEG else self.value.lower()

    @property
    def is_for_browsers(self) -> bool:
        """Return whether every browser shows such a file."""
        return self not in (ImageFormat.HEIC, ImageFormat.TIFF)


FORMATS_NAMED = "JPEG, PNG, WebP, GIF, AVIF, HEIC, TIFF or BMP"
"""All of them in words, for messages and documents."""
MEDIA_TYPE_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/jpe": "image/jpeg",
    "image/jfif": "image/jpeg",
    "image/pipeg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-jpeg": "image/jpeg",
    "image/x-citrix-jpeg": "image/jpeg",
    "image/mpo": "image/jpeg",
    "image/apng": "image/png",
    "image/vnd.mozilla.apng": "image/png",
    "image/x-png": "image/png",
    "image/x-citrix-png": "image/png",
    "image/x-webp": "image/webp",
    "image/x-gif": "image/gif",
    "image/avif-sequence": "image/avif",
    "image/heif": "image/heic",
    "image/heif-sequence": "image/heic",
    "image/heic-sequence": "image/heic",
    "image/tif": "image/tiff",
    "image/x-tif": "image/tiff",
    "image/x-tiff": "image/tiff",
    "image/x-bmp": "image/bmp",
    "image/x-ms-bmp": "image/bmp",
    "image/x-windows-bmp": "image/bmp",
    "image/x-win-bitmap": "image/bmp",
}
"""Other media types that clients send for accepted formats, and the type that each stands for."""
SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".pjpeg", ".pjp", ".mpo"),
        *(".png", ".apng", ".webp", ".gif", ".avif", ".avifs"),
        *(".heic", ".heics", ".heif", ".heifs", ".hif", ".tif", ".tiff", ".bmp", ".dib"),
    }
)
"""Suffixes of files that claim to be such pictures, in small letters."""
MAGICS = (
    (ImageFormat.JPEG, b"\xff\xd8\xff"),
    (ImageFormat.PNG, b"\x89PNG\r\n\x1a\n"),
    (ImageFormat.GIF, b"GIF87a"),
    (ImageFormat.GIF, b"GIF89a"),
    (ImageFormat.TIFF, b"II*\0"),
    (ImageFormat.TIFF, b"MM\0*"),
    (ImageFormat.TIFF, b"II+\0"),
    (ImageFormat.TIFF, b"MM\0+"),
)
"""The first bytes: ITU-T T.81, B.1; PNG 3rd edition, 5.2; GIF89a specification, 17; TIFF 6.0, section 2,
and BigTIFF."""
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
"""Brands of pictures in boxes: AVIF 1.1, 8; ISO/IEC 23008-12, B.4 and 10.2."""
BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
"""Lengths of a BMP's second header. Two letters alone would make a picture of any text with "BM"."""
SNIFF_BYTES = 64
"""First bytes of a file that `sniff` looks at; a box of brands is rarely longer."""


def sniff(head: bytes) -> ImageFormat | None:
    """Return the accepted format of a file by its first bytes; None for others.

    A file that ends inside the magic number counts as that format: it is cut off, not foreign.

    Args:
        head: the first SNIFF_BYTES bytes; fewer when the file is shorter; at least one.
    """
    for found, magic in MAGICS:
        if head.startswith(magic) or magic.startswith(head):
            return found
    if b"RIFF".startswith(head) or (head.startswith(b"RIFF") and b"WEBP".startswith(head[8:12])):
        return ImageFormat.WEBP
    if head[4:8] == b"ftyp":
        return _by_brands(head)
    if b"BM".startswith(head[:2]):
        length = int.from_bytes(head[14:18], "little")
        return ImageFormat.BMP if len(head) < 18 or length in BMP_HEADERS else None
    return None


def _by_brands(head: bytes) -> ImageFormat | None:
    # ISO/IEC 14496-12, 4.3: size, type, major brand, version, then compatible brands.
    listed = head[16 : int.from_bytes(head[:4])]
    brands = {head[8:12]} | {listed[at : at + 4] for at in range(0, len(listed), 4)}
    if brands & AVIF_BRANDS:
        return ImageFormat.AVIF
    return ImageFormat.HEIC if brands & HEIC_BRANDS else None
