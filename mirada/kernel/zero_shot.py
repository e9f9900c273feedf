"""Zero-shot classification: logits, probabilities, ambiguity, and "none of these"."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import Floats, cosines

MARGIN_FLOOR = 0.05
"""Margin under which an answer is ambiguous: recompressing the picture can swap the first two labels.
docs/evaluation.md counts how often the first label is right below it."""
NONE_SPREADS = 1.25
"""Standard deviations above the background that a label needs to apply. A higher value refuses more wrong
labels and more right ones; docs/evaluation.md counts both."""


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """The zero-shot classification of one picture against n >= 1 labels, in the labels' order.

    Attributes:
        cosines: (n,) float64 in [-1, 1].
        logits: (n,) float64, scale x cosine + bias.
        probabilities: (n,) float64 softmax of the logits; sums to 1.
        entropy_bits: entropy of the probabilities in bits, in [0, log2 n].
        margin: largest minus second largest probability, in [0, 1]; 1 with a single label.
    """

    cosines: Floats
    logits: Floats
    probabilities: Floats
    entropy_bits: float
    margin: float


def zero_shot(picture: Vector, labels: Matrix, scale: float, bias: float = 0.0) -> ZeroShot:
    """Classify a picture against labels by the encoder alone.

    Args:
        picture: (d,) float32, unit norm.
        labels: (n, d) float32, unit rows, n >= 1.
        scale: the model's own logit scale, > 0.
        bias: the model's own logit bias; 0 unless it was trained with a sigmoid.

    Raises:
        InvalidInput: there are no labels, their dimension differs, or a value is not finite.

    Source: Radford et al. 2021, section 3.1.2.
    """
    if labels.ndim != 2 or not len(labels) or labels.shape[1:] != picture.shape:
        raise InvalidInput("Classifying needs labels in the picture's space, at least one.")
    near = cosines(labels, picture)
    # The cosines as they are: divided again they would differ in the last digit.
    return replace(of_logits(logits(near, scale, bias), scale, bias), cosines=near)


def of_logits(scaled: Floats, scale: float, bias: float = 0.0) -> ZeroShot:
    """Return the classification that (n,) logits, n >= 1, were kept of.

    Args:
        scaled: as `logits` returns them.
        scale: the model's own logit scale, > 0.
        bias: the model's own logit bias.

    Raises:
        InvalidInput: there is no logit, or one is not finite.
    """
    found = softmax(scaled)
    return ZeroShot((scaled - bias) / scale, scaled, found, entropy_bits(found), margin(found))


def probabilities(pictures: Matrix, labels: Matrix, scale: float, bias: float = 0.0) -> Floats:
    """Return the (m, n) probabilities of `zero_shot` for (m, d) pictures, m >= 0, each row summing to 1."""
    scaled = logits(pictures.astype(np.float64) @ labels.astype(np.float64).T, scale, bias)
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def logits(near: npt.ArrayLike, scale: float, bias: float = 0.0) -> Floats:
    """Return the logits of cosines: scale x cosine + bias, as float64 of the same shape."""
    return scale * np.asarray(near, dtype=np.float64) + bias


def softmax(values: npt.ArrayLike) -> Floats:
    """Return (n,) probabilities that sum to 1, of (n,) finite logits, n >= 1.

    Raises:
        InvalidInput: there is no logit, or one is not finite.
    """
    wide = np.asarray(values, dtype=np.float64)
    if not wide.size or not np.isfinite(wide).all():
        raise InvalidInput("Probabilities need at least one logit, and finite ones.")
    # The largest logit becomes 0, so exp never overflows and at least one term is 1.
    exponentials = np.exp(wide - wide.max())
    return np.asarray(exponentials / exponentials.sum())


def sigmoid(values: npt.ArrayLike) -> Floats:
    """Return 1 / (1 + exp(-x)) of each value; no finite value overflows."""
    wide = np.asarray(values, dtype=np.float64)
    # Both branches take exp of a negative number, which cannot overflow.
    small = np.exp(-np.abs(wide))
    return np.where(wide >= 0, 1.0, small) / (1.0 + small)


def sigmoid_probabilities(values: npt.ArrayLike) -> Floats:
    """Return the probability that each label applies, independent of the others, of its logit.

    They are calibrated for models trained with a sigmoid loss, whose bias is in the logits. For
    other models only their order has a meaning.

    Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (2023), section 3.2.
    """
    return sigmoid(values)


def entropy_bits(probabilities: npt.ArrayLike) -> float:
    """Return the Shannon entropy in bits (log2) of a full distribution; 0 log 0 is 0."""
    shares = np.asarray(probabilities, dtype=np.float64)
    present = shares[shares > 0]
    # max turns the minus zero of a certain label into zero.
    return max(0.0, float(-(present * np.log2(present)).sum()))


def margin(probabilities: npt.ArrayLike) -> float:
    """Return the largest minus the second largest probability; 1 for a single one."""
    shares = np.sort(np.asarray(probabilities, dtype=np.float64))
    return float(shares[-1] - shares[-2]) if shares.size > 1 else 1.0


def is_ambiguous(entropy: float, lead: float, entropy_threshold: float) -> bool:
    """Return whether a classification is ambiguous, by its entropy and its margin.

    Args:
        entropy: entropy of all probabilities, in bits.
        lead: the margin of the probabilities.
        entropy_threshold: in bits; a higher entropy is ambiguous (setting ENTROPY_THRESHOLD).
    """
    return entropy > entropy_threshold or lead < MARGIN_FLOOR


def none_of_these(best_cosine: float, background_cosines: npt.ArrayLike) -> bool:
    """Return whether no label applies: the nearest label is no nearer than unrelated texts.

    A softmax always names a label, however far all labels are. The level of cosines differs between
    models and between pictures, so each picture is compared with its own background. A label applies
    when it is NONE_SPREADS standard deviations above the background's mean. The more labels there
    are, the nearer the best wrong one comes, and the less this test can tell.

    Args:
        best_cosine: cosine of the nearest label, in [-1, 1].
        background_cosines: (w,) cosines of the same picture with `feedback.concepts.CONCEPTS`; when
            empty, False is returned.
    """
    background = np.asarray(background_cosines, dtype=np.float64)
    if not background.size:
        return False
    return best_cosine < float(background.mean() + NONE_SPREADS * background.std())
