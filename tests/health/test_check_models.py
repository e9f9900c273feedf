"""What `check_models_available` reports, and that it really embeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mirada.health.check_models import check_models_available
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind
from mirada.kernel.errors import EncoderUnavailable
from mirada.kernel.images import RgbImage


class HalfBroken:
    """An encoder whose text tower is gone and whose image tower returns nonsense."""

    space = EmbeddingSpace(SpaceKind.IMAGE, "half", "none", "none-v1", 4)
    device = "cuda"
    input_side_px = 8

    def encode_images(self, images: Sequence[RgbImage]) -> Matrix:
        return np.zeros((len(images), 4), dtype=np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        raise EncoderUnavailable("out of memory")


def test_a_working_encoder_is_reported_with_both_towers(bundled_encoder: Any) -> None:
    report = check_models_available(lambda: bundled_encoder, device="auto")
    assert report.to_dict() == {
        "enabled": True,
        "device": "cpu",
        "text_model": bundled_encoder.space.name,
        "image_model": bundled_encoder.space.name,
        "errors": [],
    }
    assert report.is_healthy


def test_an_encoder_that_cannot_be_loaded_is_an_error_that_says_what_to_do() -> None:
    def fail() -> HalfBroken:
        raise EncoderUnavailable("The weights are missing. Set CLIP_MODEL=bundled.")

    report = check_models_available(fail, device="cuda")
    assert report.to_dict() == {
        "enabled": True,
        "device": "cuda",
        "text_model": None,
        "image_model": None,
        "errors": ["The weights are missing. Set CLIP_MODEL=bundled."],
    }


def test_each_tower_is_judged_by_a_vector_of_its_own() -> None:
    report = check_models_available(HalfBroken)
    assert (report.image_model, report.text_model) == (None, None)
    assert len(report.errors) == 2
    assert "no unit vector" in report.errors[0]
    assert "out of memory" in report.errors[1]
    assert not report.is_healthy


def test_switched_off_embeddings_load_no_encoder() -> None:
    def never() -> HalfBroken:
        raise AssertionError("the encoder was loaded")

    report = check_models_available(never, enabled=False, device="cpu")
    assert report.to_dict() == {
        "enabled": False,
        "device": "cpu",
        "text_model": None,
        "image_model": None,
        "errors": [],
    }
