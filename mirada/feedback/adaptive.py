"""Scores moved by verdicts: kernel evidence around each picture, one vote a person, a Beta prior.

For a theme, verdicts are evidence (v_i, accepted or rejected, by person p). For a picture x:

1. k_i = exp(-SHARPNESS (1 - cos(x, v_i))), in theme vectors (`feedback.concepts`). The cache of
   Tip-Adapter: Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP" (ECCV 2022), eq. 3 to 5.
2. Each person has one voice per sign: V = min(1, K (1 + HALF_VOICE) / (K + HALF_VOICE)), K the sum of
   their k_i of that sign. Adding a verdict never weakens another one of theirs.
3. affinity = (M prior + S+) / (M + S+ + S-): the posterior mean of a Beta prior, which is the encoder's
   own score, or 0.5 where it has none. S+ is the sum of accepting voices, S- that of rejecting ones
   times REJECTION_WEIGHT, and M = PRIOR_VOICES + ABSTENTION x the number of voices, rejecting ones
   again at their weight: evidence is judged by how much of it speaks about x, not by its amount.
4. moved = (1 - alpha) prior + alpha affinity; over a set of labels, divided by its sum.

No evidence changes nothing. Accepting a picture raises it and what is like it, rejecting lowers it.
Everything stays in [0, 1], and order does not matter. One person, whatever they do, moves an affinity
by at most LARGEST_PUSH, and a score by alpha times that before the division by the sum.
The reasons and the figures are in docs/decisions/0007.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mirada.kernel.embeddings import Matrix, Vector
from mirada.kernel.errors import InvalidInput
from mirada.kernel.similarity import Floats

SHARPNESS = 5.5
"""Tip-Adapter's beta. From 4 to 8 the demo's themes are learned equally well."""
HALF_COSINE = 0.5
"""Where one verdict is worth half a voice. In theme vectors, two pictures of one theme have a cosine of
0.20 on average and unrelated ones 0.01, with a spread of 0.11: those add 0.06 of a voice."""
HALF_VOICE = math.exp(-SHARPNESS * (1 - HALF_COSINE))
PRIOR_VOICES = 2.0
"""How many people it takes to outweigh the encoder."""
REJECTION_WEIGHT = 0.25
"""What belongs to a theme is alike; what does not is everything else, so a rejection says less about
the pictures around it. 1 instead costs 0.02 of AUC and makes an adversary twice as harmful."""
ABSTENTION = 0.25
"""How much of the prior each voice brings along. Without it, a hundred people who accept pictures of
one label, each adding a little everywhere, turn a sixth of all other stickers into that label."""
LARGEST_PUSH = 1 / (PRIOR_VOICES + 1)
NO_OPINION = 0.5
"""The prior of a theme that is no label: nothing is known of it but verdicts."""
LEAST_OF_EACH_KIND, LEAST_PEOPLE = 10, 3
"""What a threshold is fitted from at least: 20 verdicts, half of each kind, that are not one person's
or two people's opinion."""
MANY_PICTURES = 64
TINY = 1e-300
"""Keeps a voice that is nowhere near from a division by zero."""
SAME_PICTURE = 1 - 1e-5
"""Cosine from which two verdicts are on one picture: float32 rounding stays within 1e-6."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The verdicts on one theme, in any order.

    Attributes:
        vectors: (m, e) float32, unit rows: theme vectors of the judged pictures.
        accepted: (m,) bool.
        people: (m,) int64: who said so.
    """

    vectors: Matrix
    accepted: npt.NDArray[np.bool_]
    people: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        rows = self.vectors.shape[0] if self.vectors.ndim == 2 else -1
        if self.accepted.shape != (rows,) or self.people.shape != (rows,):
            raise InvalidInput("Evidence needs a vector, a verdict and a person per row.")

    def __len__(self) -> int:
        return len(self.people)


@dataclass(frozen=True, slots=True)
class ThemeShift:
    """The change of one picture's score for one theme by verdicts.

    Attributes:
        before: the prior, in [0, 1].
        after: the moved score, in [0, 1], before any division by a sum.
        contributions: (m,) float64: how much lower `after` would be without that verdict. Those on
            pictures unlike this one may have the other sign, slightly: they say that the theme is
            elsewhere. Voices have a limit, so contributions need not add up to the shift.
    """

    before: float
    after: float
    contributions: Floats


def affinities(pictures: Matrix, evidence: Evidence, priors: npt.ArrayLike = NO_OPINION) -> Floats:
    """Return (n,) affinities in [0, 1] of pictures to a theme; the priors where there is no evidence.

    Args:
        pictures: (n, e) float32, theme vectors.
        evidence: in the same vocabulary.
        priors: one for all, or (n,), each in [0, 1].

    Raises:
        InvalidInput: another dimension, or a prior outside [0, 1].
    """
    before = np.broadcast_to(np.asarray(priors, dtype=np.float64), (len(pictures),))
    if not ((before >= 0) & (before <= 1)).all():
        raise InvalidInput("A prior is a number from 0 to 1.")
    if not len(evidence):
        return before.copy()
    return _affinities(_kernel(pictures, evidence.vectors), evidence, before)


def affinity(picture: Vector, evidence: Evidence, prior: float = NO_OPINION) -> float:
    """Return `affinities` of one (e,) picture."""
    return float(affinities(picture.reshape(1, -1), evidence, prior)[0])


def loudness(picture: Vector, evidence: Evidence) -> tuple[Floats, float]:
    """Return (m,) how much each verdict says of a picture, and what all together is divided by.

    The sum over the accepting verdicts is S+, over the rejecting ones S-; the divisor is M + S+ + S-.
    Within a voice each verdict has the share of its nearness.
    """
    near = _kernel(picture.reshape(1, -1), evidence.vectors)
    tally = _tally(near, evidence)
    per_nearness = _voice(tally.sums[0]) * tally.weights / np.maximum(tally.sums[0], TINY)
    mass = PRIOR_VOICES + tally.abstention + tally.support[0] + tally.opposition[0]
    return near[0] * per_nearness[tally.voice_of], float(mass)


def adapted_scores(
    clip_scores: npt.ArrayLike, picture: Vector, evidence: Mapping[int, Evidence], alpha: float
) -> Floats:
    """Return (n,) scores over labels that sum to 1: the encoder's, moved by what people said.

    Args:
        clip_scores: (n,) probabilities of the encoder alone, summing to 1.
        picture: (e,) float32, its theme vector.
        evidence: by position of the label; labels without any may be absent.
        alpha: how much feedback weighs, in [0, 1] (ADAPTIVE_ALPHA).

    Returns:
        `clip_scores`, digit for digit, where no label has evidence.

    Raises:
        InvalidInput: alpha outside [0, 1], or evidence in another vocabulary.
    """
    before = np.array(clip_scores, dtype=np.float64)
    require_alpha(alpha)
    judged = {position: found for position, found in evidence.items() if len(found)}
    if not judged or alpha == 0:
        return before
    moved = before.copy()
    for position, found in judged.items():
        # min: a softmax of one label may be 1 + 1e-16.
        prior = min(1.0, float(before[position]))
        moved[position] = (1 - alpha) * prior + alpha * affinity(picture, found, prior)
    total = moved.sum()
    # Every label with any probability rejected out of it: nothing better is known than the encoder.
    return moved / total if total > 0 else before


def theme_shift(
    picture: Vector, evidence: Evidence, alpha: float, prior: float = NO_OPINION
) -> ThemeShift:
    """Return a picture's score before and after the evidence, and what each verdict did.

    Raises:
        InvalidInput: alpha or the prior outside [0, 1], or evidence in another vocabulary.
    """
    require_alpha(alpha)
    after = (1 - alpha) * prior + alpha * affinity(picture, evidence, prior)
    if not len(evidence):
        return ThemeShift(prior, after, np.zeros(0))
    kernel = _kernel(picture.reshape(1, -1), evidence.vectors)
    tally = _tally(kernel, evidence)
    sums = tally.sums[0, tally.voice_of]
    # max: cancellation may leave -1e-17 where a voice has one verdict.
    lost = _voice(sums) - _voice(np.maximum(0.0, sums - kernel[0]))
    lost *= tally.weights[tally.voice_of]
    is_only_one = np.bincount(tally.voice_of)[tally.voice_of] == 1
    silenced = ABSTENTION * np.where(is_only_one, tally.weights[tally.voice_of], 0.0)
    without = _posterior(
        np.full(len(evidence), prior),
        tally.support[0] - np.where(evidence.accepted, lost, 0.0),
        tally.opposition[0] - np.where(evidence.accepted, 0.0, lost),
        tally.abstention - silenced,
    )
    return ThemeShift(prior, after, after - ((1 - alpha) * prior + alpha * without))


def fitted_threshold(evidence: Evidence) -> float | None:
    """Return the affinity from which pictures are accepted, as people judged; None for too few.

    Each judged picture's affinity is computed without any verdict on that picture (leave one out).
    The threshold is the midpoint of two neighbouring values with the largest balanced accuracy: the
    mean of the accepted and the rejected pictures' shares on the right side. Among equals it is the
    one nearest to 0.5.

    Returns:
        In (0, 1); None with fewer than LEAST_OF_EACH_KIND verdicts of a kind or LEAST_PEOPLE people,
        or where no threshold does better than chance.
    """
    accepted = evidence.accepted
    kinds = min(int(accepted.sum()), int((~accepted).sum()))
    if kinds < LEAST_OF_EACH_KIND or len(np.unique(evidence.people)) < LEAST_PEOPLE:
        return None
    kernel = _kernel(evidence.vectors, evidence.vectors)
    kernel[kernel >= math.exp(-SHARPNESS * (1 - SAME_PICTURE))] = 0.0
    held_out = _affinities(kernel, evidence, np.full(len(evidence), NO_OPINION))
    values = np.unique(held_out)
    if len(values) < 2:
        return None
    middles = (values[1:] + values[:-1]) / 2
    found = np.searchsorted(np.sort(held_out[accepted]), middles, side="left")
    turned_away = np.searchsorted(np.sort(held_out[~accepted]), middles, side="left")
    balanced = (1 - found / accepted.sum() + turned_away / (~accepted).sum()) / 2
    best = np.flatnonzero(balanced >= balanced.max() - 1e-12)
    if balanced.max() <= 0.5:
        return None
    return float(middles[best[np.argmin(np.abs(middles[best] - 0.5))]])


def _kernel(pictures: Matrix, judged: Matrix) -> Floats:
    """Return (n, m) similarities in (0, 1]: 1 for the same direction."""
    if pictures.shape[1:] != judged.shape[1:]:
        raise InvalidInput("The picture and the evidence are in two vocabularies.")
    wide, said = pictures.astype(np.float64), judged.astype(np.float64)
    # einsum adds in one order whatever the number of rows, and wakes no threads; many are worth them.
    near = wide @ said.T if len(wide) >= MANY_PICTURES else np.einsum("ne,me->nm", wide, said)
    return np.asarray(np.exp(-SHARPNESS * (1 - np.clip(near, -1.0, 1.0))))


@dataclass(frozen=True, slots=True)
class _Tally:
    """Evidence counted for n pictures; a voice is one person and one sign.

    Attributes:
        voice_of: (m,) int64, the voice that each verdict belongs to.
        sums: (n, voices) float64, K.
        weights: (voices,) float64, 1 or REJECTION_WEIGHT.
        support: (n,) float64, S+.
        opposition: (n,) float64, S-.
        abstention: what the voices add to M.
    """

    voice_of: npt.NDArray[np.int64]
    sums: Floats
    weights: Floats
    support: Floats
    opposition: Floats
    abstention: float


def _tally(kernel: Floats, evidence: Evidence) -> _Tally:
    _, person = np.unique(evidence.people, return_inverse=True)
    voices, voice_of = np.unique(2 * person + evidence.accepted, return_inverse=True)
    sums = np.zeros((len(kernel), len(voices)))
    for row, near in zip(sums, kernel, strict=True):
        row[:] = np.bincount(voice_of, weights=near, minlength=len(voices))
    accepts = voices % 2 == 1
    weights = np.where(accepts, 1.0, REJECTION_WEIGHT)
    said = _voice(sums) * weights
    return _Tally(
        voice_of=voice_of,
        sums=sums,
        weights=weights,
        support=said[:, accepts].sum(axis=1),
        opposition=said[:, ~accepts].sum(axis=1),
        abstention=ABSTENTION * float(weights.sum()),
    )


def _affinities(kernel: Floats, evidence: Evidence, priors: Floats) -> Floats:
    tally = _tally(kernel, evidence)
    return _posterior(priors, tally.support, tally.opposition, tally.abstention)


def _voice(sums: Floats) -> Floats:
    return np.asarray(np.minimum(1.0, sums * (1 + HALF_VOICE) / (sums + HALF_VOICE)))


def _posterior(
    priors: Floats, support: Floats, opposition: Floats, abstention: npt.ArrayLike
) -> Floats:
    mass = PRIOR_VOICES + np.asarray(abstention, dtype=np.float64)
    return np.asarray((mass * priors + support) / (mass + support + opposition))


def require_alpha(alpha: float) -> None:
    """Raise InvalidInput for an alpha outside [0, 1]."""
    if not 0 <= alpha <= 1:
        raise InvalidInput("The weight of feedback is a number from 0 to 1.")
