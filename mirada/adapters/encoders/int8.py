"""Makes 8-bit graphs from those of an export: smaller and quicker, with vectors and a space of their own."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mirada.adapters.encoders.export_places import INT8, cache_of, move_export, work_folder
from mirada.adapters.encoders.exporting import Agreement, Sample
from mirada.adapters.encoders.exports import Export, Kept
from mirada.adapters.encoders.graphs import SMALL_BYTES, put_weights_beside
from mirada.adapters.encoders.onnx_encoder import OnnxEncoder, first_line
from mirada.adapters.encoders.probes import probe_of
from mirada.kernel.errors import EncoderUnavailable

if TYPE_CHECKING:
    import onnx

LEAST_MEAN_COSINE = 0.97
"""Less in common with the exact vectors means that a tower cannot be computed with 8 bits."""
LEAST_OVERLAP = 0.8
"""The same for the ten pictures that are nearest to a text."""
QUANTISED = ("MatMul", "Gemm", "Gather")
"""Operators whose weights become 8-bit. A convolution would be slower for it on a CPU."""
TOP = 10


def make_int8(exact: Export, cache_dir: Path | None, sample: Sample) -> tuple[Export, Agreement]:
    """Write the 8-bit export of an exact one into the folder of downloads, and return it with the check.

    Weights have 7 bits of the 8: with all of them, sums overflow on processors without VNNI, and the
    vectors would depend on the machine. A run takes one picture or text, because the scale of its numbers
    is found in each run, and would depend on whatever else is in it.

    Raises:
        EncoderUnavailable: the vectors have too little in common with the exact ones, or there is no room.
    """
    tag = f"{exact.pretrained}{INT8}"
    folder = cache_of(cache_dir) / "onnx" / f"{exact.encoder}--{tag}"
    try:
        with work_folder(folder) as work:
            described = _made(exact, work, tag)
            described.save()
            agreement = _compare(OnnxEncoder(exact), OnnxEncoder(described), sample)
            if agreement.least_cosine < LEAST_MEAN_COSINE or agreement.same_top < LEAST_OVERLAP:
                raise EncoderUnavailable(
                    f"With 8 bits {exact.encoder} {exact.pretrained} gives other vectors: cosine "
                    f"{agreement.least_cosine:.3f} with the exact ones, {agreement.same_top:.0%} of the "
                    "ten nearest. They are not kept."
                )
            move_export(work, folder)
    except OSError as error:
        raise EncoderUnavailable(
            f"The ONNX graphs cannot be written to {folder}: {error.strerror or error}."
        ) from error
    written = Export.read(folder)
    assert written is not None
    return written, agreement


def _made(exact: Export, work: Path, tag: str) -> Export:
    for name in (exact.image_graph, exact.text_graph):
        try:
            _quantise(exact.folder / name, work / name)
        except OSError:
            raise
        except (
            Exception
        ) as error:  # The runtime writes files too, and both raise any error of their parts.
            raise EncoderUnavailable(
                f"{exact.folder / name} cannot be made into an 8-bit graph: {first_line(error)}. "
                "Nothing is kept."
            ) from error
    if exact.tokenizer["kind"] == "file":
        shutil.copyfile(exact.folder / exact.tokenizer["file"], work / exact.tokenizer["file"])
    described = replace(
        exact,
        folder=work,
        pretrained=tag,
        files={path.name: Kept.of(path) for path in sorted(work.iterdir())},
        weights="",
        origin={"made_from": exact.pretrained, **exact.origin},
    )
    encoder = OnnxEncoder(described, is_checked=False)
    return replace(described, probe=probe_of(encoder))


def _quantise(exact: Path, path: Path) -> None:
    """Write the 8-bit form of a graph."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options = onnxruntime.SessionOptions()
    # Weights that are cast or turned become plain ones, which alone are made 8-bit.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    plain = path.with_name(f"plain-{path.name}")
    options.optimized_model_filepath = str(plain)
    options.log_severity_level = 4
    weights = plain.with_suffix(".weights")
    name = "session.optimized_model_external_initializers"
    options.add_session_config_entry(f"{name}_file_name", weights.name)
    options.add_session_config_entry(f"{name}_min_size_in_bytes", str(SMALL_BYTES))
    onnxruntime.InferenceSession(str(exact), options, providers=["CPUExecutionProvider"])
    # The library warns that the graph was not made plain, which has just been done.
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(
            str(plain),
            str(path),
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    finally:
        logging.disable(logging.NOTSET)
    plain.unlink()
    weights.unlink(missing_ok=True)
    model = onnx.load(str(path))
    _one_by_one(model)
    path.write_bytes(model.SerializeToString())
    put_weights_beside(path)


def _one_by_one(model: onnx.ModelProto) -> None:
    """Let a graph say that it takes one row a run."""
    (taken,) = model.graph.input
    axis = taken.type.tensor_type.shape.dim[0]
    axis.ClearField("dim_param")
    axis.dim_value = 1


def _compare(exact: OnnxEncoder, small: OnnxEncoder, sample: Sample) -> Agreement:
    """Return the mean cosine of the vectors, and the share of the ten nearest that are the same."""
    pictures = exact.encode_images(sample.pictures), small.encode_images(sample.pictures)
    texts = exact.encode_texts(sample.texts), small.encode_texts(sample.texts)
    cosines = np.concatenate([(first * other).sum(axis=1) for first, other in (pictures, texts)])
    top = min(TOP, len(sample.pictures))
    nearest = [
        np.argsort(-(asked @ found.T), axis=1)[:, :top]
        for asked, found in zip(texts, pictures, strict=True)
    ]
    shared = [
        len(np.intersect1d(first, other)) / top for first, other in zip(*nearest, strict=True)
    ]
    return Agreement(float(cosines.mean()), float(np.mean(shared)))
