"""Turns the colours of any profile into sRGB. It runs in the child process.

A profile is judged by what it does to colours, never by its name.
"""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from typing import Any

from PIL import Image, ImageChops, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SAME_WITHIN = 2
"""Levels of 255 that two profiles of the same colours may differ by, through rounding."""
MAX_KEPT = 8
"""Transforms that are kept; cameras and programs write few different profiles."""
PROBE_STEPS = 17
"""Levels of each band that are tried: 4,913 colours take 0.1 ms."""

_transforms: OrderedDict[tuple[bytes, str], Any] = OrderedDict()


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the picture in sRGB, as RGB.

    A missing, broken or unfitting profile counts as sRGB.

    Args:
        image: of eight bits, without transparency; with a profile RGB, L or CMYK.
        profile: an ICC profile of its colours.
    """
    if profile:
        tried = [image.mode, "RGB"] if image.mode == "L" else [image.mode]
        for mode in tried:
            transform = _transform(profile, mode)
            if transform is not None:
                converted = ImageCms.applyTransform(image.convert(mode), transform)
                assert converted is not None
                return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _transform(profile: bytes, mode: str) -> Any:
    """Return what applies a profile; None where nothing is to be done, or nothing can be."""
    key = (hashlib.sha256(profile).digest(), mode)
    if key in _transforms:
        _transforms.move_to_end(key)
        return _transforms[key]
    made: Any = None
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        made = ImageCms.buildTransform(opened, SRGB, mode, "RGB")
        if _changes_nothing(made, mode):
            made = None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        made = None
    _transforms[key] = made
    while len(_transforms) > MAX_KEPT:
        _transforms.popitem(last=False)
    return made


def _changes_nothing(transform: Any, mode: str) -> bool:
    """Return whether a transform leaves colours of every kind as they are."""
    if mode == "CMYK":
        return False
    steps = [round(255 * n / (PROBE_STEPS - 1)) for n in range(PROBE_STEPS)]
    colours = bytes(level for r in steps for g in steps for b in steps for level in (r, g, b))
    probe = Image.frombytes("RGB", (PROBE_STEPS**2, PROBE_STEPS), colours).convert(mode)
    seen = ImageCms.applyTransform(probe, transform)
    assert seen is not None
    bands = ImageChops.difference(seen, probe.convert("RGB")).split()
    return max(float(band.getextrema()[1]) for band in bands) <= SAME_WITHIN  # type: ignore[arg-type]
