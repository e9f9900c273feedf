"""The ZIP of a pack, read: its files, and which of them become stickers in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zipfile import ZipInfo

from mirada.kernel.errors import InvalidInput
from mirada.packs.import_lists import PackList, in_order, list_name, lists_beside, read_list
from mirada.pictures.archives import Archive
from mirada.pictures.many import REFUSALS, Outcome

MOST_LIST_BYTES = 1024 * 1024
TWICE = "The ZIP has two files of this name; the first was taken."
NOT_IN_ZIP = "The ZIP's list of stickers names it, and the ZIP does not have it."


@dataclass(frozen=True, slots=True)
class PackZip:
    """A ZIP whose list was read.

    Attributes:
        files: those that may be read, by name.
        said: what its list says.
        refused: files that are not read, each with why.
        notes: what of the list is not followed.
    """

    files: Mapping[str, ZipInfo]
    said: PackList
    refused: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, archive: Archive, identifier: str | None) -> PackZip:
        """Return what is in a ZIP. Raises InvalidInput as `read_list` does."""
        files: dict[str, ZipInfo] = {}
        refused: list[Outcome] = []
        for entry, info in archive:
            refusal = entry.refusal or (InvalidInput(TWICE) if entry.name in files else None)
            if refusal is None:
                files[entry.name] = info
            else:
                refused.append(Outcome(entry.name, refusal=refusal))
        said = _list_of(archive, files, identifier)
        return cls(files, said, refused, list(said.notes))

    def stickers(self, outcomes: list[Outcome]) -> Iterator[tuple[str, Any]]:
        """Yield the files that become stickers, each with its emojis: as the list says, then the others.

        What cannot become one is added to `outcomes` in its turn.
        """
        outcomes += self.refused
        done: set[str] = set()
        for each in self.said.stickers:
            if each.file is None:
                outcomes.append(Outcome(each.said, refusal=InvalidInput(NOT_IN_ZIP)))
            elif each.file in done:
                self.notes.append(f"{each.file} is listed twice; it is in the pack once.")
            else:
                done.add(each.file)
                yield each.file, each.emojis
        for name in in_order(set(self.files) - done - self.said.aside):
            yield name, ()


def _list_of(archive: Archive, files: Mapping[str, ZipInfo], identifier: str | None) -> PackList:
    name = list_name(files)
    if name is None:
        return PackList()
    texts: dict[str, bytes] = {}
    try:
        for each in lists_beside(name):
            if each in files:
                texts[each] = archive.read(files[each], MOST_LIST_BYTES)
    except REFUSALS as refusal:
        note = f"{name} is not read, so the pictures come in the order of their names. {refusal.detail}"
        return PackList(aside=frozenset(lists_beside(name)), notes=[note])
    return read_list(name, texts, files.keys(), identifier)
