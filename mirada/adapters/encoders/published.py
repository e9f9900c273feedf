"""Exports that others have published on the hub: taken where they give the vectors that PyTorch gave."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mirada.adapters.encoders.export_places import (
    export_folder,
    link_or_copy,
    move_export,
    work_folder,
)
from mirada.adapters.encoders.exports import PROBE_TEXTS, Export, ExportRefused, Kept, Probe
from mirada.adapters.encoders.hub import HubFile
from mirada.adapters.encoders.onnx_encoder import OnnxEncoder
from mirada.adapters.encoders.pixels import PictureSteps
from mirada.adapters.encoders.probes import StoredProbe, find_probe
from mirada.adapters.encoders.stored_witnesses import StoredVectors, vouched_for
from mirada.adapters.encoders.tokens import token_id
from mirada.kernel.commands import command_line
from mirada.kernel.errors import EncoderUnavailable, InvalidInput

logger = logging.getLogger(__name__)

PUBLISHED = {
    ("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k"): (
        "immich-app/XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k"
    ),
    ("ViT-B-32", "openai"): "immich-app/ViT-B-32__openai",
    ("ViT-B-32", "laion2b_s34b_b79k"): "immich-app/ViT-B-32__laion2b-s34b-b79k",
}
"""The hub's repositories of exports, by OpenCLIP's name and weights tag."""
IMAGE, TEXT, CONFIG = "visual/model.onnx", "textual/model.onnx", "config.json"
STEPS = "visual/preprocess_cfg.json"
TOKENIZER, TOKENIZER_CONFIG = "textual/tokenizer.json", "textual/tokenizer_config.json"
NEEDED = (IMAGE, TEXT, CONFIG, STEPS)
GRAPHS = {IMAGE: "image.onnx", TEXT: "text.onnx"}
LOGIT_SCALE = 100.0
"""Of each model in PUBLISHED: CLIP's training clips it there. No graph has it, and no stored vector tells."""
LICENCE = re.compile(r"^license:\s*(\S+)\s*$", re.MULTILINE)


def published_in_cache(name: str, tag: str, cache_dir: Path | None) -> bool:
    """Return whether a published export of the model is in the cache already; asks no hub."""
    repository = PUBLISHED.get((name, tag))
    return repository is not None and all(
        HubFile(repository, (file,)).cached(cache_dir) for file in NEEDED
    )


def take_published(
    name: str,
    tag: str,
    *,
    cache_dir: Path | None,
    held: Callable[[], StoredVectors | None] = lambda: None,
) -> Export:
    """Fetch the published export of a model, check it, and keep it where exports of ours lie.

    It is checked with what PyTorch gave here once; else with vectors that the database holds.

    Args:
        name: OpenCLIP's name of the model, as in a space.
        tag: its weights tag.
        cache_dir: folder of downloads; None for the hub client's own cache.
        held: returns what the database holds of the model, None for nothing; asked where there is no probe.

    Raises:
        InvalidInput: nobody is known to have published one.
        ExportRefused: it gives other vectors than PyTorch did, or too few are held to tell.
        EncoderUnavailable: there are no vectors of PyTorch to compare with, the hub cannot be reached or
            has no such export, or there is no room.
    """
    repository, stored = _checkable(name, tag, cache_dir, held)
    image = _fetched(repository, IMAGE, None, cache_dir)
    # All further files are of the first one's revision, whatever is published meanwhile.
    revision = _revision(image)
    files = {IMAGE: image} | {
        file: _fetched(repository, file, revision, cache_dir) for file in (TEXT, CONFIG, STEPS)
    }
    licence = _licence(repository, revision, cache_dir)
    origin = {"published_by": repository, "revision": revision, "licence": licence}
    folder = export_folder(name, tag, cache_dir)
    try:
        with work_folder(folder) as work:
            tokenizer = _tokenizer(repository, revision, files[CONFIG], work, cache_dir)
            for file, own in GRAPHS.items():
                link_or_copy(files[file], work / own)
            steps = _object(repository, STEPS, files[STEPS])
            known = stored if isinstance(stored, StoredProbe) else _as_published(steps, stored)
            export = _described(work, name, tag, known, tokenizer, origin)
            _checked(export, stored, steps).save()
            move_export(work, folder)
    except OSError as error:
        raise EncoderUnavailable(
            f"The ONNX graphs cannot be written to {folder}: {error.strerror or error}."
        ) from error
    logger.info("ONNX graphs of %s are taken from %s, %s.", name, repository, revision)
    taken = Export.read(folder)
    assert taken is not None
    return taken


def _checkable(
    name: str, tag: str, cache_dir: Path | None, held: Callable[[], StoredVectors | None]
) -> tuple[str, StoredProbe | StoredVectors]:
    """Return the repository of a model's export, and what to check it with.

    Raises:
        InvalidInput: nobody is known to have published one.
        EncoderUnavailable: there is nothing.
    """
    repository = PUBLISHED.get((name, tag))
    if repository is None:
        known = ", ".join(" ".join(pair) for pair in PUBLISHED)
        raise InvalidInput(
            f"No published ONNX graphs of {name} {tag} are known, only of: {known}. Make your own with "
            f"`{command_line('models export')}`."
        )
    stored = find_probe(name, tag, cache_dir) or held()
    if stored is None:
        raise EncoderUnavailable(
            f"The graphs that {repository} publishes cannot be checked: no vectors of PyTorch with {name} "
            "are stored, and the database holds none. Load the model once with ENCODER_ENGINE=torch, here or "
            "elsewhere, and copy onnx/probes of its EMBEDDINGS_CACHE_DIR."
        )
    return repository, stored


def _described(
    work: Path,
    name: str,
    tag: str,
    stored: StoredProbe,
    tokenizer: dict[str, Any],
    origin: dict[str, str],
) -> Export:
    return Export(
        folder=work,
        encoder=name,
        pretrained=tag,
        preprocessing=stored.preprocessing,
        dimension=stored.dimension,
        logit_scale=stored.logit_scale,
        logit_bias=stored.logit_bias,
        image_graph=GRAPHS[IMAGE],
        text_graph=GRAPHS[TEXT],
        is_trimmed=False,
        tokenizer=tokenizer,
        files={path.name: Kept.of(path) for path in sorted(work.iterdir())},
        weights="",
        probe=stored.probe,
        origin=origin,
    )


def _as_published(steps: dict[str, Any], stored: StoredVectors) -> StoredProbe:
    """Return what the publisher says of a model, with a probe that no graph agrees with."""
    nothing = Probe(
        np.zeros((len(PROBE_TEXTS), stored.dimension), np.float32),
        np.zeros((1, stored.dimension), np.float32),
    )
    return StoredProbe(steps, stored.dimension, LOGIT_SCALE, 0.0, nothing)


def _checked(export: Export, stored: StoredProbe | StoredVectors, steps: dict[str, Any]) -> Export:
    """Return the export as it is to be kept, or raise ExportRefused."""
    whose = f"{export.origin['published_by']} (revision {export.origin['revision']})"
    if isinstance(stored, StoredVectors):
        return vouched_for(export, stored, whose)
    _require_same(export, stored, steps, whose)
    return export


def _require_same(export: Export, stored: StoredProbe, steps: dict[str, Any], whose: str) -> None:
    """Raise ExportRefused unless the export prepares pictures as PyTorch did and gives its vectors."""
    theirs, ours = PictureSteps(steps).version, PictureSteps(stored.preprocessing).version
    if theirs != ours:
        raise ExportRefused(
            f"The graphs of {whose} were made for pictures prepared as {theirs}, and {export.encoder} "
            f"{export.pretrained} takes {ours}. They are not used; make your own with "
            f"`{command_line('models export')}`."
        )
    try:
        OnnxEncoder(export)
    except ExportRefused as error:
        raise ExportRefused(
            f"The graphs of {whose} are not those of {export.encoder} {export.pretrained}, or of another "
            f"revision of it. {error.detail}"
        ) from error


def _fetched(repository: str, file: str, revision: str | None, cache_dir: Path | None) -> Path:
    """Return a file of the hub, from the cache or downloaded.

    Raises:
        EncoderUnavailable: the hub has none, or cannot be reached.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    cached = HubFile(repository, (file,)).cached(cache_dir)
    if cached is not None and revision in (None, _revision(cached)):
        return cached
    try:
        return Path(hf_hub_download(repository, file, revision=revision, cache_dir=cache_dir))
    except LocalEntryNotFoundError as error:
        raise EncoderUnavailable(
            f"{repository} is not in the cache and the hub cannot be reached."
        ) from error
    except (EntryNotFoundError, RepositoryNotFoundError) as error:
        raise EncoderUnavailable(
            f"The hub has no {file} in {repository}: no ONNX graphs are published there. Make your own "
            f"with `{command_line('models export')}`."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise EncoderUnavailable(f"{repository} cannot be fetched: {error}") from error


def _tokenizer(
    repository: str, revision: str, config_file: Path, work: Path, cache_dir: Path | None
) -> dict[str, Any]:
    """Return the description of the tokenizer, whose file is laid into `work` where it has one.

    Raises:
        ExportRefused: it is described by something else than such files hold.
        EncoderUnavailable: a file cannot be fetched or read.
    """
    text = _object(repository, CONFIG, config_file).get("text_cfg") or {}
    try:
        clean = text.get("tokenizer_kwargs", {}).get("clean")
        length = int(text.get("context_length", 77))
        if not text.get("hf_tokenizer_name"):
            return {"kind": "clip", "context_length": length, "clean": clean or "lower"}
        own = work / "tokenizer.json"
        link_or_copy(_fetched(repository, TOKENIZER, revision, cache_dir), own)
        settings = _fetched(repository, TOKENIZER_CONFIG, revision, cache_dir)
        pad = _object(repository, TOKENIZER_CONFIG, settings)["pad_token"]
        pad_id = token_id(own, pad if isinstance(pad, str) else pad["content"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_such_file(repository, CONFIG) from error
    return {
        "kind": "file",
        "file": own.name,
        "pad_id": pad_id,
        "context_length": length,
        "clean": clean or "whitespace",
    }


def _object(repository: str, name: str, file: Path) -> dict[str, Any]:
    """Return the JSON object in a file of the hub; raises ExportRefused where it holds none."""
    try:
        entry = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _no_such_file(repository, name) from error
    if not isinstance(entry, dict):
        raise _no_such_file(repository, name)
    return entry


def _no_such_file(repository: str, name: str) -> ExportRefused:
    return ExportRefused(
        f"{repository} has a {name} that describes no model. Its graphs are not used; make your own "
        f"with `{command_line('models export')}`."
    )


def _licence(repository: str, revision: str, cache_dir: Path | None) -> str:
    """Return the licence that a repository's card states; "not stated" where it states none."""
    try:
        card = _fetched(repository, "README.md", revision, cache_dir).read_text(encoding="utf-8")
    except (EncoderUnavailable, OSError):
        return "not stated"
    stated = LICENCE.search(card)
    return stated.group(1) if stated else "not stated"


def _revision(path: Path) -> str:
    """Return the revision of a file in the cache of the hub's client, which has a folder for each."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else ""
