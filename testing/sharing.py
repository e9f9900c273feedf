"""A runtime for tests whose costly parts, decoder children and bundled weights, outlive it."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from mirada.config import BUNDLED_MODEL_DIR, Settings
from mirada.ports import ImageDecoder
from mirada.runtime import Runtime

if TYPE_CHECKING:
    from mirada.adapters.encoders.openclip import OpenClipEncoder

_loading = threading.Lock()


def bundled_encoder() -> OpenClipEncoder:
    """Return the bundled encoder, whose weights a process loads once."""
    with _loading:
        return _bundled_encoder()


@cache
def _bundled_encoder() -> OpenClipEncoder:
    from mirada.adapters.encoders.model_choice import choose_model
    from mirada.adapters.encoders.openclip import OpenClipEncoder

    model, pretrained = choose_model(
        "bundled", None, bundled=BUNDLED_MODEL_DIR, pinned=None, cache_dir=None
    )
    return OpenClipEncoder.load(model, pretrained, device="cpu", cache_dir=None)


class SharingRuntime(Runtime):
    """The product's runtime, but a decoder's children and the bundled weights are not its own.

    Neither remembers anything of a picture, and both take longer to start than most tests.
    """

    def __init__(self, settings: Settings, decoder: ImageDecoder) -> None:
        super().__init__(settings)
        self._shared_decoder = decoder

    @property
    def decoder(self) -> ImageDecoder:
        return self.remembered("decoder", lambda: self._shared_decoder)

    def _load_encoder(self) -> OpenClipEncoder:
        if self.settings.clip_model == "bundled":
            return bundled_encoder()
        return super()._load_encoder()
