"""Random damage to every format: a picture or a refusal, never a dead decoder or an unknown error."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mirada.adapters.image_decoder.sandbox import GAVE_UP, SandboxedDecoder
from mirada.kernel.errors import CorruptImage, ImageTooLarge, UnsupportedImage
from mirada.kernel.images import AnimatedCopy
from testing import heic
from testing.pictures import mutated, picture

MUTATIONS = 40
SEEDS = {
    "AVIF": picture(1, "AVIF", (40, 30)),
    "moving AVIF": picture(1, "AVIF", (40, 30), frames=3),
    "TIFF": picture(1, "TIFF", (40, 30)),
    "BMP": picture(1, "BMP", (40, 30)),
    "moving GIF": picture(1, "GIF", (40, 30), frames=3),
    "moving PNG": picture(1, "PNG", (40, 30), frames=3, alpha=True),
    "moving WEBP": picture(1, "WEBP", (40, 30), frames=3),
    "JPEG without end": picture(1, "JPEG", (40, 30))[:-2],
    "HEIC": (heic.FILES / "heic_part_0.heic").read_bytes(),
    "HEIC grid": heic.built(heic.grid(2, 2, (128, 100), (b"irot", b"\x01"))),
    "hidden text": (heic.FILES / "nai_stealth.png").read_bytes(),
    "profile": (heic.FILES / "icc_linear_other_name.png").read_bytes(),
}


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    decoder = SandboxedDecoder(pool_size=1)
    yield decoder
    decoder.close()


def refusal(call: Callable[[], object]) -> str | None:
    """Return why a picture is refused; None where it is taken. Any other error is a fault."""
    try:
        call()
    except (CorruptImage, UnsupportedImage, ImageTooLarge) as error:
        return error.detail
    return None


@pytest.mark.parametrize("kind", SEEDS)
def test_damage_is_refused_or_survived(
    decoder: SandboxedDecoder, tmp_path: Path, kind: str
) -> None:
    random_ = random.Random(kind)
    path = tmp_path / "picture"
    reasons: list[str | None] = []
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(SEEDS[kind], random_))
        reasons.append(refusal(lambda: decoder.inspect(path)))
        if reasons[-1] is None:
            # What was taken can be used, or is refused as damaged.
            reasons.append(refusal(lambda: decoder.decode(path, 20)))
            reasons.append(refusal(lambda: decoder.thumbnail(path, 20)))
            assert isinstance(decoder.animation(path), AnimatedCopy)
    assert GAVE_UP not in reasons
    told = [reason for reason in reasons if reason is not None]
    assert told
    assert all(reason.endswith((".", ")")) and len(reason) < 300 for reason in told)
