"""What a picture shows by the encoder alone: logits, probabilities, doubt, and "none of these"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import Floats, cosines

MARGIN_FLOOR = 0.05
"""A lead under this is no lead: the first of two labels that share a picture evenly would change with
a recompression. docs/evaluation.md counts how often the first label is right below it."""
NONE_SPREADS = 1.25
"""How many standard deviations above the background a label must be. Higher refuses more labels that
fit along with those that do not; docs/evaluation.md counts both."""


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """One picture against n >= 1 labels, in the labels' order.

    Attributes:
        cosines: (n,) float64 in [-1, 1].
        logits: (n,) float64, scale x cosine + bias.
        probabilities: (n,) float64 softmax of the logits; sums to 1.
        entropy_bits: of the probabilities, in [0, log2 n].
        margin: first minus second probability, in [0, 1]; 1 with a single label.
    """

    cosines: Floats
    logits: Floats
    probabilities: Floats
    entropy_bits: float
    margin: float


def zero_shot(picture: Vector, labels: Matrix, scale: float, bias: float = 0.0) -> ZeroShot:
    """Return what the encoder alone says of a picture.

    Args:
        picture: (d,) float32, unit norm.
        labels: (n, d) float32, unit rows, n >= 1.
        scale: the model's own logit scale, > 0.
        bias: the model's own logit bias; 0 unless it was trained with a sigmoid.

    Raises:
        InvalidInput: no labels, another dimension, or values that are not finite.

    Source: Radford et al. 2021, section 3.1.2.
    """
    if labels.ndim != 2 or not len(labels) or labels.shape[1:] != picture.shape:
        raise InvalidInput("Classifying needs labels in the picture's space, at least one.")
    near = cosines(labels, picture)
    scaled = logits(near, scale, bias)
    probabilities = softmax(scaled)
    return ZeroShot(near, scaled, probabilities, entropy_bits(probabilities), margin(probabilities))


def logits(near: npt.ArrayLike, scale: float, bias: float = 0.0) -> Floats:
    """Return scale x cosine + bias as float64."""
    return scale * np.asarray(near, dtype=np.float64) + bias


def softmax(values: npt.ArrayLike) -> Floats:
    """Return probabilities that sum to 1, for (n,) finite logits of any size, n >= 1.

    Raises:
        InvalidInput: no logits, or one that is not finite.
    """
    wide = np.asarray(values, dtype=np.float64)
    if not wide.size or not np.isfinite(wide).all():
        raise InvalidInput("Probabilities need at least one logit, and finite ones.")
    # The largest becomes 0: exp never overflows, and at least one term is 1.
    exponentials = np.exp(wide - wide.max())
    return np.asarray(exponentials / exponentials.sum())


def sigmoid(values: npt.ArrayLike) -> Floats:
    """Return 1 / (1 + exp(-x)) per value, without overflow for any finite one."""
    wide = np.asarray(values, dtype=np.float64)
    # exp of a negative number in both branches.
    small = np.exp(-np.abs(wide))
    return np.where(wide >= 0, 1.0, small) / (1.0 + small)


def sigmoid_probabilities(values: npt.ArrayLike) -> Floats:
    """Return for each label by itself the probability that it applies; they need not sum to 1.

    They mean what they say for models trained with a sigmoid loss, whose bias is in the logits. With
    other models only their order does.

    Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (2023), section 3.2.
    """
    return sigmoid(values)


def entropy_bits(probabilities: npt.ArrayLike) -> float:
    """Return the Shannon entropy in bits (log2) of a full distribution; 0 log 0 is 0."""
    shares = np.asarray(probabilities, dtype=np.float64)
    present = shares[shares > 0]
    # max: a certain label must not have an entropy of minus zero.
    return max(0.0, float(-(present * np.log2(present)).sum()))


def margin(probabilities: npt.ArrayLike) -> float:
    """Return the largest minus the second largest probability; 1 where there is only one."""
    shares = np.sort(np.asarray(probabilities, dtype=np.float64))
    return float(shares[-1] - shares[-2]) if shares.size > 1 else 1.0


def is_ambiguous(entropy: float, lead: float, entropy_threshold: float) -> bool:
    """Tell whether the answer is in doubt.

    Args:
        entropy: of the full distribution, in bits.
        lead: its margin.
        entropy_threshold: in bits; more than this is ambiguous (ENTROPY_THRESHOLD).
    """
    return entropy > entropy_threshold or lead < MARGIN_FLOOR


def none_of_these(best_cosine: float, background_cosines: npt.ArrayLike) -> bool:
    """Tell whether the nearest label is no nearer than texts that have nothing to do with the picture.

    A softmax always names something, however far everything is. Cosines of two models, and of two
    pictures, have other levels and widths, so the level is taken from the same picture's own
    background: the label fits when it is NONE_SPREADS standard deviations above its mean. The more
    labels there are, the nearer the best wrong one comes and the less this can tell.

    Args:
        best_cosine: of the nearest label, in [-1, 1].
        background_cosines: (w,) of the same picture with `feedback.concepts.CONCEPTS`; empty tells
            nothing, and then the label stands.
    """
    background = np.asarray(background_cosines, dtype=np.float64)
    if not background.size:
        return False
    return best_cosine < float(background.mean() + NONE_SPREADS * background.std())
