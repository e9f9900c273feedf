"""The image and text encoder of an exported model: ONNX Runtime on the CPU, without PyTorch.

Its space is the one that PyTorch has with the same weights: the vectors are the same.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

import numpy as np

from mirada.adapters.encoders.cores import own_threads
from mirada.adapters.encoders.exports import (
    PROBE_TEXTS,
    Export,
    ExportRefused,
    probe_picture,
    remedy,
)
from mirada.adapters.encoders.pixels import PictureSteps, require_rgb
from mirada.adapters.encoders.tokens import in_rows, tokenizer_of
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, l2_normalise
from mirada.kernel.errors import EncoderUnavailable, InvalidInput
from mirada.kernel.heap import may_hoard
from mirada.kernel.images import RgbImage

logger = logging.getLogger(__name__)

MAX_PICTURES = 16
"""Pictures per run; more is no faster on a CPU and takes memory."""
MAX_TEXTS = 8
"""Texts per run on one thread; sixteen at once are no faster."""


class OnnxEncoder:
    """Both towers of one exported model. Thread-safe: one run of each tower at a time.

    Attributes:
        space: the space of every vector of both towers.
        device: "cpu".
        input_side_px: longer side of the network's input, in pixels.
        logit_scale: factor from cosine to logit, > 0.
        logit_bias: summand of the logit; 0 for models trained with a softmax.
    """

    device = "cpu"

    def __init__(
        self, export: Export, threads: int | None = None, *, is_checked: bool = True
    ) -> None:
        """Load the graphs, and compare what they give with the export's probe.

        Args:
            export: the graphs and what is known of them.
            threads: of the image tower; None for this process's share of the cores.
            is_checked: False where the probe is still to be made from it.

        Raises:
            ExportRefused: a file is damaged or foreign, or a vector is not PyTorch's.
        """
        export.require_whole()
        try:
            self._steps = PictureSteps(export.preprocessing)
            self._tokenizer = tokenizer_of(export.tokenizer, export.folder)
        except EncoderUnavailable as error:
            raise ExportRefused(f"{error.detail} {remedy()}") from error
        # A query is short: a second thread gains little, and waits for its core beside busy neighbours.
        self._text = _Graph(export, export.text_graph, 2, threads=1, most=MAX_TEXTS)
        self._image = _Graph(
            export, export.image_graph, 4, threads=threads or own_threads(), most=MAX_PICTURES
        )
        if (self._text.length or math.inf) < self._tokenizer.context_length:
            raise ExportRefused(
                f"{export.folder / export.text_graph} takes {self._text.length} tokens of a text, and "
                f"its model has {self._tokenizer.context_length}. {remedy()}"
            )
        self._is_trimmed = export.is_trimmed and self._text.length is None
        self.input_side_px = max(self._steps.height, self._steps.width)
        self.logit_scale, self.logit_bias = export.logit_scale, export.logit_bias
        self.space = EmbeddingSpace(
            kind=SpaceKind.IMAGE,
            encoder=export.encoder,
            pretrained=export.pretrained,
            preprocessing=self._steps.version,
            dimension=export.dimension,
        )
        if is_checked:
            self._check(export)

    def _check(self, export: Export) -> None:
        try:
            probed = self.encode_texts(PROBE_TEXTS), self.encode_images([probe_picture()])
        except EncoderUnavailable as error:
            raise ExportRefused(
                f"The ONNX graphs in {export.folder} fail ({error}). {remedy()}"
            ) from error
        export.require_agreement(*probed)

    @classmethod
    def load(cls, export: Export, threads: int | None = None) -> Self:
        """Return the encoder of an export, and say so in the log; arguments and errors as above."""
        encoder = cls(export, threads)
        logger.info("Encoder %s is ready on ONNX Runtime.", encoder.space.name)
        return encoder

    def encode_images(self, images: Sequence[RgbImage]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.ImageEncoder`."""
        require_rgb(images)
        most = self._image.most
        batches = [images[at : at + most] for at in range(0, len(images), most)]
        return self._joined([self._image.run(self._steps(batch)) for batch in batches])

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (n, d) float32 unit rows; see `ports.TextEncoder`."""
        tokens = self._tokenizer(list(texts))
        # Texts of like length together: a run computes all of its rows at the longest one's length.
        order = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
        most = self._text.most
        vectors = np.empty((len(tokens), self.space.dimension), dtype=np.float32)
        for at in range(0, len(order), most):
            places = order[at : at + most]
            rows = [tokens[place] for place in places]
            full = self._text.length or self._tokenizer.context_length
            length = max(map(len, rows)) if self._is_trimmed else full
            vectors[places] = self._text.run(in_rows(rows, length, self._tokenizer.pad_id))
        return vectors

    def _joined(self, batches: list[Matrix]) -> Matrix:
        empty = np.empty((0, self.space.dimension), dtype=np.float32)
        return np.concatenate([empty, *batches])


class _Graph:
    """One graph, loaded.

    Attributes:
        most: rows of a run.
        length: the one length of rows that it takes; None for any.
    """

    def __init__(self, export: Export, name: str, rank: int, *, threads: int, most: int) -> None:
        """Load a graph whose input has `rank` axes; raises ExportRefused."""
        try:
            self._session = Session(str(export.folder / name), threads)
            taken = self._session.taken
            rows = taken.shape[0] if len(taken.shape) == rank else 0
            if isinstance(rows, int) and rows != 1:
                raise ValueError("it is not the tower that it should be")
        except Exception as error:  # The runtime raises exceptions of its own that share no base.
            raise ExportRefused(
                f"{export.folder / name} is not a graph that ONNX Runtime can load "
                f"({first_line(error)}). {remedy()}"
            ) from error
        self._type = np.int32 if "int32" in taken.type else None
        self.most = 1 if rows == 1 else most
        self.length = taken.shape[1] if isinstance(taken.shape[1], int) else None
        self._dimension = export.dimension

    def run(self, rows: Any) -> Matrix:
        """Return the unit vectors of (n, ...) rows, n at most `most`.

        Raises:
            EncoderUnavailable: the runtime fails, or gives something else than such vectors.
        """
        taken = rows if self._type is None else rows.astype(self._type)
        try:
            vectors = self._session.run(taken)
            if np.shape(vectors) != (len(rows), self._dimension):
                raise InvalidInput(
                    f"its vectors have the shape {np.shape(vectors)} and not "
                    f"{(len(rows), self._dimension)}"
                )
            return l2_normalise(np.asarray(vectors, dtype=np.float32))
        except InvalidInput as error:
            raise EncoderUnavailable(f"The encoder failed on cpu: {error}") from error
        except Exception as error:  # As above; out of memory is one of them.
            raise EncoderUnavailable(f"The encoder failed on cpu: {first_line(error)}") from error


class Session:
    """A graph with one input and one output, loaded on the CPU. Thread-safe: one run at a time.

    Attributes:
        taken: what the runtime tells of the input: its shape and type.
    """

    def __init__(self, path: str, threads: int) -> None:
        """Load a graph; raises any exception of the runtime, and ValueError for another kind of graph."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait by spinning take the cores of whoever they wait for.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        # A plan of buffers is kept for every length of texts and number of pictures, and makes nothing
        # quicker here: 15 MB after batches of 16. Weights beside the buffers leave no gaps among them.
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError("it is not the tower that it should be")
        (self.taken,) = inputs
        self._lock = threading.Lock()
        self._shrinking = onnxruntime.RunOptions()
        self._shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._largest: Any = None
        may_hoard(self)

    def run(self, rows: Any) -> Any:
        """Return the output for (n, ...) rows; raises any exception of the runtime."""
        with self._lock:
            if len(rows) > 1:
                self._largest = rows.shape, rows.dtype
            (found,) = self._session.run(None, {self.taken.name: rows})
            return found

    def give_back(self) -> None:
        """Free the buffers of runs of many rows: the runtime does that only at the end of a run."""
        with self._lock:
            if self._largest is None:
                return
            (_, *shape), dtype = self._largest
            self._largest = None
            with suppress(
                Exception
            ):  # Out of memory is one of them; then there is nothing to give.
                one = np.zeros((1, *shape), dtype)
                self._session.run(None, {self.taken.name: one}, self._shrinking)


def first_line(error: Exception) -> str:
    """Return the first line of what an error says; else its kind."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
