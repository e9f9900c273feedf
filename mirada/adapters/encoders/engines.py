"""Loads an encoder on the engine that ENCODER_ENGINE means: ONNX Runtime, or PyTorch."""

from __future__ import annotations

import logging
import platform
import sys
from ctypes.util import find_library
from enum import StrEnum
from pathlib import Path

from mirada.adapters.encoders.cores import own_threads
from mirada.adapters.encoders.export_places import (
    INT8,
    cached_digest,
    export_folder,
    has_graphs_alone,
    space_names,
)
from mirada.adapters.encoders.exports import Export, ExportRefused, remedy
from mirada.adapters.encoders.hub import HUB_WAIT_S, hub_reachable
from mirada.adapters.encoders.model_choice import choose_model
from mirada.adapters.encoders.photographs import PhotoFolder, PhotoRows, PictureEncoder, on_onnx
from mirada.adapters.encoders.probes import find_probe, keep_probe
from mirada.adapters.encoders.published import PUBLISHED, published_in_cache, take_published
from mirada.adapters.encoders.pytorch import packages_missing, require_pytorch
from mirada.adapters.encoders.weights import model_folder
from mirada.kernel.commands import command_line
from mirada.kernel.errors import EncoderUnavailable
from mirada.ports import CalibratedEncoder

logger = logging.getLogger(__name__)


class Engine(StrEnum):
    """The library that computes vectors. AUTO is ONNX on a CPU where the model has an export, else TORCH."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"


def load_encoder(
    model: str,
    pretrained: str | None = None,
    *,
    engine: str = Engine.AUTO,
    device: str = "auto",
    cache_dir: Path | None = None,
    allow_download: bool = True,
) -> CalibratedEncoder:
    """Load a model by OpenCLIP name and weights tag, or from a folder; the space is the same on each engine.

    Args:
        model: OpenCLIP name such as "ViT-B-32", or a model folder.
        pretrained: weights tag or weights file; None for a folder.
        engine: one of `Engine`.
        device: "auto", "cpu", "cuda" or "mps". ONNX computes on the CPU only.
        cache_dir: folder of downloads; None for the hub client's own cache.
        allow_download: whether weights may be downloaded.

    Raises:
        InvalidInput: OpenCLIP knows no such name or tag.
        EncoderUnavailable: the weights or the export are missing, damaged or do not fit, the hub
            cannot be reached, or the device or PyTorch does not exist.
    """
    if has_graphs_alone(model, pretrained):
        engine = Engine.ONNX
    if engine == Engine.ONNX and device not in ("auto", "cpu"):
        raise EncoderUnavailable(
            f"ENCODER_ENGINE=onnx computes on the CPU, and EMBEDDINGS_DEVICE is {device}. Set "
            "ENCODER_ENGINE=torch for it, or EMBEDDINGS_DEVICE=cpu."
        )
    on_cpu = device == "cpu" or (device == "auto" and not may_have_accelerator())
    if engine == Engine.ONNX or (engine == Engine.AUTO and on_cpu):
        is_needed = engine == Engine.ONNX
        encoder = _from_export(
            model, pretrained, cache_dir, allow_download=allow_download, is_needed=is_needed
        )
        if encoder is not None:
            return encoder
    if engine == Engine.TORCH:
        # The model may do without it.
        require_pytorch("ENCODER_ENGINE=torch")
    return _on_torch(model, pretrained, device, cache_dir, allow_download)


def load_chosen(
    model: str,
    pretrained: str | None,
    *,
    bundled: Path,
    pinned: tuple[str, str] | None,
    engine: str,
    device: str,
    cache_dir: Path | None,
) -> CalibratedEncoder:
    """Load the model that `choose_model` chooses.

    When it cannot be loaded, "auto" without a pinned space loads the bundled model. Arguments and
    errors are those of `choose_model` and `load_encoder`.
    """

    def load(chosen: tuple[str, str | None]) -> CalibratedEncoder:
        return load_encoder(*chosen, engine=engine, device=device, cache_dir=cache_dir)

    chosen = choose_model(model, pretrained, bundled=bundled, pinned=pinned, cache_dir=cache_dir)
    instead = choose_model("bundled", None, bundled=bundled)
    try:
        return load(chosen)
    except EncoderUnavailable as error:
        # The vectors in the database would be of another model than the bundled one.
        if model != "auto" or pinned is not None or chosen == instead:
            raise
        logger.warning("%s The bundled encoder is used instead.", error)
        return load(instead)


def find_export(model: str, pretrained: str | None, cache_dir: Path | None) -> Export | None:
    """Return the export of a model; None when it has none.

    Raises:
        ExportRefused: its manifest cannot be read, or it was made from other weights.
        EncoderUnavailable: there is no such model folder, or it holds no weights.
    """
    folder = export_folder(model, pretrained, cache_dir)
    export = Export.read(folder)
    if export is None:
        return None
    name, tag = space_names(model, pretrained)
    if (export.encoder, export.pretrained) != (name, tag):
        raise ExportRefused(
            f"The ONNX graphs in {folder} were made from {export.encoder} {export.pretrained}, and "
            f"{name} {tag} is asked for. {remedy()}"
        )
    cached = cached_digest(export, cache_dir)
    if cached not in ("", export.weights):
        raise ExportRefused(
            f"The ONNX graphs in {folder} were made from other weights than the ones that are in the "
            f"cache now. {remedy()}"
        )
    return export


def may_have_accelerator() -> bool:
    """Return whether PyTorch may find a GPU here, without importing it: that takes seconds and 600 MB."""
    if packages_missing():
        return False
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return (
        Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists() or bool(find_library("cuda"))
    )


def _from_export(
    model: str,
    pretrained: str | None,
    cache_dir: Path | None,
    *,
    allow_download: bool,
    is_needed: bool,
) -> CalibratedEncoder | None:
    """Return the encoder of a model's export; None where PyTorch is to be used instead."""
    try:
        tower = _photo_folder(model)
        if tower is not None:
            return _photos_on_onnx(tower, is_needed=is_needed or bool(packages_missing()))
        export = find_export(model, pretrained, cache_dir)
        if export is None:
            export = _published(model, pretrained, cache_dir, allow_download)
        if export is not None:
            from mirada.adapters.encoders.onnx_encoder import OnnxEncoder

            return OnnxEncoder.load(export)
    except ExportRefused as error:
        if is_needed or packages_missing():
            raise
        logger.warning("%s PyTorch is used instead.", error)
        return None
    if (pretrained or "").endswith(INT8):
        raise EncoderUnavailable(
            f"{_label(model, pretrained)} has no 8-bit graphs. Make them once with "
            f"`{command_line('models export --int8')}`."
        )
    if is_needed:
        raise EncoderUnavailable(
            f"ENCODER_ENGINE=onnx, and {_label(model, pretrained)} has no ONNX graphs. Make them "
            f"once with `{command_line('models export')}`, or set ENCODER_ENGINE=auto."
        )
    return None


def _published(
    model: str, pretrained: str | None, cache_dir: Path | None, allow_download: bool
) -> Export | None:
    """Return the published export of a model, where it is in the cache or nothing else can be had.

    Raises:
        ExportRefused: it cannot be fetched or kept, or does not give PyTorch's vectors.
    """
    if model_folder(model) is not None:
        return None
    name, tag = space_names(model, pretrained)
    if (name, tag) not in PUBLISHED or find_probe(name, tag, cache_dir) is None:
        return None
    if not published_in_cache(name, tag, cache_dir):
        if not (allow_download and packages_missing() and hub_reachable(HUB_WAIT_S)):
            return None
        logger.warning("Downloading the ONNX graphs of %s; this happens once.", name)
    try:
        return take_published(name, tag, cache_dir=cache_dir)
    except EncoderUnavailable as error:
        # A full disk, or a hub that went away: PyTorch may go on without either.
        raise ExportRefused(error.detail) from error


def _on_torch(
    model: str, pretrained: str | None, device: str, cache_dir: Path | None, allow_download: bool
) -> CalibratedEncoder:
    from mirada.adapters.encoders.openclip import OpenClipEncoder

    require_pytorch(f"The model {model}")
    tower = _photo_folder(model)
    if tower is not None:
        return _photos_on_torch(tower, device)
    encoder = OpenClipEncoder.load(
        model, pretrained, device=device, cache_dir=cache_dir, allow_download=allow_download
    )
    if (encoder.space.encoder, encoder.space.pretrained) in PUBLISHED:
        keep_probe(encoder, cache_dir)
    return encoder


def _photo_folder(model: str) -> PhotoFolder | None:
    """Return the tower for photographs in a model folder; None where there is none."""
    folder = model_folder(model)
    return None if folder is None else PhotoFolder.read(folder)


def _photos_on_onnx(tower: PhotoFolder, *, is_needed: bool) -> CalibratedEncoder:
    """Return the sticker model and the tower for photographs as one encoder, on ONNX Runtime.

    Where that is not needed, PyTorch takes the tower's place when it turns out not to be trusted.
    """
    stickers = str(tower.sticker_folder)
    export = find_export(stickers, None, None)
    if export is None:
        raise ExportRefused(f"{stickers} has no ONNX graphs. {remedy()}")
    from mirada.adapters.encoders.onnx_encoder import OnnxEncoder

    openers = [lambda: on_onnx(tower, own_threads())]
    if not is_needed:
        openers.append(lambda: _tower_on_torch(tower, "cpu"))
    return PictureEncoder(tower, OnnxEncoder.load(export), openers, "cpu")


def _photos_on_torch(tower: PhotoFolder, device: str) -> CalibratedEncoder:
    """Return the same encoder, on PyTorch."""
    from mirada.adapters.encoders.openclip import OpenClipEncoder

    loaded = OpenClipEncoder.load(str(tower.sticker_folder), device=device)
    return PictureEncoder(
        tower, loaded, [lambda: _tower_on_torch(tower, loaded.device)], loaded.device
    )


def _tower_on_torch(tower: PhotoFolder, device: str) -> PhotoRows:
    from mirada.adapters.encoders.photo_tower import on_torch

    return on_torch(tower, device)


def _label(model: str, pretrained: str | None) -> str:
    return f"{model}/{pretrained}" if pretrained else model
