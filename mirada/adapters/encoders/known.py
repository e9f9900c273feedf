"""Lists the models that can be named here without looking anything up, and what each still needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mirada.adapters.encoders.export_places import FOLDER, cache_of, export_folder
from mirada.adapters.encoders.exports import MANIFEST_NAME, Export, ExportRefused
from mirada.adapters.encoders.model_choice import (
    PRODUCTION_FILES,
    PRODUCTION_MODEL,
    STICKERS,
    STICKERS_AND_PHOTOS,
)
from mirada.adapters.encoders.naming import PRODUCTION, named_model

HERE, PRODUCTION_DOWNLOAD = "here", "1.5 GB to download"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that can be named.

    Attributes:
        name: as a change of the model takes it.
        encoder, pretrained: its names in a space.
        files: HERE, or what has to be downloaded.
        needs_pytorch: whether it is computed by PyTorch alone.
    """

    name: str
    encoder: str
    pretrained: str
    files: str = HERE
    needs_pytorch: bool = False

    @property
    def model(self) -> str:
        """Return both as `EmbeddingSpace.model` does."""
        return f"{self.encoder}/{self.pretrained}"


def known_models(bundled: Path, cache_dir: Path | None) -> list[KnownModel]:
    """Return the bundled models, the production model, and every model whose ONNX graphs are here.

    Args:
        bundled: the folder of the model that ships with the project.
        cache_dir: folder of downloads; None for the hub client's own.
    """
    found = []
    for name in (STICKERS_AND_PHOTOS, STICKERS):
        named = named_model(name, None, bundled, cache_dir)
        found.append(KnownModel(name, named.encoder, named.pretrained))
    production = export_folder(*PRODUCTION_MODEL, cache_dir)
    has_graphs = (production / MANIFEST_NAME).exists()
    is_here = has_graphs or all(file.cached(cache_dir) for file in PRODUCTION_FILES)
    files = HERE if is_here else PRODUCTION_DOWNLOAD
    found.append(KnownModel(PRODUCTION, *PRODUCTION_MODEL, files, needs_pytorch=not has_graphs))
    named_before = {each.model for each in found}
    exported = (
        KnownModel(f"{each.encoder}/{each.pretrained}", each.encoder, each.pretrained)
        for each in _exports(cache_of(cache_dir) / FOLDER)
    )
    return found + [each for each in exported if each.model not in named_before]


def _exports(folder: Path) -> Iterator[Export]:
    """Yield the exports in the folder of downloads; one that cannot be read is none."""
    for manifest in sorted(folder.glob(f"*/{MANIFEST_NAME}")):
        try:
            export = Export.read(manifest.parent)
        except ExportRefused:
            continue
        if export is not None:
            yield export
