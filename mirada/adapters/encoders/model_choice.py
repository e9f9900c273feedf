"""Chooses the model that CLIP_MODEL means. It does not import PyTorch, which alone takes seconds."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from mirada.adapters.encoders.hub import HubFile, hub_reachable
from mirada.adapters.encoders.pytorch import how_to_install, packages_missing
from mirada.adapters.encoders.weights import TOKENIZER_FILES
from mirada.kernel.errors import InvalidInput

logger = logging.getLogger(__name__)

PRODUCTION_MODEL = ("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k")
"""(OpenCLIP name, weights tag). docs/models.md has the reasons and the costs."""
PRODUCTION_FILES = (
    HubFile(
        "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k",
        ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    ),
    HubFile("xlm-roberta-base", ("config.json",)),
    HubFile("xlm-roberta-base", TOKENIZER_FILES),
)
"""The result of `weights.hub_files` for PRODUCTION_MODEL, written here because that imports OpenCLIP."""
STICKERS, STICKERS_AND_PHOTOS = "mirada-stickers", "mirada-stickers-photos"
"""The encoders that ship with the project, by their names in a space. The second has the first within it."""
BUNDLED_NAMES = frozenset({"bundled", STICKERS, STICKERS_AND_PHOTOS})
"""Values of CLIP_MODEL that mean a model that ships with the project."""
AUTO_DECISION_S = 4.0
"""Seconds that `auto` may take to choose the bundled model (CONTRACT: under 5 s)."""


def bundled_folder(name: str, bundled: Path, pinned: tuple[str, str] | None = None) -> Path:
    """Return the folder of an encoder that ships with the project.

    "bundled" is the one for stickers and photographs, but in a database that was filled with the
    sticker model alone it stays that one: its vectors are not the other's.

    Args:
        name: one of BUNDLED_NAMES.
        bundled: the folder of the sticker model.
        pinned: (encoder, pretrained) of the database's embedding space, None when it has none.
    """
    if name == "bundled":
        name = STICKERS if pinned and pinned[0] == STICKERS else STICKERS_AND_PHOTOS
    return bundled if name == STICKERS else bundled / "photos"


def choose_model(
    model: str,
    pretrained: str | None,
    *,
    bundled: Path,
    pinned: tuple[str, str] | None = None,
    cache_dir: Path | None = None,
    decide_within_s: float = AUTO_DECISION_S,
) -> tuple[str, str | None]:
    """Return the model and weights tag for `OpenClipEncoder.load`; None as tag for a folder.

    With "auto" and an empty database, it is the production model if PyTorch is installed and its
    weights are cached or the hub answers, else the bundled one. With "auto" and a pinned space, it is
    that space's model.

    Args:
        model: the setting CLIP_MODEL: "auto", "bundled", an OpenCLIP name, or a model folder.
        pretrained: the setting CLIP_PRETRAINED.
        bundled: the folder of the model that ships with the project.
        pinned: (encoder, pretrained) of the database's embedding space, None when it has none.
        cache_dir: folder of downloads; None for the hub client's own cache.
        decide_within_s: seconds after which the hub counts as unreachable.

    Raises:
        InvalidInput: the database is pinned to a local model that `auto` cannot locate.
    """
    give_up_at = time.monotonic() + decide_within_s
    if model in BUNDLED_NAMES:
        return str(bundled_folder(model, bundled, pinned)), None
    if model != "auto":
        return model, pretrained
    if pinned is not None:
        encoder, tag = pinned
        if not tag.startswith("sha256-"):
            return encoder, tag
        if encoder in BUNDLED_NAMES:
            return str(bundled_folder(encoder, bundled)), None
        raise InvalidInput(
            f"This database was filled with the local model {encoder} ({tag}). Set CLIP_MODEL to "
            "its folder; 'auto' cannot know where it is."
        )
    reason = _out_of_reach(cache_dir, give_up_at)
    if reason is None:
        return PRODUCTION_MODEL
    logger.warning(
        "Encoder: the BUNDLED model. The production model (%s/%s) %s. The bundled model knows "
        "stickers, emoji and about a thousand kinds of thing in photographs; no people, places or "
        "actions. To use another, set CLIP_MODEL (docs/models.md).",
        *PRODUCTION_MODEL,
        reason,
    )
    return str(bundled_folder("bundled", bundled)), None


def production_is_available(cache_dir: Path | None) -> bool:
    """Return whether the production model could be loaded now, from the cache or from the hub."""
    if packages_missing():
        return False
    is_cached = all(file.cached(cache_dir) for file in PRODUCTION_FILES)
    return is_cached or hub_reachable(AUTO_DECISION_S)


def _out_of_reach(cache_dir: Path | None, give_up_at: float) -> str | None:
    """Return why the production model cannot be had; None, and where from in the log, when it can."""
    missing = packages_missing()
    if missing:
        # Whoever looks at a light install for the first time downloads no weights either.
        return (
            f"needs PyTorch, and this install is without {', '.join(missing)}: {how_to_install()}"
        )
    if all(file.cached(cache_dir) for file in PRODUCTION_FILES):
        logger.info("Encoder: %s/%s, from the cache.", *PRODUCTION_MODEL)
        return None
    if hub_reachable(give_up_at - time.monotonic()):
        logger.warning("Encoder: %s/%s. Its weights are downloaded now, once.", *PRODUCTION_MODEL)
        return None
    return "is not in the cache, and its hub cannot be reached"
