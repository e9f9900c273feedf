"""The NSFW score of a picture, from an encoder and pairs of prompts that differ in little else."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from mirada.kernel.errors import InvalidInput
from mirada.kernel.zero_shot import sigmoid


class NsfwPolicy(StrEnum):
    """The treatment of unsafe pictures; no policy refuses an upload."""

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
"""(unsafe, safe). Both prompts of a pair name the same thing, so that only the difference in safety
counts. They are about sexual content alone: a mean over several dangers would find none of them.
Violence or hate can be labels of their own."""
UNSAFE_PROMPTS = tuple(unsafe for unsafe, _ in PROMPT_PAIRS)
SAFE_PROMPTS = tuple(safe for _, safe in PROMPT_PAIRS)
PRIOR_LOGIT = -5.0
"""Log odds that a picture is unsafe before it is seen: 1 in 150. Without this prior every picture that
is slightly nearer to an unsafe prompt, half of all harmless ones, would score above 0.5."""


def nsfw_score(cos_unsafe: npt.ArrayLike, cos_safe: npt.ArrayLike, scale: float) -> float:
    """Return the NSFW score of a picture in [0, 1]: the mean over pairs of a softmax within the pair.

    A pair's softmax over two logits is sigmoid(scale x (cos unsafe - cos safe) + PRIOR_LOGIT).

    Args:
        cos_unsafe: (p,) cosines with UNSAFE_PROMPTS, p >= 1.
        cos_safe: (p,) cosines with SAFE_PROMPTS, in the same order.
        scale: the model's own logit scale, > 0.

    Raises:
        InvalidInput: there are no pairs, unequal numbers of cosines, or values that are not finite.
    """
    unsafe = np.asarray(cos_unsafe, dtype=np.float64)
    safe = np.asarray(cos_safe, dtype=np.float64)
    if unsafe.ndim != 1 or unsafe.shape != safe.shape or not unsafe.size:
        raise InvalidInput("An NSFW score needs as many safe cosines as unsafe ones, at least one.")
    if not (np.isfinite(unsafe).all() and np.isfinite(safe).all()):
        raise InvalidInput("An NSFW score needs finite cosines.")
    return float(sigmoid(scale * (unsafe - safe) + PRIOR_LOGIT).mean())
