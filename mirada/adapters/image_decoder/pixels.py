"""Decodes picture files, in every mode and orientation. It runs in the child process.

Pillow and standard library only, so that a child starts fast and stays small.
"""

from __future__ import annotations

import warnings
from typing import Any

from PIL import AvifImagePlugin, Image, ImageCms, ImageFile, PngImagePlugin

from mirada.adapters.image_decoder import colours, metadata, pillow_patches, stealth, webp
from mirada.adapters.image_decoder.opening import Limits, Source
from mirada.file_metadata.parsing import parse
from mirada.kernel.file_metadata import FileMetadata

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that makes a picture of each orientation upright: EXIF 2.32, table 4."""
MAX_PROFILE_BYTES = 16 * 1024 * 1024
"""Unpacked bytes of a PNG's colour profile; some printers' exceed Pillow's own limit of 1 MiB."""
TOO_MANY_PIXELS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
"""The errors by which Pillow reports a picture beyond the size limit."""
MAX_HANDED_BYTES = 2 * 1024 * 1024
"""Bytes of pixels that are worth handing over: more take as long to move as to decode again."""
WITHOUT_LOWEST_BIT = [0, 0, *(level | 1 for level in range(2, 256))]
"""Opacity by opacity. Copies keep alpha exactly, and generators hide texts in its lowest bit."""


def prepare(limits: Limits) -> None:
    """Set Pillow's global switches; call it once per process."""
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    PngImagePlugin.MAX_TEXT_CHUNK = MAX_PROFILE_BYTES
    # One thread: each would take its own share of the memory that the process may have.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pillow_patches.install()
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def inspect(
    path: str, limits: Limits, min_side_px: int = 0
) -> tuple[dict[str, Any], FileMetadata | None, bytes]:
    """Decode the first frame to its end, and read the file metadata.

    Args:
        path: of the file.
        limits: of its size.
        min_side_px: return the pixels that `decode` would for it as well; 0 returns none.

    Returns:
        The facts "format", "width", "height" (upright), "frames" (1, or 2 if animated) and "seen",
        which is [width, height] of the pixels. The file metadata; None where no generator is
        recognised. The pixels; b"" of animations, of what may be transparent, and of more than
        MAX_HANDED_BYTES.
    """
    with Source(path, limits) as source:
        width, height = source.header_size
        frames = 2 if source.is_animated else 1
        # A JPEG is read to its end at any scale; an eighth saves arithmetic.
        image = source.first(draft_px=max(1, min_side_px))
        if source.name != "JPEG":
            width, height = image.size
        if source.orientation(image) >= 5:
            width, height = height, width
        found = _metadata(source, image)
        seen, pixels = _opaque(source, image, min_side_px) if min_side_px else ([0, 0], b"")
        facts = {"format": source.name, "width": width, "height": height, "frames": frames}
        return facts | {"seen": seen}, found, pixels


def decode(path: str, min_side_px: int, limits: Limits) -> tuple[dict[str, Any], bytes]:
    """Return the facts "width" and "height" of the picture, and its upright sRGB pixels as bytes.

    Of an animation it is the first frame that shows something.
    """
    with Source(path, limits) as source:
        image, _ = _for_encoder(source, source.shown(min_side_px), min_side_px)
        return {"width": image.width, "height": image.height}, image.tobytes()


def see(
    path: str, min_side_px: int, max_side_px: int, limits: Limits
) -> tuple[dict[str, Any], bytes]:
    """Return what `decode` does, and behind the pixels their opacity and a thumbnail.

    There is no opacity of a picture that is transparent nowhere, and no thumbnail for a `max_side_px` of 0.
    One that cannot be made is empty as well, and costs nobody the pixels.
    """
    with Source(path, limits) as source:
        original = source.shown(min_side_px)
        image, alpha = _for_encoder(source, original, min_side_px)
        parts = [image.tobytes(), b"" if alpha is None else alpha.tobytes()]
        try:
            parts.append(_shrunk(source, original, max_side_px) if max_side_px else b"")
        except (
            Exception
        ):  # Pillow raises any error; one picture in a million must not be lost by it.
            parts.append(b"")
        facts = {"width": image.width, "height": image.height, "parts": [*map(len, parts)]}
        return facts, b"".join(parts)


def thumbnails(path: str, sides_px: list[int], limits: Limits) -> list[bytes]:
    """Return WebPs of the picture that fit squares; they keep transparency and have no metadata."""
    with Source(path, limits) as source:
        # Resizing from twice the size shows no visible loss.
        original = source.shown(2 * max(sides_px))
        return [_shrunk(source, original, side_px) for side_px in sides_px]


def _opaque(source: Source, original: Image.Image, min_side_px: int) -> tuple[list[int], bytes]:
    """Return the size and the pixels of a still, opaque picture as `decode` does; of others none."""
    may_be_clear = b"tRNS" in source.structure.marks or original.has_transparency_data
    if source.is_animated or may_be_clear:
        return [0, 0], b""
    try:
        image, _ = _for_encoder(source, original, min_side_px)
        is_small = 3 * image.width * image.height <= MAX_HANDED_BYTES
        return ([*image.size], image.tobytes()) if is_small else ([0, 0], b"")
    except Exception:  # As for thumbnails: the picture was decoded to its end, so it is taken.
        return [0, 0], b""


def _for_encoder(
    source: Source, original: Image.Image, min_side_px: int
) -> tuple[Image.Image, Image.Image | None]:
    """Return the picture on its background, and its opacity; None where it is transparent nowhere."""
    limits, alpha = source.limits, None
    image, profile = eight_bit(original), source.profile(original)
    if image.has_transparency_data:
        layered = coloured(image, profile)
        alpha = _opacity(layered)
        image, profile = Image.new("RGB", image.size, limits.background), None
        image.paste(layered, mask=layered.getchannel("A"))
    else:
        image = in_mode(image, _colour_mode(image, profile))
    factor = min(image.size) // min_side_px
    if factor > 1:
        # Whole factors keep the shorter side at or above `min_side_px`.
        image = image.reduce(factor)
        alpha = None if alpha is None else alpha.reduce(factor)
    turn = source.orientation(original)
    seen = upright(colours.to_srgb(image, profile), turn)
    return seen, None if alpha is None else upright(alpha, turn)


def _shrunk(source: Source, original: Image.Image, max_side_px: int) -> bytes:
    image, profile = eight_bit(original), source.profile(original)
    is_clear = image.has_transparency_data and not (profile and image.mode == "LA")
    image = image.convert("RGBA") if is_clear else image
    if image.mode not in ("RGBA", "LA"):
        image = image.convert(_colour_mode(image, profile))
    if image is original:
        # It is shrunk in place, and more is made of the original.
        image = image.copy()
    image.thumbnail((max_side_px, max_side_px), reducing_gap=webp.REDUCING_GAP)
    image = for_others(upright(coloured(image, profile), source.orientation(original)))
    return webp.written(image)


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return a picture turned as its orientation says."""
    turn = TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def coloured(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture of eight bits as sRGB: RGBA where it may be transparent, else RGB."""
    if not image.has_transparency_data:
        return colours.to_srgb(image, profile)
    if image.mode == "LA":
        base, alpha = image.getchannel("L"), image.getchannel("A")
    else:
        layered = image.convert("RGBA")
        base, alpha = layered.convert("RGB"), layered.getchannel("A")
    made = colours.to_srgb(base, profile)
    made.putalpha(alpha)
    return made


def for_others(image: Image.Image) -> Image.Image:
    """Return a picture in sRGB without anything beside or hidden in its pixels, to be kept as a WebP."""
    if image.mode == "RGBA":
        alpha = _opacity(image)
        image = image.convert("RGB")
        if alpha is not None:
            image.putalpha(alpha)
    # Pillow would write the profile, EXIF and XMP that it finds here.
    image.info = {}
    return image


def _opacity(layered: Image.Image) -> Image.Image | None:
    """Return the opacity of an RGBA picture without its lowest bit; None where nothing is transparent."""
    alpha = layered.getchannel("A").point(WITHOUT_LOWEST_BIT)
    return None if alpha.getextrema()[0] == 255 else alpha


def eight_bit(image: Image.Image) -> Image.Image:
    """Return a decoded picture in a mode of eight bits that Pillow converts to RGB."""
    if image.mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        made = ImageCms.profileToProfile(image, lab, colours.SRGB, outputMode="RGB")
        assert made is not None
        return made
    if image.mode in ("La", "RGBa"):
        return image.convert("LA" if image.mode == "La" else "RGBA")
    # Pillow keeps the high byte of 16-bit colour, but not of 16-bit grey.
    if not image.mode.startswith("I"):
        return image
    info = dict(image.info)
    grey = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    info.pop("transparency", None)
    grey.info = info
    return grey


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Return a picture in a mode; itself where it is in it, and no copy as Pillow would."""
    return image if image.mode == mode else image.convert(mode)


def _colour_mode(image: Image.Image, profile: bytes | None) -> str:
    """Return the mode in which the picture's profile can be applied; RGB where it has none."""
    return image.mode if profile and image.mode in ("CMYK", "L") else "RGB"


def _metadata(source: Source, image: Image.Image) -> FileMetadata | None:
    texts = metadata.texts(image.info, source.structure.texts)
    found = parse(texts)
    if found is not None and found.prompt is not None:
        return found
    hidden = stealth.texts(image)
    return (parse(texts | hidden) if hidden else None) or found
