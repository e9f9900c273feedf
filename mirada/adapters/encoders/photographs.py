"""The bundled encoder for stickers and photographs: the sticker model, and a tower for photographs beside it.

A drawn picture has exactly the vector that the sticker model alone gives it. What is a photograph has
one of the tower for photographs, in the same space of texts.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from mirada.adapters.encoders.exports import (
    LEAST_COSINE,
    ExportRefused,
    Kept,
    probe_picture,
    remedy,
)
from mirada.adapters.encoders.pixels import PictureSteps, require_rgb
from mirada.adapters.encoders.weights import PHOTO_WEIGHTS, PHOTOS_MANIFEST, digest_of
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, l2_normalise
from mirada.kernel.errors import EncoderUnavailable
from mirada.kernel.heap import give_back_now
from mirada.kernel.images import RgbImage
from mirada.ports import CalibratedEncoder

logger = logging.getLogger(__name__)

PHOTO_GRAPH = "photo_tower.onnx"
FORMAT = 1
"""Number of the manifest's form."""
MAX_PICTURES = 4
"""Pictures per run. More is no faster, and sixteen at once take 60 MB more."""
PhotoRows = Callable[[Any], Matrix]
"""(n, 3, side, side) pixels, n at most MAX_PICTURES -> (n, d + 1): unit vectors, then the share of photo."""


@dataclass(frozen=True, slots=True)
class PhotoFolder:
    """A tower for photographs, beside the sticker model in whose folder its own folder lies.

    Attributes:
        folder: where its files lie.
        name: of the encoder of both towers, in a space.
        stickers: digest of the sticker model's weights; its texts made this tower's classes.
        preprocessing: OpenCLIP's description of the steps from pixels to tensor.
        files: the files of the tower, by name.
        probe: (d + 1,) numbers that PyTorch gave for `probe_picture()`.
    """

    folder: Path
    name: str
    stickers: str
    preprocessing: Mapping[str, Any]
    files: Mapping[str, Kept]
    probe: Matrix

    @property
    def sticker_folder(self) -> Path:
        """The folder of the sticker model."""
        return self.folder.parent

    def save(self) -> None:
        """Write the manifest."""
        entry = {
            "format": FORMAT,
            "name": self.name,
            "stickers": self.stickers,
            "preprocessing": dict(self.preprocessing),
            "files": {name: asdict(kept) for name, kept in self.files.items()},
            "probe": base64.b64encode(self.probe.astype("<f4").tobytes()).decode("ascii"),
        }
        text = json.dumps(entry, indent=2, sort_keys=True)
        (self.folder / PHOTOS_MANIFEST).write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the tower in a folder; None when the folder has no manifest of one.

        Raises:
            EncoderUnavailable: the manifest cannot be read, a file is missing, cut off or changed,
                or the sticker model beside it is another one.
        """
        path = folder / PHOTOS_MANIFEST
        if not path.exists():
            return None
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            if entry.pop("format") != FORMAT:
                raise ValueError("another version's form")
            entry["files"] = {name: Kept(**kept) for name, kept in entry["files"].items()}
            entry["probe"] = np.frombuffer(base64.b64decode(entry["probe"]), dtype="<f4")
            found = cls(folder=folder, **entry)
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise EncoderUnavailable(
                f"{path} does not describe a tower for photographs ({error!r}). Fetch the folder again."
            ) from error
        found.require_whole()
        return found

    def require_whole(self) -> None:
        """Check every file against the manifest; raises EncoderUnavailable."""
        for name, kept in self.files.items():
            path = self.folder / name
            if not path.is_file() or Kept.of(path) != kept:
                raise EncoderUnavailable(
                    f"{path} is missing, cut off or of another model. Fetch the folder again."
                )

    def require_stickers(self, stickers: CalibratedEncoder) -> None:
        """Check that the sticker model is the one whose texts made the classes.

        Raises:
            EncoderUnavailable: it is another one; its texts lie elsewhere.
        """
        if stickers.space.pretrained != self.stickers:
            raise EncoderUnavailable(
                f"{self.folder} was made for the sticker model {self.stickers}, and "
                f"{self.sticker_folder} holds {stickers.space.pretrained}. Fetch the folder again."
            )


class PictureEncoder:
    """The sticker model and the tower for photographs as one encoder. Thread-safe.

    Attributes:
        space: the space of every vector; another one than the sticker model's alone.
        device: of both towers.
        input_side_px: longer side of the larger tower's input, in pixels.
        logit_scale, logit_bias: the sticker model's.
    """

    def __init__(
        self,
        tower: PhotoFolder,
        stickers: CalibratedEncoder,
        open_photos: Sequence[Callable[[], PhotoRows]],
        device: str,
    ) -> None:
        """Join both towers.

        The second is opened for the first picture, and compared with its probe, so that a command that
        embeds words alone does without it. A server has it once it has looked after its own health.

        Args:
            tower: what is known of the tower for photographs.
            stickers: the sticker model, loaded.
            open_photos: each loads the tower for photographs; one that is refused leaves it to the next.
            device: of both: "cpu", "cuda" or "mps".

        Raises:
            EncoderUnavailable: the sticker model is another one.
        """
        tower.require_stickers(stickers)
        self.stickers = stickers
        self._tower = tower
        self._open_photos = open_photos
        self._opening = threading.Lock()
        self._opened: PhotoRows | None = None
        self._steps = PictureSteps(tower.preprocessing)
        self.device = device
        self.input_side_px = max(stickers.input_side_px, self._steps.height)
        self.logit_scale, self.logit_bias = stickers.logit_scale, stickers.logit_bias
        self.space: EmbeddingSpace = replace(
            stickers.space,
            encoder=tower.name,
            pretrained=digest_of(tower.folder / PHOTO_WEIGHTS),
            preprocessing=f"{stickers.space.preprocessing}+{self._steps.version}",
        )
        logger.info("Encoder %s is ready.", self.space.name)

    def _photos(self, pixels: Any) -> Matrix:
        """Return the rows of the tower for photographs.

        Raises:
            ExportRefused: it cannot be loaded, or does not give PyTorch's numbers.
            EncoderUnavailable: the device fails.
        """
        with self._opening:
            if self._opened is None:
                self._opened = self._first_checked()
                give_back_now()
            opened = self._opened
        return opened(pixels)

    def _first_checked(self) -> PhotoRows:
        *others, last = self._open_photos
        for open_photos in others:
            try:
                return self._checked(open_photos())
            except ExportRefused as error:
                logger.warning("%s PyTorch is used instead.", error)
        return self._checked(last())

    def _checked(self, photos: PhotoRows) -> PhotoRows:
        given, probe = photos(self._steps([probe_picture()]))[0], self._tower.probe
        cosine = float(given[:-1] @ probe[:-1]) if given.shape == probe.shape else -1.0
        if not (cosine >= LEAST_COSINE and abs(given[-1] - probe[-1]) < 1e-3):
            raise ExportRefused(
                f"The graph in {self._tower.folder} disagrees with the vector that PyTorch gave: "
                f"cosine {cosine:.4f}, at least {LEAST_COSINE} is needed. {remedy()}"
            )
        return photos

    def encode_images(self, images: Sequence[RgbImage]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.ImageEncoder`."""
        require_rgb(images)
        vectors = self.stickers.encode_images(images)
        for at in range(0, len(images), MAX_PICTURES):
            rows = slice(at, at + MAX_PICTURES)
            vectors[rows] = joined(vectors[rows], self._photos(self._steps(images[rows])))
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`."""
        return self.stickers.encode_texts(texts)

    def photo_shares(self, images: Sequence[RgbImage]) -> Matrix:
        """Return (n,) in [0, 1]: how much of a photograph each picture is; 0 is drawn."""
        runs = range(0, len(images), MAX_PICTURES)
        rows = [self._photos(self._steps(images[at : at + MAX_PICTURES]))[:, -1] for at in runs]
        return np.concatenate([np.empty(0, dtype=np.float32), *rows])


def joined(stickers: Matrix, photos: Matrix) -> Matrix:
    """Return (n, d) unit rows: the sticker's vector where it is drawn, the photograph's where it is one.

    Args:
        stickers: (n, d) unit rows of the sticker model.
        photos: (n, d + 1) rows of the tower for photographs.

    Raises:
        EncoderUnavailable: a number is not finite.
    """
    if not np.isfinite(photos).all():
        raise EncoderUnavailable("The encoder failed: the tower for photographs gave no numbers.")
    vectors = stickers.copy()
    shares = photos[:, -1:]
    mixed = (shares > 0)[:, 0]
    if mixed.any():
        sums = (1 - shares[mixed]) * stickers[mixed] + shares[mixed] * photos[mixed, :-1]
        vectors[mixed] = l2_normalise(sums)
    return vectors


def on_onnx(tower: PhotoFolder, threads: int) -> PhotoRows:
    """Return the tower on ONNX Runtime, on the CPU.

    Raises:
        ExportRefused: the graph cannot be loaded.
    """
    from mirada.adapters.encoders.onnx_encoder import Session

    path = tower.folder / PHOTO_GRAPH
    try:
        session = Session(str(path), threads)
    except Exception as error:  # The runtime raises exceptions of its own that share no base.
        raise ExportRefused(f"{path} cannot be loaded ({error}). {remedy()}") from error

    def rows(pixels: Any) -> Matrix:
        try:
            found = session.run(pixels)
        except Exception as error:  # As above; out of memory is one of them.
            raise EncoderUnavailable(f"The encoder failed on cpu: {error}") from error
        return np.asarray(found, dtype=np.float32)

    return rows
