"""Checks that pictures and texts can be embedded, by embedding one of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mirada.kernel.embeddings import UNIT_NORM_TOLERANCE, Matrix
from mirada.kernel.errors import MiradaError
from mirada.ports import CalibratedEncoder, TextEncoder
from mirada.runtime import Runtime

PROBE_TEXT = "a cat"
"""Any short text serves; every tokenizer knows these words."""
PROBE_SIDE_PX = 64
"""Any size serves; the encoder resizes."""


@dataclass(frozen=True, slots=True)
class ModelsReport:
    """The result of the check, with the keys of CONTRACT A.

    Attributes:
        enabled: whether embeddings are switched on.
        device: "cpu", "cuda" or "mps"; the setting where no encoder could be loaded.
        text_model: space of TEXT_MODEL, else of the text tower; None when no text could be embedded.
        image_model: space of the image tower; None when no picture could be embedded.
        errors: one sentence per fault; empty when there is none.
    """

    enabled: bool
    device: str
    text_model: str | None = None
    image_model: str | None = None
    errors: list[str] = field(default_factory=list)

    @property
    def is_healthy(self) -> bool:
        """Whether every model that is switched on works."""
        return not self.errors

    def to_dict(self) -> dict[str, Any]:
        """Return the five keys as plain values."""
        return asdict(self)


def models_report(runtime: Runtime) -> ModelsReport:
    """Return the report on this runtime's models after a probe of each; the first call loads weights."""
    settings = runtime.settings
    has_text_model = settings.text_model is not None
    return check_models_available(
        lambda: runtime.encoder.interactive(),
        make_text_encoder=(lambda: runtime.text_encoder.interactive()) if has_text_model else None,
        enabled=settings.embeddings_enabled,
        device=settings.embeddings_device,
    )


def check_models_available(
    make_encoder: Callable[[], CalibratedEncoder],
    *,
    make_text_encoder: Callable[[], TextEncoder] | None = None,
    enabled: bool = True,
    device: str = "auto",
) -> ModelsReport:
    """Return a report on both towers after embedding a probe with each; never raises a MiradaError.

    Args:
        make_encoder: returns the encoder and loads it if necessary; called only if enabled.
        make_text_encoder: returns the encoder of prompts; None where the text tower embeds them.
        enabled: the setting EMBEDDINGS_ENABLED.
        device: the setting EMBEDDINGS_DEVICE, reported where no encoder could be loaded.
    """
    if not enabled:
        return ModelsReport(enabled=False, device=device)
    try:
        encoder = make_encoder()
    except MiradaError as error:
        return ModelsReport(enabled=True, device=device, errors=[error.detail])
    errors: list[str] = []
    # A plain colour would not reveal a dead first layer, which returns the same for any of them.
    ramp = np.linspace(0, 255, PROBE_SIDE_PX, dtype=np.uint8)
    picture = np.stack(
        [np.tile(ramp, (PROBE_SIDE_PX, 1)), np.tile(ramp[:, None], (1, PROBE_SIDE_PX))] * 2, axis=-1
    )[:, :, :3]
    image_model = _probe("picture", lambda: encoder.encode_images([picture]), encoder, errors)
    text_model = _probe("text", lambda: encoder.encode_texts([PROBE_TEXT]), encoder, errors)
    if make_text_encoder is not None:
        text_model = _text_model(make_text_encoder, errors)
    return ModelsReport(
        enabled=True,
        device=encoder.device,
        text_model=text_model,
        image_model=image_model,
        errors=errors,
    )


def _text_model(make: Callable[[], TextEncoder], errors: list[str]) -> str | None:
    try:
        encoder = make()
    except MiradaError as error:
        errors.append(error.detail)
        return None
    return _probe("prompt", lambda: encoder.encode_texts([PROBE_TEXT]), encoder, errors)


def _probe(
    what: str, encode: Callable[[], Matrix], encoder: TextEncoder, errors: list[str]
) -> str | None:
    """Return the space's name where `encode` returns one unit vector; else add the reason to `errors`."""
    try:
        vectors = encode()
    except MiradaError as error:
        errors.append(f"A {what} cannot be embedded: {error.detail}")
        return None
    expected = (1, encoder.space.dimension)
    norm = float(np.linalg.norm(vectors[0])) if vectors.shape == expected else 0.0
    if not abs(norm - 1.0) <= UNIT_NORM_TOLERANCE:
        errors.append(
            f"A {what} came out as no unit vector: shape {vectors.shape}, norm {norm:.3f}."
        )
        return None
    return encoder.space.name
