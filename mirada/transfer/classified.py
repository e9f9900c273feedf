"""Import what a classifier remembered: hashes with vectors, verdicts, expansions of labels; no bytes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.classify.remembered import Remark, remember_sent
from mirada.db.chunks import rows_in
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.contents import lock_content
from mirada.db.models import Content
from mirada.db.visibility import may_see_content
from mirada.kernel.audience import Audience
from mirada.kernel.embeddings import EmbeddingSpace, Vector
from mirada.kernel.errors import InvalidInput
from mirada.kernel.images import ImageFormat, PictureFacts
from mirada.pictures.folder_import import patiently
from mirada.pictures.register import NewPicture
from mirada.runtime import Runtime
from mirada.transfer import expansions, people, vectors
from mirada.transfer.asked import Wishes
from mirada.transfer.claims import Claim, claimed
from mirada.transfer.importing import ROWS, OnProgress, run_of
from mirada.transfer.pictures import PictureFolder
from mirada.transfer.records import Refused
from mirada.transfer.reports import TransferReport
from mirada.transfer.runs import Run
from mirada.transfer.sources.classifier_tables import ClassifierTables, Remembered, Verdict
from mirada.transfer.storing import keep_verdict

UNKNOWN_FACTS = PictureFacts(ImageFormat.PNG, 0, 0, 1)
"""Of a picture whose bytes never were here; whoever uploads them brings the real ones."""


def import_classified(
    runtime: Runtime,
    source: ClassifierTables,
    wishes: Wishes,
    *,
    pictures: PictureFolder | None = None,
    report: OnProgress = lambda _: None,
    rows: int = ROWS,
) -> TransferReport:
    """Take what a classifier remembered: pictures by hash and vector, verdicts, expansions of labels.

    Args:
        runtime: a migrated one.
        source: the tables.
        wishes: how; a vector comes along only where its model is said to be ours, and a picture without
            one cannot come.
        pictures: files of some of the pictures, named by their hashes, to compare vectors with.
        report: called with the running report after every batch.
        rows: per transaction, >= 1.

    Raises:
        Conflict: another process imports from this source.
        InvalidInput: the tables cannot be read, or the vectors are not ours.
    """
    outcome = TransferReport(source.name, wishes.is_dry)
    with claimed(runtime, source.name) as claim, run_of(runtime, source, wishes) as run:
        if wishes.vectors_are is None:
            raise InvalidInput(
                "A classifier keeps no pictures, so only vectors can come along: say by --vectors-are "
                f"which model they are of. This library's is {runtime.space()[1].model}."
            )
        space = runtime.space()
        vectors.require_ours(wishes.vectors_are, space[1])
        if wishes.is_compared:
            outcome.agreement = _compared(runtime, source, pictures, space[1])
        work = _Classified(runtime, wishes, claim, outcome, space, run)
        _in_batches(source.remembered(), rows, work.take, lambda: report(outcome))
        _in_batches(source.verdicts(), rows, work.judge, lambda: report(outcome))
        expansions.take(runtime, source.expansions(), outcome)
        outcome.is_complete, run.latest = True, outcome.counts()
    return outcome


def _in_batches(
    rows: Iterator[Any], size: int, take: Callable[[list[Any]], None], report: Callable[[], None]
) -> None:
    while batch := list(itertools.islice(rows, size)):
        take(batch)
        report()


def _compared(
    runtime: Runtime,
    source: ClassifierTables,
    pictures: PictureFolder | None,
    space: EmbeddingSpace,
) -> vectors.Agreement:
    """Compare a sample of the vectors with what the model computes of their pictures."""
    if pictures is None:
        raise InvalidInput(
            "The classifier kept no pictures, so its vectors cannot be compared with this model's. Give "
            "some of them by --pictures FOLDER, each called by its hash, such as 60303ae2....png; or "
            "say --vectors-unchecked."
        )
    sample: list[tuple[Any, Vector]] = []
    for row in source.remembered():
        if isinstance(row, Refused):
            continue
        path = pictures.of_hash(row.sha256)
        if path is not None:
            try:
                sample.append((path, vectors.read(row.vector, space.dimension)))
            except InvalidInput:
                continue
        if len(sample) == vectors.SAMPLE:
            break
    if not sample:
        raise InvalidInput("No picture of that folder is called by a hash of the classifier's.")
    return vectors.compare(runtime, sample)


@dataclass(slots=True)
class _Classified:
    """The batches of one import."""

    runtime: Runtime
    wishes: Wishes
    claim: Claim
    outcome: TransferReport
    space: tuple[int, EmbeddingSpace]
    run: Run

    def take(self, rows: list[Remembered | Refused]) -> None:
        """Remember a batch of pictures, completely or not at all."""
        good: list[tuple[Remembered, Vector]] = []
        for row in rows:
            try:
                if isinstance(row, Refused):
                    self.outcome.refuse(row)
                else:
                    good.append((row, vectors.read(row.vector, self.space[1].dimension)))
            except InvalidInput as error:
                called = None if isinstance(row, Refused) else row.sha256
                self.outcome.refuse(Refused(row.number, called, error.detail))
        owners = self._people([row.by for row, _ in good])
        chosen = [pair for pair in good if self._is_here(pair[0], owners)]
        done = len(chosen) if self.wishes.is_dry else self._written(chosen, owners)
        self.outcome.taken += done
        self.outcome.vectors_taken += done
        self.outcome.already_there += len(chosen) - done

    def judge(self, rows: list[Verdict | Refused]) -> None:
        """Keep a batch of verdicts on pictures that their givers may see."""
        good = []
        for row in rows:
            if isinstance(row, Refused):
                self.outcome.refuse(row)
            else:
                good.append(row)
        if self.wishes.is_dry:
            self.outcome.marks_taken += len(good)
            return
        owners = self._people([row.by for row in good])
        chosen = [row for row in good if self._is_here(row, owners)]

        def write() -> set[int]:
            with self.runtime.transaction() as session:
                self.claim.renew(session)
                self.run.note(session, self.outcome.counts())
                # In the order of the locks.
                ordered = sorted(chosen, key=lambda row: (row.sha256, row.number))
                return {
                    row.number
                    for row in ordered
                    if self._kept(session, row, self._owner(row, owners))
                }

        kept = patiently(write)
        self.outcome.marks_taken += len(kept)
        for row in chosen:
            if row.number not in kept:
                told = "A verdict on a picture that did not come, or that is not its giver's."
                self.outcome.refuse(Refused(row.number, row.sha256, told))

    def _kept(self, session: Session, row: Verdict, user_id: int) -> bool:
        seen = select(Content.id).where(
            Content.sha256 == row.sha256, may_see_content(Audience(user_id), Content.id)
        )
        content_id = session.execute(seen).scalar_one_or_none()
        if content_id is None or lock_content(session, content_id) is None:
            return False
        keep_verdict(session, user_id, content_id, row.theme, row.mark)
        return True

    def _people(self, named: list[str | None]) -> dict[str, int]:
        wanted = {name for name in named if name is not None} if self.wishes.keeps_owners else set()
        if self.wishes.creates_people and not self.wishes.is_dry and wanted:
            with self.runtime.transaction() as session:
                self.outcome.people_made += people.make_people(session, dict.fromkeys(wanted))
        with self.runtime.reading() as session:
            return people.known_people(session, wanted)

    def _owner(self, row: Remembered | Verdict, owners: Mapping[str, int]) -> int:
        if row.by is None or not self.wishes.keeps_owners:
            return self.wishes.owner_id
        return owners[row.by]

    def _is_here(self, row: Remembered | Verdict, owners: Mapping[str, int]) -> bool:
        is_here = row.by is None or not self.wishes.keeps_owners or row.by in owners
        if not is_here and not (self.wishes.is_dry and self.wishes.creates_people):
            told = f"The user '{row.by}' is not here: --create-users makes them."
            self.outcome.refuse(Refused(row.number, row.sha256, told))
            return False
        return True

    def _written(self, chosen: list[tuple[Remembered, Vector]], owners: Mapping[str, int]) -> int:
        """Write a batch and return how many pictures were not remembered before."""

        def write() -> int:
            with self.runtime.transaction() as session:
                self.claim.renew(session)
                known = _remembered(session, [row.sha256 for row, _ in chosen])
                new = 0
                for row, vector in sorted(chosen, key=lambda pair: pair[0].sha256):
                    owner_id = self._owner(row, owners)
                    if (owner_id, row.sha256) in known:
                        continue
                    known.add((owner_id, row.sha256))
                    self._remember(session, row, vector, owner_id)
                    new += 1
                told = self.outcome.counts(new)
                there = told.already_there + len(chosen) - new
                done = told.done + len(chosen) - new
                self.run.note(session, replace(told, done=done, already_there=there))
            return new

        return patiently(write)

    def _remember(self, session: Session, row: Remembered, vector: Vector, owner_id: int) -> None:
        space_id, space = self.space
        kept = remember_sent(
            session,
            NewPicture(row.sha256, 0, UNKNOWN_FACTS),
            owner_id=owner_id,
            space_id=space_id,
            space=space,
            vector=vector,
            is_encoded_now=False,
            remark=Remark(row.asset_id, row.theme),
        )
        if row.at is not None:
            kept.created_at = row.at


def _remembered(session: Session, hashes: list[str]) -> set[tuple[int, str]]:
    query = (
        select(ClassifiedPicture.owner_id, Content.sha256)
        .join(Content, Content.id == ClassifiedPicture.content_id)
        .where(ClassifiedPicture.sent_bytes.is_(True))
    )
    return {(row[0], row[1]) for row in rows_in(session, query, Content.sha256, hashes)}
