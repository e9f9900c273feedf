"""What an image shows: its labels with bars, what the caller says of them, and what a verdict does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mirada.classify.labelling import queue_labels
from mirada.classify.labels_of_image import LabelledImage, labels_of_image
from mirada.classify.verdict_effect import Effect, effect_of
from mirada.feedback import verdicts
from mirada.feedback.opinions import Change, Opinion
from mirada.kernel.errors import Conflict, NotFound, Unavailable
from mirada.kernel.themes import theme_key
from webapp.callers.auth import current_caller
from webapp.http.current import current_runtime, request_id
from webapp.pages.image_address import ImagePage
from webapp.pages.tiles import Tile


@dataclass(frozen=True, slots=True)
class Bar:
    """A label of an image.

    Attributes:
        name: of the label.
        score: in [0, 1].
        accepted: what the caller says of it.
        verdict_id: of the caller's verdict; None without one.
    """

    name: str
    score: float
    accepted: Opinion = None
    verdict_id: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A change of the caller's opinion, and what it did.

    Attributes:
        change: the change.
        effect: None where nobody can say.
        verdict_id: of the verdict that stands; None where it was taken back.
    """

    change: Change
    effect: Effect | None
    verdict_id: int | None

    @property
    def examples(self) -> Sequence[Tile]:
        """The pictures that it moves most."""
        return [] if self.effect is None else [Tile(one.image) for one in self.effect.examples]


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of an image.

    Attributes:
        bars: the likeliest first.
        margin: how much the first leads the second, in [0, 1]; None without labels.
        entropy_bits: how much doubt there is.
        is_none_of_these: the picture is none of what the labels name.
        is_waiting: they are being judged.
        is_unknown: nothing can be known of them.
    """

    bars: Sequence[Bar] = ()
    margin: float | None = None
    entropy_bits: float = 0.0
    is_none_of_these: bool = False
    is_waiting: bool = False
    is_unknown: bool = False


def labels(image_id: int) -> Labels:
    """Return what an image shows; where that was not judged yet, ask for it. Raises NotFound."""
    runtime, caller = current_runtime(), current_caller()
    try:
        labelled = labels_of_image(runtime, image_id, caller.audience)
        if labelled is not None:
            return _labels(labelled)
        with runtime.transaction() as session:
            job = queue_labels(session, image_id, owner_id=caller.user_id, request_id=request_id())
        runtime.doorbell.ring(job.id, job.kind)
    except Conflict:
        return Labels(is_unknown=True)
    except Unavailable:
        # The model is being loaded, or the database takes no changes.
        return Labels(is_waiting=True)
    return Labels(is_waiting=True)


def _labels(labelled: LabelledImage) -> Labels:
    summary = labelled.classifier.summary(labelled.found)
    said = {row.theme: row for row in labelled.verdicts}
    bars = []
    for each in summary["top_labels"]:
        own = said.get(theme_key(each["label"]))
        bars.append(
            Bar(each["label"], each["score"])
            if own is None
            else Bar(each["label"], each["score"], own.accepted, own.id)
        )
    return Labels(
        bars,
        margin=summary["confidence_margin"],
        entropy_bits=summary["entropy"],
        is_none_of_these=summary["none_of_these"],
    )


def told(change: Change, verdict_id: int | None) -> Told:
    """Return a change with its effect; call it outside any transaction."""
    return Told(change, effect_of(current_runtime(), change, current_caller().audience), verdict_id)


def told_by_address(page: ImagePage, content_id: int) -> Told | None:
    """Return what the verdict that the address names did; None unless the caller gave it on this picture."""
    user_id = current_caller().user_id
    if page.verdict is None or user_id is None:
        return None
    try:
        with current_runtime().reading() as session:
            row = verdicts.get_feedback(session, page.verdict, user_id)
    except NotFound:
        return None
    if row.content_id != content_id:
        return None
    change = Change(user_id, content_id, row.theme, page.was, row.accepted)
    return told(change, page.verdict)
