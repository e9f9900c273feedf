"""Take the batches of an import: look, read, store, ring."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mirada.captions.wording import recipe_in_force
from mirada.db import spaces
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.jobs.batches import BATCH
from mirada.kernel.embeddings import EmbeddingSpace, Vector
from mirada.kernel.errors import InvalidInput, Unavailable
from mirada.kernel.external_ids import number_of
from mirada.kernel.user_text import checked_text
from mirada.pictures import external_ids, intake
from mirada.pictures.folder_import import patiently
from mirada.pictures.new_image import FileClaims, Processing
from mirada.pictures.register import NewPicture
from mirada.ports import StagedFile
from mirada.runtime import Runtime
from mirada.transfer import ours, people, vectors
from mirada.transfer.asked import Source, Wishes
from mirada.transfer.claims import Claim
from mirada.transfer.pictures import PictureFolder, name_of, number_in
from mirada.transfer.records import Record, Refused
from mirada.transfer.reports import TransferReport
from mirada.transfer.runs import Run
from mirada.transfer.storing import Batch, Item, Stored, known_ids, store

HEADROOM = 10_000
"""Old numbers are kept clear of so far ahead, so that not every batch does it."""


@dataclass(slots=True)
class Taking:
    """One import's batches: look, read, store, ring."""

    runtime: Runtime
    source: Source
    folder: PictureFolder
    wishes: Wishes
    claim: Claim
    outcome: TransferReport
    space: tuple[int, EmbeddingSpace] | None
    readers: ThreadPoolExecutor
    run: Run = field(default_factory=Run)
    clear_of: int = 0

    def take(self, rows: Iterable[Record | Refused]) -> None:
        """Take a batch in, completely or, when this raises, not at all."""
        for row in rows:
            if isinstance(row, Refused):
                self.outcome.refuse(row)
        records = self._new([row for row in rows if isinstance(row, Record)])
        known = patiently(lambda: self._people(records))
        checked = [each for each in records if self._has_owner(each, known)]
        read = self._once(
            [(record, found) for record in checked if (found := self._checked(record))]
        )
        if self.wishes.is_dry:
            self.outcome.taken += len(read)
            self.outcome.vectors_taken += sum(vector is not None for _, (_, vector) in read)
            return
        self._keep_clear([record for record, _ in read])
        items = self._items(read)
        if items:
            self._settle(items, self._store(items))
        else:
            patiently(lambda: self._note(()))

    def _new(self, records: list[Record]) -> list[Record]:
        """Return the records that are not there."""

        def known() -> set[tuple[str, str]]:
            with self.runtime.reading() as session:
                return {
                    (source, found)
                    for source in {self._key(record)[0] for record in records}
                    for found in known_ids(session, source, [ours.id_of(each) for each in records])
                }

        seen = patiently(known)
        new = [record for record in records if self._key(record) not in seen]
        self.outcome.already_there += len(records) - len(new)
        return new

    def _once(
        self, read: list[tuple[Record, tuple[Path, Vector | None]]]
    ) -> list[tuple[Record, tuple[Path, Vector | None]]]:
        """Return the first of each id; a second one is there by then."""
        first = {self._key(record): pair for pair in reversed(read) for record in (pair[0],)}
        self.outcome.already_there += len(read) - len(first)
        return [pair for pair in read if first[self._key(pair[0])] is pair]

    def _key(self, record: Record) -> tuple[str, str]:
        return ours.source_of(record, self.source.name), ours.id_of(record)

    def _people(self, records: list[Record]) -> dict[str, int]:
        """Return our ids of the people of these records, who are made where that is wished."""
        named: dict[str, str | None] = {}
        for record in records:
            named |= {person: named.get(person) for person in record.people}
            named |= record.more.get("names", {})
            if record.owner is not None and record.owner_name is not None:
                named[record.owner] = record.owner_name
        if self.wishes.creates_people and not self.wishes.is_dry:
            with self.runtime.transaction() as session:
                plain = {name for each in records for name in each.more.get("usernames", ())}
                plain |= {each.owner for each in records if each.owner and each.is_named_only}
                self.outcome.people_made += people.make_people(session, named, plain)
        with self.runtime.reading() as session:
            return people.known_people(session, list(named))

    def _has_owner(self, record: Record, known: Mapping[str, int]) -> bool:
        if record.owner is None or not self.wishes.keeps_owners or record.owner in known:
            return True
        if self.wishes.creates_people and self.wishes.is_dry and people.may_be_made(record.owner):
            return True
        can = people.may_be_made(record.owner) and not self.wishes.creates_people
        told = "--create-users makes them, and --owner NAME gives" if can else "--owner NAME gives"
        self._refuse(
            record,
            f"Its owner '{record.owner[:60]}' is not here: {told} somebody everything.",
        )
        return False

    def _checked(self, record: Record) -> tuple[Path, Vector | None] | None:
        """Return where the picture is, and its vector; None, and a line of the report, otherwise."""
        try:
            checked_text("prompt", record.prompt)
            checked_text("caption", record.caption)
            path, vector = self.folder.find(record.picture), None
            if self.space is not None and record.vector is not None:
                vector = vectors.read(record.vector, self.space[1].dimension)
        except InvalidInput as error:
            self._refuse(record, error.detail)
            return None
        return path, vector

    def _refuse(self, record: Record, reason: str) -> None:
        self.outcome.refuse(Refused(record.number, record.external_id, reason))

    def _keep_clear(self, records: list[Record]) -> None:
        """Let new images have no id that old clients take for one of these."""
        highest = max(
            (
                max(number_of(ours.id_of(each)) or 0, number_in(name_of(each.picture)))
                for each in records
            ),
            default=0,
        )
        if highest > self.clear_of:
            with self.runtime.transaction() as session:
                external_ids.keep_clear(session, highest + HEADROOM)
            self.clear_of = highest + HEADROOM

    def _items(self, read: list[tuple[Record, tuple[Path, Vector | None]]]) -> list[Item]:
        """Store the files, several at once; a picture that is refused is a line of the report.

        The run says which files it is about to store, so that none is left behind when it is killed.
        """
        futures = [
            (record, vector, self.readers.submit(self._looked, record, path))
            for record, (path, vector) in read
        ]
        items: list[Item] = []
        staged: list[StagedFile] = []
        try:
            trouble = None
            for record, vector, future in futures:
                try:
                    file, picture = future.result()
                    staged.append(file)
                    items.append(Item(record, picture, vector))
                except InvalidInput as error:
                    self._refuse(record, error.detail)
                except OSError as error:
                    self._refuse(record, f"Its picture cannot be read: {error.strerror}.")
                except Unavailable as error:
                    trouble = error
            if trouble is not None:
                raise trouble
            if items:
                keys = [item.picture.storage_key for item in items]
                patiently(lambda: self._note(keys))
            list(self.readers.map(self.runtime.image_store.commit, staged, keys if items else ()))
        except BaseException:
            for item in items:
                intake.drop(self.runtime, item.picture)
            raise
        finally:
            for file in staged:
                file.discard()
        return items

    def _note(self, in_hand: Sequence[str]) -> None:
        """Write how far the run is, and which files no row names yet."""
        with self.runtime.transaction() as session:
            self.claim.renew(session)
            self.run.note(session, self.outcome.counts(), in_hand)

    def _looked(self, record: Record, path: Path) -> tuple[StagedFile, NewPicture]:
        if path.stat().st_size > self.runtime.settings.max_upload_bytes:
            limit = self.runtime.settings.max_upload_mb
            raise InvalidInput(f"Its picture is larger than {limit} MB (MAX_UPLOAD_MB).")
        staged = self.runtime.image_store.stage()
        try:
            with path.open("rb") as file:
                shutil.copyfileobj(file, staged.stream, 1024 * 1024)
            # An export of ours says itself what the file says.
            reads = self.wishes.reads_metadata and not record.more
            return staged, intake.look(self.runtime, staged, FileClaims(read_metadata=reads))
        except BaseException:
            staged.discard()
            raise

    def _store(self, items: list[Item]) -> list[Stored]:
        is_sent = False

        def write() -> list[Stored]:
            nonlocal is_sent
            with self.runtime.transaction() as session:
                self.claim.renew(session)
                named = {person for item in items for person in item.record.people}
                found = people.known_people(session, named)
                if not self.wishes.keeps_owners:
                    owners = {item.record.owner for item in items if item.record.owner is not None}
                    found |= dict.fromkeys(owners, self.wishes.owner_id)
                batch = Batch(
                    self.source.name,
                    self.wishes.owner_id,
                    self.wishes.is_public,
                    self._processing(spaces.pinned_space_id(session)),
                    self.space,
                    found,
                    self.source.keeps_names,
                )
                stored = store(session, items, batch)
                self.run.note(session, self.outcome.counts(len(items)), _superfluous(items, stored))
                is_sent = True
            return stored

        try:
            return patiently(write)
        except BaseException:
            # Once a COMMIT was sent, rows may point at the files: they stay.
            if not is_sent:
                for item in items:
                    intake.drop(self.runtime, item.picture)
            raise

    def _processing(self, space_id: int | None) -> Processing:
        settings = self.runtime.settings
        return Processing(
            space_id,
            embeds=settings.embeddings_enabled,
            captions=recipe_in_force(settings) is not None,
        )

    def _settle(self, items: list[Item], stored: list[Stored]) -> None:
        due = []
        for item, each in zip(items, stored, strict=True):
            if not each.is_new_content:
                intake.drop(self.runtime, item.picture)
            self.outcome.taken += 1
            self.outcome.vectors_taken += item.vector is not None
            self.outcome.marks_taken += each.marks
            self.outcome.marks_left_out += each.lost_marks
            if each.registered is not None and each.registered.job_id is not None:
                due.append(each.registered.job_id)
        # A ring is answered by a batch, so one for each batch will do.
        for job_id in due[::BATCH]:
            self.runtime.doorbell.ring(job_id, CREATE_EMBEDDINGS)


def _superfluous(items: Sequence[Item], stored: Sequence[Stored]) -> list[str]:
    """Return the keys of files whose bytes the store has under another key; `_settle` removes them."""
    return [
        item.picture.storage_key
        for item, each in zip(items, stored, strict=True)
        if not each.is_new_content
    ]
