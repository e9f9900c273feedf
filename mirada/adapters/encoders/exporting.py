"""Exports an OpenCLIP model once: graphs, check against PyTorch, manifest. It needs PyTorch and `onnx`."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mirada.adapters.encoders.export_places import link_or_copy, move_export, work_folder
from mirada.adapters.encoders.exports import (
    LEAST_COSINE,
    PROBE_TEXTS,
    Export,
    Kept,
    probe_picture,
)
from mirada.adapters.encoders.graphs import export_tower, point_at_weights, put_weights_beside
from mirada.adapters.encoders.onnx_encoder import OnnxEncoder
from mirada.adapters.encoders.openclip import OpenClipEncoder
from mirada.adapters.encoders.probes import probe_of
from mirada.adapters.encoders.pytorch import how_to_install, require_pytorch
from mirada.adapters.encoders.tokens import in_rows, tokenizer_of
from mirada.kernel.embeddings import Matrix
from mirada.kernel.errors import EncoderUnavailable
from mirada.kernel.images import RgbImage
from mirada.ports import CalibratedEncoder

logger = logging.getLogger(__name__)

GRAPHS = ("image.onnx", "text.onnx")
TOKENIZER_NAME = "tokenizer.json"
TOP = 10
SAME_SCORE = 1e-4
"""Cosines that differ by no more may stand in either order."""


class Sample(NamedTuple):
    """Real pictures and texts to compare two engines with."""

    pictures: Sequence[RgbImage]
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Source:
    """The weights that an export is made from.

    Attributes:
        weights: files that the graphs may point at, if all are safetensors; () for none.
        digest: SHA-256 of the file where it lies in the hub's cache; "" for a folder's own.
        words: the hub's repository and file, the licence and the like, by name, for the manifest.
    """

    weights: Sequence[Path]
    digest: str
    words: dict[str, str]


class Agreement(NamedTuple):
    """How far two engines agree on a sample.

    Attributes:
        least_cosine: the least cosine of a picture's or text's two vectors.
        same_top: share of texts whose ten nearest pictures are the same, in [0, 1].
    """

    least_cosine: float
    same_top: float


def require_packages() -> None:
    """Raise EncoderUnavailable, with what to type, unless all that an export needs is installed."""
    require_pytorch("An export")
    require_onnx()


def require_onnx() -> None:
    """Raise EncoderUnavailable, with what to type, unless the package that writes graphs is installed."""
    if importlib.util.find_spec("onnx") is None:
        raise EncoderUnavailable(
            f"An export needs the package onnx, which is not installed: {how_to_install()}."
        )


def export(
    encoder: OpenClipEncoder, folder: Path, source: Source, sample: Sample
) -> tuple[Export, Agreement]:
    """Write the export of a loaded model into `folder`, and return it with what was checked.

    It is made and checked in a folder beside it, so that what was there before serves until the end.

    Raises:
        EncoderUnavailable: the model cannot be exported, or the graphs do not give its vectors.
    """
    require_packages()
    try:
        with work_folder(folder) as work:
            agreement = _make_and_check(encoder, work, source, sample)
            move_export(work, folder)
    except OSError as error:
        raise EncoderUnavailable(
            f"The ONNX graphs cannot be written to {folder}: {error.strerror or error}."
        ) from error
    written = Export.read(folder)
    assert written is not None
    return written, agreement


def _make_and_check(
    encoder: OpenClipEncoder, work: Path, source: Source, sample: Sample
) -> Agreement:
    made = _made(encoder, work, source)
    made.save()
    agreement = compare(encoder, OnnxEncoder(made), sample)
    if agreement.least_cosine < LEAST_COSINE or agreement.same_top < 1:
        raise EncoderUnavailable(
            f"The graphs of {encoder.space.name} do not give PyTorch's vectors: cosine "
            f"{agreement.least_cosine:.5f}, the same ten nearest for {agreement.same_top:.1%} of "
            "texts. They are not kept."
        )
    return agreement


def compare(first: CalibratedEncoder, second: CalibratedEncoder, sample: Sample) -> Agreement:
    """Return how far two encoders of one space agree on pictures and texts."""
    towers = [
        (encoder.encode_images(sample.pictures), encoder.encode_texts(sample.texts))
        for encoder in (first, second)
    ]
    (pictures, texts), (other_pictures, other_texts) = towers
    cosines = np.concatenate(
        [(pictures * other_pictures).sum(axis=1), (texts * other_texts).sum(axis=1)]
    )
    return Agreement(
        float(cosines.min()), same_top(texts @ pictures.T, other_texts @ other_pictures.T)
    )


def same_top(scores: Matrix, others: Matrix) -> float:
    """Return the share of rows with the same TOP best columns; ties may fall either way."""
    top = min(TOP, scores.shape[1])
    same = 0
    for row, other in zip(scores, others, strict=True):
        least = np.sort(row)[-top]
        best = np.argsort(-other)[:top]
        same += bool((row[best] >= least - SAME_SCORE).all())
    return same / max(1, len(scores))


def demo_sample(demo: Path, count: int = 64) -> Sample:
    """Return some of the demo's stickers, on white, and their names in three languages."""
    from PIL import Image

    listed = json.loads((demo / "stickers.json").read_text(encoding="utf-8"))["stickers"]
    pictures = []
    for sticker in listed[:count]:
        with Image.open(demo / sticker["file"]) as opened:
            rgba = opened.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        pictures.append(np.asarray(Image.alpha_composite(white, rgba).convert("RGB")))
    names = [
        sticker["names"][language] for sticker in listed[:count] for language in ("en", "es", "pt")
    ]
    return Sample(pictures, names)


def _made(encoder: OpenClipEncoder, work: Path, source: Source) -> Export:
    """Write graphs and tokenizer into `work`, and return what the manifest says of them."""
    described, tokens = _tokenizer(encoder, work)
    is_trimmed = _write_graphs(encoder, work, tokens)
    _share_weights(work, source.weights)
    space = encoder.space
    made_with = ", ".join(f"{name} {version(name)}" for name in ("torch", "open_clip_torch"))
    image_graph, text_graph = GRAPHS
    return Export(
        folder=work,
        encoder=space.encoder,
        pretrained=space.pretrained,
        preprocessing=encoder.steps.config,
        dimension=space.dimension,
        logit_scale=encoder.logit_scale,
        logit_bias=encoder.logit_bias,
        image_graph=image_graph,
        text_graph=text_graph,
        is_trimmed=is_trimmed,
        tokenizer=described,
        files={path.name: Kept.of(path) for path in sorted(work.iterdir())},
        weights=source.digest,
        probe=probe_of(encoder),
        origin={"made_with": made_with, **source.words},
    )


def _write_graphs(encoder: OpenClipEncoder, work: Path, tokens: Any) -> bool:
    """Write both graphs with their weights inside; return whether texts may have any length.

    Raises:
        EncoderUnavailable: PyTorch's exporter does not know what a tower is made of.
    """
    import torch

    from mirada.adapters.encoders.towers import ImageTower, text_tower_of

    image_path, text_path = (work / name for name in GRAPHS)
    texts = text_tower_of(encoder.model)
    pixels = torch.from_numpy(encoder.steps([probe_picture()] * 2))
    axes = {0: "n", 1: "length"} if texts.is_trimmed else {0: "n"}
    try:
        export_tower(ImageTower(encoder.model), pixels, image_path, "image", {0: "n"})
        export_tower(texts.tower, tokens, text_path, "tokens", axes)
    except OSError:
        raise
    except Exception as error:  # The exporter raises any error of its parts.
        raise EncoderUnavailable(
            f"{encoder.space.name} cannot be made into ONNX graphs: {error}"
        ) from error
    return texts.is_trimmed


def _share_weights(work: Path, weights: Sequence[Path]) -> None:
    """Let the graphs point at the weights where that is possible, else give them files of their own."""
    graphs = [work / name for name in GRAPHS]
    if not weights or any(file.suffix != ".safetensors" for file in weights):
        for graph in graphs:
            put_weights_beside(graph)
        return
    links = [work / file.name for file in weights]
    for file, link in zip(weights, links, strict=True):
        link_or_copy(file, link)
    try:
        for graph in graphs:
            point_at_weights(graph, links, "model.")
    except EncoderUnavailable as error:
        # Some old weights are stored under other names than the model has.
        logger.info("The graphs get weights of their own: %s", error)
        for graph in graphs:
            put_weights_beside(graph)
        for link in links:
            link.unlink()


def _tokenizer(encoder: OpenClipEncoder, work: Path) -> tuple[dict[str, Any], Any]:
    """Return the description of a model's tokenizer, and tokens of two texts for the example.

    Raises:
        EncoderUnavailable: without PyTorch the texts of PROBE_TEXTS would have other tokens.
    """
    theirs = encoder.tokenizer
    hub = getattr(theirs, "tokenizer", None)
    # SigLIP's tokenizer has no such attribute, and cleans as its other models do.
    clean = getattr(getattr(theirs, "clean_fn", None), "__name__", "_clean_canonicalize")
    described: dict[str, Any] = {
        "kind": "clip",
        "context_length": theirs.context_length,
        "clean": clean.removeprefix("_clean_"),
    }
    if hub is not None:
        hub.backend_tokenizer.save(str(work / TOKENIZER_NAME))
        described |= {"kind": "file", "file": TOKENIZER_NAME, "pad_id": hub.pad_token_id}
    ours = tokenizer_of(described, work)
    expected = theirs(list(PROBE_TEXTS))
    rows = in_rows(ours(PROBE_TEXTS), ours.context_length, ours.pad_id)
    if rows.shape != tuple(expected.shape) or not np.array_equal(rows, expected.numpy()):
        raise EncoderUnavailable(
            f"{encoder.space.name} has a tokenizer that needs PyTorch's libraries; it cannot be exported."
        )
    return described, expected[:2]
