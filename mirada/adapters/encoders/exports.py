"""An export of a model: ONNX graphs of both towers, and a manifest of what they were made from.

It is used only if its files are whole and belong to the weights that lie beside it. It must give the
vectors that PyTorch gave for a few texts and a picture.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from mirada.kernel.commands import command_line
from mirada.kernel.embeddings import Matrix
from mirada.kernel.errors import EncoderUnavailable
from mirada.kernel.images import RgbImage

MANIFEST_NAME = "onnx.json"
FORMAT = 1
"""Number of the manifest's form."""
HASHED_BYTES = 256 * 2**20
"""Files up to this size are hashed at every start (0.2 s); larger ones at their export and by the probe."""
LEAST_COSINE = 0.9999
"""What a vector and PyTorch's must have in common."""
PROBE_TEXTS = ("a red heart", "um gato a dormir no sofá", "¿dónde está el perro?", "")
PROBE_SIDE_PX = 96


class ExportRefused(EncoderUnavailable):
    """There is an export, and it cannot be trusted; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Vectors that PyTorch computed from the weights.

    Attributes:
        texts: (t, d) float32 unit rows of PROBE_TEXTS.
        pictures: (1, d) float32 unit rows of `probe_picture()`.
    """

    texts: Matrix
    pictures: Matrix

    def least_cosine(self, texts: Matrix, pictures: Matrix) -> float:
        """Return the least cosine between a vector here and the same of another engine."""
        pairs = ((self.texts, texts), (self.pictures, pictures))
        if any(ours.shape != theirs.shape for ours, theirs in pairs):
            return -1.0
        return min(float((ours * theirs).sum(axis=1).min()) for ours, theirs in pairs)

    def to_json(self) -> dict[str, str]:
        """Return both as text."""
        return {"texts": _to_text(self.texts), "pictures": _to_text(self.pictures)}

    @classmethod
    def from_json(cls, entry: Mapping[str, str], dimension: int) -> Self:
        """Return the probe of a manifest; raises ValueError or KeyError where it is none."""
        return cls(*(_from_text(entry[name], dimension) for name in ("texts", "pictures")))


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of an export.

    Attributes:
        bytes: its size.
        sha256: 64 hex digits.
    """

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if not (isinstance(self.bytes, int) and isinstance(self.sha256, str)):
            raise TypeError("a file has a size and a digest")

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the size and digest of a file as it is now."""
        with path.open("rb") as stream:
            return cls(path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())


@dataclass(frozen=True, slots=True)
class Export:
    """The contents of a manifest; see the module.

    Attributes:
        folder: where its files lie.
        encoder, pretrained: names of the model and its weights in a space.
        preprocessing: OpenCLIP's description of the steps from pixels to tensor.
        dimension: of the vectors.
        logit_scale, logit_bias: see `ports.CalibratedEncoder`.
        image_graph, text_graph: names of the files.
        is_trimmed: whether the text graph takes texts of any length up to the model's.
        tokenizer: its kind ("clip" or "file"), length, cleaning, and what its kind needs.
        files: every file of the export, the weights included, by name.
        weights: the digest of the hub's file that it was made from; "" for weights in `files`.
        probe: vectors that the graphs must give.
        origin: who made it, from what, and under which licence, as words by name.
    """

    folder: Path
    encoder: str
    pretrained: str
    preprocessing: Mapping[str, Any]
    dimension: int
    logit_scale: float
    logit_bias: float
    image_graph: str
    text_graph: str
    is_trimmed: bool
    tokenizer: Mapping[str, Any]
    files: Mapping[str, Kept]
    weights: str
    probe: Probe
    origin: Mapping[str, str]

    def save(self) -> None:
        """Write the manifest, after everything else: without it there is no export."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del fields["folder"]
        fields["files"] = {name: asdict(kept) for name, kept in self.files.items()}
        fields["probe"] = self.probe.to_json()
        text = json.dumps({"format": FORMAT, **fields}, indent=2, sort_keys=True)
        partial = self.folder / f"{MANIFEST_NAME}.partial"
        partial.write_text(f"{text}\n", encoding="utf-8")
        partial.replace(self.folder / MANIFEST_NAME)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the export in a folder; None when the folder has no manifest.

        Raises:
            ExportRefused: the manifest cannot be read.
        """
        path = folder / MANIFEST_NAME
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ExportRefused(f"{path} cannot be read ({error}). {remedy()}") from error
        try:
            if entry.pop("format") != FORMAT:
                raise ExportRefused(f"{path} has another version's form. {remedy()}")
            entry["files"] = {name: Kept(**kept) for name, kept in entry["files"].items()}
            entry["probe"] = Probe.from_json(entry["probe"], entry["dimension"])
            found = cls(folder=folder, **entry)
            found._require_plain()
            return found
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ExportRefused(
                f"{path} is not a manifest of graphs ({error!r}). {remedy()}"
            ) from error

    def _require_plain(self) -> None:
        """Check what the manifest says before anything is done with it.

        Raises:
            TypeError: a value is of another type than it should be.
            ValueError: a number is out of range, or a file lies elsewhere or is not listed.
        """
        named = [self.image_graph, self.text_graph]
        named += [self.tokenizer["file"]] if self.tokenizer["kind"] == "file" else []
        for name in named:
            if name not in self.files:
                raise ValueError(f"the file {name!r} is not listed")
        for name in self.files:
            # What lies elsewhere may be anybody's.
            if name in ("", "..") or Path(name).name != name:
                raise ValueError(f"the file {name!r} lies outside the folder")
        if not (self.dimension > 0 and 0 < self.logit_scale < math.inf):
            raise ValueError("the dimension or the scale is out of range")
        if not math.isfinite(self.logit_bias):
            raise ValueError("the bias is out of range")
        words = (self.encoder, self.pretrained, self.weights)
        if not all(isinstance(word, str) for word in words):
            raise TypeError("the names of the model and its weights are texts")
        if not isinstance(self.preprocessing, Mapping) or not isinstance(self.origin, Mapping):
            raise TypeError("the steps and the origin are objects")

    def require_whole(self) -> None:
        """Check every file against the manifest.

        Raises:
            ExportRefused: one is missing, cut off, or not the one that was checked.
        """
        for name, kept in self.files.items():
            path = self.folder / name
            try:
                size = path.stat().st_size
                if size != kept.bytes:
                    raise ExportRefused(
                        f"{path} is cut off or of another model: it has {size:,} bytes and not "
                        f"{kept.bytes:,}. {remedy()}"
                    )
                if size <= HASHED_BYTES and Kept.of(path) != kept:
                    raise ExportRefused(
                        f"{path} is damaged or of another model: its digest is not the one in "
                        f"{MANIFEST_NAME}. {remedy()}"
                    )
            except OSError as error:
                raise ExportRefused(f"{path} cannot be read. {remedy()}") from error

    def require_agreement(self, texts: Matrix, pictures: Matrix) -> None:
        """Check the vectors of PROBE_TEXTS and `probe_picture()` that the graphs gave.

        Raises:
            ExportRefused: they are not PyTorch's.
        """
        cosine = self.probe.least_cosine(texts, pictures)
        if not cosine >= LEAST_COSINE:
            raise ExportRefused(
                f"The ONNX graphs in {self.folder} disagree with the vectors that PyTorch gave: "
                f"cosine {cosine:.4f}, at least {LEAST_COSINE} is needed. {remedy()}"
            )


def remedy() -> str:
    """Return the end of every message about an export that cannot be trusted."""
    return (
        f"Make the graphs anew with `{command_line('models export')}`, or set ENCODER_ENGINE=torch."
    )


def probe_picture() -> RgbImage:
    """Return the picture of every probe: colours, edges and a little noise, the same everywhere."""
    side = np.arange(PROBE_SIDE_PX)
    across, down = np.meshgrid(side, side)
    red, green = across * 255 // (PROBE_SIDE_PX - 1), down * 255 // (PROBE_SIDE_PX - 1)
    blue = (across * 31 + down * 17) % 64 + 96
    picture = np.stack([red, green, blue], axis=-1).astype(np.uint8)
    picture[24:60, 30:70] = (240, 40, 60)
    return picture


def _to_text(rows: Matrix) -> str:
    return base64.b64encode(rows.astype("<f4").tobytes()).decode("ascii")


def _from_text(text: str, dimension: int) -> Matrix:
    rows = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4")
    return rows.reshape(-1, dimension).astype(np.float32)
