"""From a decoded picture to the tensor of an image tower: as OpenCLIP does it, without PyTorch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from mirada.kernel.errors import EncoderUnavailable, InvalidInput
from mirada.kernel.images import RgbImage

MAX_ASPECT = 32
"""Largest ratio of sides; the shorter side of a longer picture is repeated first. Resizing a picture of
16,384 x 1 pixels to a fixed shorter side would need gigabytes."""
MOST_SIDE_PX = 4096
"""Of a tensor; a number beyond is a mistake, and would take all memory."""
MEAN, STD = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
"""Of OpenAI's data set, which OpenCLIP takes where a model says nothing."""
DEFAULTS: dict[str, Any] = {
    "size": 224,
    "mode": "RGB",
    "mean": MEAN,
    "std": STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}
"""OpenCLIP's `PreprocessCfg`; its order does not matter, its names and values are part of a space."""
MODES = ("shortest", "longest", "squash")
Pixels = npt.NDArray[np.float32]


class PictureSteps:
    """The steps from pixels to tensor that one model was trained with.

    Attributes:
        config: OpenCLIP's description of the steps, every value named.
        height, width: size of the tensor in pixels.
        version: what the steps are called in a space, e.g. "openclip-64-bicubic-...".
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Read OpenCLIP's description of the steps; what is missing in it has OpenCLIP's default.

        Raises:
            EncoderUnavailable: it names steps that OpenCLIP does not have.
        """
        known = {**DEFAULTS, **{k: v for k, v in config.items() if k in DEFAULTS}}
        try:
            self._read(known)
        except (TypeError, ValueError) as error:
            raise EncoderUnavailable(
                f"The steps from picture to tensor are not described: {error}."
            ) from error

    def _read(self, known: dict[str, Any]) -> None:
        if known["mode"] != "RGB" or known["resize_mode"] not in MODES:
            raise EncoderUnavailable(
                f"The model wants pictures as {known['mode']}, resized by {known['resize_mode']!r}; "
                f"only RGB and {', '.join(MODES)} are known."
            )
        self.config = known
        size = known["size"]
        self.height, self.width = (size, size) if isinstance(size, int) else tuple(size)
        if not all(
            type(side) is int and 0 < side <= MOST_SIDE_PX for side in (self.height, self.width)
        ):
            raise ValueError(f"a side of {size} pixels")
        self._resize_mode = known["resize_mode"]
        is_bilinear = known["interpolation"] == "bilinear"
        self._filter = Image.Resampling.BILINEAR if is_bilinear else Image.Resampling.BICUBIC
        self._fill = (int(known["fill_color"]),) * 3
        self._mean, self._std = (
            np.asarray(known[name], dtype=np.float32).reshape(-1, 1, 1) for name in ("mean", "std")
        )
        if not {self._mean.size, self._std.size} <= {1, 3}:
            raise ValueError("a mean or deviation of other than three colours")
        self.version = _version(known, max(self.height, self.width))

    def __call__(self, images: Sequence[RgbImage]) -> Pixels:
        """Return the (n, 3, height, width) tensor of n pictures, each (h, w, 3) uint8."""
        rows = np.empty((len(images), 3, self.height, self.width), dtype=np.float32)
        for row, image in zip(rows, images, strict=True):
            fitted = np.asarray(self._fitted(_as_picture(image)))
            np.divide(fitted.transpose(2, 0, 1), np.float32(255), out=row)
            row -= self._mean
            row /= self._std
        return rows

    def _fitted(self, picture: Image.Image) -> Image.Image:
        """Return the picture at the size of the tensor: squashed, cut, or with a margin."""
        if self._resize_mode == "squash":
            return picture.resize((self.width, self.height), self._filter)
        if self._resize_mode == "shortest" and self.height == self.width:
            return _cropped(self._by_shorter_side(picture), self.height, self.width)
        # OpenCLIP takes bicubic here whatever the model says, unless the longer side is what fits.
        is_longest = self._resize_mode == "longest"
        ratios = (picture.height / self.height, picture.width / self.width)
        ratio = max(ratios) if is_longest else min(ratios)
        chosen = self._filter if is_longest else Image.Resampling.BICUBIC
        size = (round(picture.width / ratio), round(picture.height / ratio))
        resized = picture.resize(size, chosen)
        if is_longest:
            resized = self._with_margin(resized)
        return _cropped(resized, self.height, self.width)

    def _by_shorter_side(self, picture: Image.Image) -> Image.Image:
        shorter, longer = sorted(picture.size)
        new_longer = int(self.height * longer / shorter)
        is_tall = picture.width <= picture.height
        size = (self.height, new_longer) if is_tall else (new_longer, self.height)
        return picture.resize(size, self._filter)

    def _with_margin(self, picture: Image.Image) -> Image.Image:
        missing_x = max(0, self.width - picture.width)
        missing_y = max(0, self.height - picture.height)
        if not missing_x and not missing_y:
            return picture
        border = (missing_x // 2, missing_y // 2, (missing_x + 1) // 2, (missing_y + 1) // 2)
        return ImageOps.expand(picture, border, fill=self._fill)


def require_rgb(images: Sequence[RgbImage]) -> None:
    """Raise InvalidInput with the position of what is not (h, w, 3) uint8 with at least one pixel."""
    for position, image in enumerate(images):
        is_rgb = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3
        if not is_rgb or image.dtype != np.uint8 or 0 in image.shape:
            shape = getattr(image, "shape", type(image).__name__)
            raise InvalidInput(
                f"Picture {position} is {shape}, not (height, width, 3) uint8 with at least one "
                "pixel."
            )


def _version(config: dict[str, Any], side_px: int) -> str:
    """Return the version of the steps from pixels to tensor.

    The digest covers mean, standard deviation, resize mode and fill, which change vectors too.
    """
    settings = json.dumps(config, sort_keys=True, default=list).encode()
    digest = hashlib.sha256(settings).hexdigest()[:8]
    return f"openclip-{side_px}-{config['interpolation']}-{digest}-v1"


def _cropped(picture: Image.Image, height: int, width: int) -> Image.Image:
    top, left = round((picture.height - height) / 2), round((picture.width - width) / 2)
    if (picture.height, picture.width) == (height, width):
        return picture
    return picture.crop((left, top, left + width, top + height))


def _as_picture(image: RgbImage) -> Image.Image:
    """Return a Pillow image whose longer side is at most MAX_ASPECT times the shorter."""
    height, width = image.shape[:2]
    if height > MAX_ASPECT * width:
        image = np.repeat(image, -(-height // (MAX_ASPECT * width)), axis=1)
    elif width > MAX_ASPECT * height:
        image = np.repeat(image, -(-width // (MAX_ASPECT * height)), axis=0)
    return Image.fromarray(np.ascontiguousarray(image))
