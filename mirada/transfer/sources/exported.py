"""Our own exports: every image with what belongs to it, and the vectors where the model is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from mirada.db import spaces
from mirada.db.models import Installation
from mirada.kernel.embeddings import EmbeddingSpace, SpaceKind
from mirada.kernel.errors import Conflict, InvalidInput
from mirada.kernel.external_ids import checked_external_id, checked_source
from mirada.runtime import Runtime
from mirada.transfer import manifest, vectors
from mirada.transfer.ours import TEXTS, TextVector
from mirada.transfer.pack_lines import read_pack
from mirada.transfer.records import Mark, Record, Refused, moment, text_of

KIND_OF_TEXT = {
    "prompt": SpaceKind.PROMPT,
    "caption": SpaceKind.CAPTION,
    "description": SpaceKind.CAPTION,
}
PLAIN = (
    *("caption_source", "caption_model", "caption_language", "caption_prompt_version"),
    *("description", "description_model", "description_language", "description_prompt_version"),
    *("is_hidden", "hidden_reason", "generation", "external_name", "auto_caption"),
)
NOT_AS_WRITTEN = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
"""What reading a line raises that is no line of an export."""


class ExportedSource:
    """An export of ours.

    Attributes:
        name: of the source, by the installation that it came from.
        keeps_names: false: the export says itself which old names its files had.
        model: of its vectors; None where they are of another space than ours, and pictures are embedded.
    """

    keeps_names = False

    def __init__(self, folder: Path, runtime: Runtime, name: str | None = None) -> None:
        """Read the manifest and check the files.

        Raises:
            InvalidInput: it is no whole export.
            Conflict: it came from this installation, which has its images.
        """
        self._folder = folder
        self._manifest = manifest.read(folder)
        with runtime.reading() as session:
            here = session.execute(select(Installation.db_epoch)).scalar_one()
        if here == self._manifest.installation:
            raise Conflict("The export came from this installation: its images are here.")
        self.name = checked_source(name or f"mirada:{self._manifest.installation[:8]}")
        self._spaces = self._ours(runtime)
        picture = self._spaces.get(SpaceKind.IMAGE)
        self.model = None if picture is None else picture[1].name
        self._vectors = {
            kind: manifest.vectors_in(folder, kind, space)
            for kind, (_, space) in self._spaces.items()
        }

    def _ours(self, runtime: Runtime) -> dict[SpaceKind, tuple[int, EmbeddingSpace]]:
        """Return the spaces of its vectors that are in use here too; an empty library takes them over."""
        found = {}
        for kind, space in self._manifest.spaces.items():
            if kind is not SpaceKind.CAPTION:
                here = runtime.space(kind)
            else:
                # Captions may be embedded by a server; nothing is asked of it here.
                with runtime.transaction() as session:
                    row = spaces.pinned_space(session, kind) or spaces.pin_space(session, space)
                    here = row.id, row.to_space()
            if here[1] == space:
                found[kind] = here
        return found

    def count(self) -> int | None:
        """Return how many images the manifest says."""
        return self._manifest.images

    def records(self) -> Iterator[Record | Refused]:
        """Yield its images, by ascending ids of before."""
        with (self._folder / manifest.IMAGES).open("rb") as file:
            for number, line in enumerate(file, 1):
                external_id: str | None = None
                try:
                    fields = json.loads(line)
                    external_id = checked_external_id(fields["id"])
                    yield self._record(number, external_id, fields)
                except (*NOT_AS_WRITTEN, InvalidInput) as error:
                    told = getattr(
                        error, "detail", f"The line is not as an export has it: {error!r}."
                    )
                    yield Refused(number, external_id, told)

    def packs(self) -> Iterator[dict[str, Any] | Refused]:
        """Yield its packs, by ascending ids of before; none of an export that was made without."""
        if manifest.PACKS in self._manifest.files:
            with (self._folder / manifest.PACKS).open("rb") as file:
                for number, line in enumerate(file, 1):
                    try:
                        yield read_pack(line)
                    except InvalidInput as error:
                        yield Refused(number, None, f"Pack in line {number}: {error.detail}")

    def _record(self, number: int, external_id: str, fields: Mapping[str, Any]) -> Record:
        rows = fields["vectors"]
        more: dict[str, Any] = {name: fields[name] for name in PLAIN}
        more["updated_at"] = moment(fields["updated_at"])
        if fields["external_id"] is not None:
            more["external_id"] = checked_external_id(fields["external_id"])
            more["external_source"] = checked_source(fields["external_source"])
        for text in TEXTS:
            more[f"{text}_vector"] = self._text_vector(text, rows.get(text))
        owner = fields["owner"]
        marks = (*fields["likes"], *fields["comments"], *fields["feedback"])
        people = (owner, *(mark["by"] for mark in marks))
        more["usernames"] = {one["username"] for one in people if one["external_id"] is None}
        named = {called(one): one["username"] for one in people}
        more["names"] = named
        return Record(
            number,
            external_id,
            fields["file"],
            owner=called(owner),
            owner_name=owner["username"],
            is_public=fields["is_public"],
            created_at=moment(fields["created_at"]),
            filename=text_of(fields, "filename"),
            prompt=text_of(fields, "prompt"),
            caption=text_of(fields, "caption"),
            asset_id=fields["asset_id"],
            tags=tuple(fields["tags"] or ()),
            likes=tuple(map(_mark, fields["likes"])),
            comments=tuple(map(_mark, fields["comments"])),
            verdicts=tuple(map(_mark, fields["feedback"])),
            vector=self._row(SpaceKind.IMAGE, rows.get("picture")),
            more=more,
        )

    def _row(self, kind: SpaceKind, row: int | None) -> Any:
        return None if row is None or kind not in self._vectors else self._vectors[kind][row]

    def _text_vector(self, text: str, row: int | None) -> TextVector | None:
        kind = KIND_OF_TEXT[text]
        raw = self._row(kind, row)
        if raw is None:
            return None
        space = self._spaces[kind]
        return TextVector(vectors.read(raw, space[1].dimension), space)


def _mark(fields: Mapping[str, Any]) -> Mark:
    return Mark(
        called(fields["by"]),
        moment(fields["at"]),
        fields.get("text", fields.get("theme", "")),
        fields.get("accepted", True),
        fields.get("asset_id"),
    )


def called(person: Mapping[str, Any]) -> str:
    """Return what an import calls a person of an export: their id of before, or their user name."""
    return str(person["external_id"] or person["username"])
