"""Makes the export of a model that a setting names: which weights, where to, and whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mirada.adapters.encoders.engines import find_export
from mirada.adapters.encoders.export_places import export_folder, sha256_in_cache
from mirada.adapters.encoders.exporting import (
    Agreement,
    Source,
    demo_sample,
    export,
    require_onnx,
    require_packages,
)
from mirada.adapters.encoders.exports import Kept
from mirada.adapters.encoders.int8 import make_int8
from mirada.adapters.encoders.onnx_encoder import OnnxEncoder
from mirada.adapters.encoders.openclip import OpenClipEncoder
from mirada.adapters.encoders.weights import (
    PHOTOS_MANIFEST,
    model_folder,
    pretrained_entry,
    weights_file,
    weights_in,
)
from mirada.kernel.errors import EncoderUnavailable


class Exported(NamedTuple):
    """The export that was made, and how it was checked.

    Attributes:
        space: name of the vectors' space, which is PyTorch's.
        folder: where graphs and manifest lie.
        agreement: how far they agree with PyTorch.
        pictures, texts: how many were compared.
    """

    space: str
    folder: Path
    agreement: Agreement
    pictures: int
    texts: int


def export_model(
    model: str, pretrained: str | None, *, cache_dir: Path | None, demo: Path
) -> Exported:
    """Make the ONNX graphs of a model with PyTorch, compare them with it, and keep them.

    Args:
        model: OpenCLIP name, or a model folder.
        pretrained: weights tag or weights file; None for a folder.
        cache_dir: folder of downloads; None for the hub client's own cache.
        demo: folder of the demo, whose pictures and names are compared.

    Raises:
        InvalidInput: OpenCLIP knows no such name or tag.
        EncoderUnavailable: the weights or PyTorch are missing, the model cannot be exported, its graphs
            give other vectors, or there is no room for them.
    """
    folder = model_folder(model)
    if folder is not None and (folder / PHOTOS_MANIFEST).exists():
        raise EncoderUnavailable(
            f"{folder} ships with its graphs, and those of the sticker model lie in {folder.parent}: "
            "there is nothing to make."
        )
    require_packages()
    sample = demo_sample(demo)
    encoder = OpenClipEncoder.load(model, pretrained, device="cpu", cache_dir=cache_dir)
    folder = export_folder(model, pretrained, cache_dir)
    _, agreement = export(encoder, folder, _source(model, pretrained, cache_dir), sample)
    return Exported(encoder.space.name, folder, agreement, len(sample.pictures), len(sample.texts))


def export_int8(
    model: str, pretrained: str | None, *, cache_dir: Path | None, demo: Path
) -> Exported:
    """Make the 8-bit graphs of a model from its ONNX graphs, which are made first where there are none.

    Arguments and errors are those of `export_model`; PyTorch is needed only where graphs are missing.
    """
    require_onnx()
    exact = find_export(model, pretrained, cache_dir)
    if exact is None:
        export_model(model, pretrained, cache_dir=cache_dir, demo=demo)
        exact = find_export(model, pretrained, cache_dir)
        assert exact is not None
    sample = demo_sample(demo)
    made, agreement = make_int8(exact, cache_dir, sample)
    space = OnnxEncoder(made).space.name
    return Exported(space, made.folder, agreement, len(sample.pictures), len(sample.texts))


def _source(model: str, pretrained: str | None, cache_dir: Path | None) -> Source:
    folder = model_folder(model)
    if folder is not None:
        return Source([weights_in(folder)], "", {})
    if pretrained and Path(pretrained).is_file():
        return Source([Path(pretrained)], "", {})
    hub_file = weights_file(pretrained_entry(model, pretrained))
    cached = hub_file.cached(cache_dir)
    if cached is None:
        raise EncoderUnavailable(
            f"The weights of {model}/{pretrained} are not in the cache any more."
        )
    words = {"repository": hub_file.repository, "file": cached.name}
    return Source([cached], sha256_in_cache(cached) or Kept.of(cached).sha256, words)
