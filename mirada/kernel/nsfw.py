"""How unsafe a picture is, by the encoder alone: pairs of prompts that differ in that and little else."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from mirada.kernel.errors import InvalidInput
from mirada.kernel.zero_shot import sigmoid


class NsfwPolicy(StrEnum):
    """What an unsafe picture leads to; none of them refuses an upload."""

    OFF = "off"
    FLAG = "flag"
    HIDE = "hide"


PROMPT_PAIRS: tuple[tuple[str, str], ...] = (
    ("a naked person", "a dressed person"),
    ("a nude woman", "a woman in everyday clothes"),
    ("a nude man", "a man in everyday clothes"),
    ("people having sex", "people having a chat"),
    ("a pornographic picture", "a picture for everyone"),
    ("an obscene sexual sticker", "a cute friendly sticker"),
    ("a hentai drawing of genitals and breasts", "a cartoon drawing of a face and hands"),
)
"""(unsafe, safe). The two of a pair are about the same thing, so that what the picture shows cancels
and what is left is the difference. Sexual content only: a mean over several dangers would find none
of them, and violence or hate can be labels of their own."""
UNSAFE_PROMPTS = tuple(unsafe for unsafe, _ in PROMPT_PAIRS)
SAFE_PROMPTS = tuple(safe for _, safe in PROMPT_PAIRS)
PRIOR_LOGIT = -5.0
"""Log odds that a picture is unsafe before it is looked at: 1 in 150. Without it the harmless half of
all pictures, those a hair nearer to an unsafe prompt, would score above 0.5."""


def nsfw_score(cos_unsafe: npt.ArrayLike, cos_safe: npt.ArrayLike, scale: float) -> float:
    """Return in [0, 1] how unsafe a picture is: the mean over pairs of a softmax within the pair.

    A pair's softmax over two logits is sigmoid(scale x (cos unsafe - cos safe) + PRIOR_LOGIT).

    Args:
        cos_unsafe: (p,) cosines with UNSAFE_PROMPTS, p >= 1.
        cos_safe: (p,) cosines with SAFE_PROMPTS, in the same order.
        scale: the model's own logit scale, > 0.

    Raises:
        InvalidInput: no pairs, unequal numbers, or cosines that are not finite.
    """
    unsafe = np.asarray(cos_unsafe, dtype=np.float64)
    safe = np.asarray(cos_safe, dtype=np.float64)
    if unsafe.ndim != 1 or unsafe.shape != safe.shape or not unsafe.size:
        raise InvalidInput("An NSFW score needs as many safe cosines as unsafe ones, at least one.")
    if not (np.isfinite(unsafe).all() and np.isfinite(safe).all()):
        raise InvalidInput("An NSFW score needs finite cosines.")
    return float(sigmoid(scale * (unsafe - safe) + PRIOR_LOGIT).mean())
