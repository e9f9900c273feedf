"""Packs of an export brought in, once their pictures are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.db.chunks import rows_in
from mirada.db.models import Image
from mirada.kernel.errors import Conflict, InvalidInput, NotFound
from mirada.packs.bringing import BroughtPack, bring_pack, known_packs
from mirada.pictures.folder_import import patiently
from mirada.runtime import Runtime
from mirada.transfer import people
from mirada.transfer.asked import Wishes
from mirada.transfer.claims import Claim
from mirada.transfer.records import Refused, moment
from mirada.transfer.reports import TransferReport
from mirada.transfer.runs import Run
from mirada.transfer.sources.exported import ExportedSource, called

NOT_CARRIED = {"group": "a group", "area": "a place on the map"}
"""Conditions on what is computed anew in each library, and called otherwise there."""


@dataclass(slots=True)
class PacksIn:
    """The packs of one import."""

    runtime: Runtime
    source: ExportedSource
    wishes: Wishes
    claim: Claim
    run: Run
    outcome: TransferReport

    def take(self) -> None:
        """Bring every pack that is not here, each in a transaction of its own."""
        lines = []
        for number, found in enumerate(self.source.packs(), 1):
            if isinstance(found, Refused):
                self.outcome.refuse(found)
            else:
                lines.append((number, found))
        # A search may ask for a pack that was made after its own.
        for number, fields in sorted(lines, key=lambda line: line[1]["query"] is not None):
            try:
                patiently(lambda fields=fields: self._take(fields))  # type: ignore[misc]
            except (InvalidInput, NotFound, Conflict) as error:
                told = f"Pack '{str(fields['title'])[:60]}': {error.detail}"
                self.outcome.refuse(Refused(number, str(fields["id"]), told))

    def _take(self, fields: Mapping[str, Any]) -> None:
        external_id = str(fields["id"])
        with self.runtime.reading() as session:
            is_there = bool(known_packs(session, self.source.name, [external_id]))
        if is_there:
            self.outcome.packs_there += 1
            return
        if self.wishes.is_dry:
            self.outcome.packs_taken += 1
            return
        with self.runtime.transaction() as session:
            self.claim.renew(session)
            owner_id = self._owner(session, fields["owner"])
            bring_pack(session, owner_id, self._brought(session, fields, external_id))
            self.run.note(session, self.outcome.counts())
        self.outcome.packs_taken += 1

    def _owner(self, session: Session, owner: Mapping[str, Any]) -> int:
        if not self.wishes.keeps_owners:
            return self.wishes.owner_id
        name, username = called(owner), owner["username"]
        if self.wishes.creates_people:
            plain = [username] if owner["external_id"] is None else []
            self.outcome.people_made += people.make_people(session, {name: username}, plain)
        found = people.known_people(session, [name])
        if name not in found:
            raise InvalidInput(f"Its owner '{name[:60]}' is not here: --create-users makes them.")
        return found[name]

    def _brought(
        self, session: Session, fields: Mapping[str, Any], external_id: str
    ) -> BroughtPack:
        listed = fields["images"]
        ours = self._ours(session, listed)
        created_at = moment(fields["created_at"])
        if created_at is None:
            raise InvalidInput("It does not say when it was made.")
        # A picture that did not come is not in it; the report has named it.
        members = [(ours[each["id"]], each["emojis"]) for each in listed if each["id"] in ours]
        plain = {name: fields[name] for name in ("title", "description", "is_public", "theme")}
        return BroughtPack(
            self.source.name,
            external_id,
            {**plain, "query": self._query(session, fields)},
            members,
            ours.get(fields["cover_id"]),
            created_at,
        )

    def _ours(self, session: Session, listed: list[Mapping[str, Any]]) -> dict[int, int]:
        """Return our ids of images by those that they had in the exporting library."""
        keys = {self._key(each): each["id"] for each in listed}
        found: dict[int, int] = {}
        for source in {source for source, _ in keys}:
            query = select(Image.external_id, Image.id).where(Image.external_source == source)
            ids = [external_id for of, external_id in keys if of == source]
            for row in rows_in(session, query, Image.external_id, ids):
                found[keys[source, row.external_id]] = row.id
        return found

    def _key(self, image: Mapping[str, Any]) -> tuple[str, str]:
        if image["external_id"] is not None:
            return str(image["external_source"]), str(image["external_id"])
        return self.source.name, str(image["id"])

    def _query(self, session: Session, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the search of a pack that fills itself, in our ids."""
        if fields["query"] is None:
            return None
        query = dict(fields["query"])
        if "image_id" in query:
            image = fields["query_image"]
            found = {} if image is None else self._ours(session, [image])
            if not found:
                raise InvalidInput("Its search begins at an image that did not come.")
            query["image_id"] = found[image["id"]]
        conditions = dict(query.get("filter") or {})
        lost = [name for name in NOT_CARRIED if name in conditions]
        if lost:
            raise InvalidInput(
                f"Its search asks for {NOT_CARRIED[lost[0]]}, which is computed anew here: make the "
                "pack again."
            )
        if "pack" in conditions:
            named = str(conditions["pack"])
            packs = known_packs(session, self.source.name, [named])
            if named not in packs:
                raise InvalidInput("Its search asks for a pack that did not come.")
            conditions["pack"] = packs[named]
        if "owner" in conditions:
            conditions["owner"] = self._people(session, fields, conditions["owner"])
        return query | ({"filter": conditions} if conditions else {})

    def _people(self, session: Session, fields: Mapping[str, Any], ids: list[int]) -> list[int]:
        told = fields["query_owners"]
        names = [called(told[str(each)]) for each in ids if str(each) in told]
        here = people.known_people(session, names)
        if len(here) < len(ids):
            raise InvalidInput("Its search asks for pictures of people who are not here.")
        return sorted(here[name] for name in names)
