"""Vectors that PyTorch gave with a model of the hub: what an export that others made is checked against."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mirada.adapters.encoders.export_places import FOLDER, cache_of
from mirada.adapters.encoders.exports import PROBE_TEXTS, Probe, probe_picture
from mirada.config import PROJECT_ROOT
from mirada.ports import CalibratedEncoder

if TYPE_CHECKING:
    from mirada.adapters.encoders.openclip import OpenClipEncoder

logger = logging.getLogger(__name__)

SHIPPED = PROJECT_ROOT / "models" / "probes"
"""Probes that come with the project; those of this installation lie in the cache."""


@dataclass(frozen=True, slots=True)
class StoredProbe:
    """A probe, and what a model is beside its graphs.

    Attributes:
        preprocessing: OpenCLIP's description of the steps from pixels to tensor.
        dimension: of the vectors.
        logit_scale, logit_bias: see `ports.CalibratedEncoder`.
        probe: the vectors.
    """

    preprocessing: Mapping[str, Any]
    dimension: int
    logit_scale: float
    logit_bias: float
    probe: Probe

    @classmethod
    def of(cls, encoder: OpenClipEncoder) -> Self:
        """Return what a loaded model gives."""
        return cls(
            encoder.steps.config,
            encoder.space.dimension,
            encoder.logit_scale,
            encoder.logit_bias,
            probe_of(encoder),
        )


def probe_of(encoder: CalibratedEncoder) -> Probe:
    """Return the vectors that every export of the encoder's weights must give."""
    return Probe(encoder.encode_texts(PROBE_TEXTS), encoder.encode_images([probe_picture()]))


def find_probe(name: str, tag: str, cache_dir: Path | None) -> StoredProbe | None:
    """Return the stored probe of a model and weights tag; None when there is none that can be read."""
    for path in (SHIPPED / _file(name, tag), _own(name, tag, cache_dir)):
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            probe = Probe.from_json(entry.pop("probe"), entry["dimension"])
            return StoredProbe(probe=probe, **entry)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("The probe %s cannot be read and is left out: %s", path, error)
    return None


def keep_probe(encoder: OpenClipEncoder, cache_dir: Path | None) -> None:
    """Store the probe of a loaded model in the cache, unless there is one; a full disk is no error."""
    name, tag = encoder.space.encoder, encoder.space.pretrained
    if find_probe(name, tag, cache_dir) is not None:
        return
    stored, path = StoredProbe.of(encoder), _own(name, tag, cache_dir)
    entry = {key: getattr(stored, key) for key in stored.__dataclass_fields__}
    text = json.dumps({**entry, "probe": stored.probe.to_json()}, indent=2, sort_keys=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(f"{text}\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        logger.warning("The probe of %s cannot be kept: %s", encoder.space.name, error)


def _file(name: str, tag: str) -> str:
    return f"{name}--{tag}.json"


def _own(name: str, tag: str, cache_dir: Path | None) -> Path:
    return cache_of(cache_dir) / FOLDER / "probes" / _file(name, tag)
