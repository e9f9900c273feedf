"""Says which model a name means, without loading it: for a change of the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mirada.adapters.encoders.export_places import export_folder, space_names
from mirada.adapters.encoders.exports import Export
from mirada.adapters.encoders.model_choice import (
    BUNDLED_NAMES,
    PRODUCTION_MODEL,
    bundled_folder,
)
from mirada.adapters.encoders.weights import (
    digest_of,
    folder_name,
    model_folder,
    pretrained_entry,
    weights_in,
)
from mirada.kernel.errors import EncoderUnavailable, InvalidInput

AUTO = "auto"
"""What CLIP_MODEL takes beside the name of a model."""
PRODUCTION = "production"
"""The name of PRODUCTION_MODEL, which is long."""


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model as a name means it.

    Attributes:
        source: what CLIP_MODEL would say.
        source_tag: what CLIP_PRETRAINED would say; None for a folder.
        encoder: as its space has it.
        pretrained: as its space has it.
    """

    source: str
    source_tag: str | None
    encoder: str
    pretrained: str


def named_model(
    name: str, tag: str | None, bundled: Path, cache_dir: Path | None = None
) -> NamedModel:
    """Return the model that a name and a tag mean.

    Args:
        name: "production", "bundled", an OpenCLIP name with or without "/" and its tag, or a folder.
        tag: weights tag or weights file; None where the name needs none.
        bundled: the folder of the model that ships with the project.
        cache_dir: folder of downloads, where exports lie; None for the hub client's own cache.

    Raises:
        InvalidInput: there is no such model, or its files are not there.
    """
    if name == AUTO:
        raise InvalidInput(
            "'auto' is no model but a choice at a start. Name one: production, bundled, a name of OpenCLIP, "
            "or a folder."
        )
    if name == PRODUCTION and tag is None:
        name, tag = PRODUCTION_MODEL
    try:
        if name in BUNDLED_NAMES:
            own = bundled_folder(name, bundled)
            # Not "bundled": what that means depends on the database.
            encoder = folder_name(own)
            return NamedModel(encoder, None, encoder, digest_of(weights_in(own)))
        folder = model_folder(name)
        if folder is not None:
            source = str(folder.resolve())
            return NamedModel(source, None, *space_names(name, None))
        if tag is None and "/" in name:
            name, _, tag = name.rpartition("/")
        if tag is not None and Path(tag).is_file():
            return NamedModel(name, tag, name.replace("/", "-"), digest_of(Path(tag)))
        # A model that has ONNX graphs here needs no OpenCLIP, nor does it know those of 8 bits.
        if Export.read(export_folder(name, tag, cache_dir)) is None:
            pretrained_entry(name, tag)
    except EncoderUnavailable as error:
        raise InvalidInput(error.detail) from error
    except ImportError as error:
        raise InvalidInput(
            f"The model {name} needs packages that are not installed here ({error.name}). Install all "
            "of requirements.txt: `make run FULL=1` does."
        ) from error
    return NamedModel(name, tag, name.replace("/", "-"), tag or "")
