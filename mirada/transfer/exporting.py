"""Export images with all that belongs to them into a folder: streamed, resumable, with checksums."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, joinedload

from mirada import __version__
from mirada.db import audit, spaces
from mirada.db.filters import ATTRIBUTES
from mirada.db.models import Image, Installation, utc_now
from mirada.kernel.audience import Audience
from mirada.kernel.audit import Action
from mirada.kernel.embeddings import BLOB_DTYPE, EmbeddingSpace, SpaceKind, Vector
from mirada.kernel.errors import InvalidInput, NotFound
from mirada.kernel.filters import EVERYTHING, ImageFilter
from mirada.people import users
from mirada.runtime import Runtime
from mirada.transfer import manifest
from mirada.transfer.described import Described, described
from mirada.transfer.packs_out import packs_of
from mirada.transfer.runs import Counts, Run, RunKind, running

ROWS = 200
"""Images that are read, and written, at once."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The images that are exported.

    Attributes:
        owner_id: whose; None for everybody's.
        ids: only these; empty for all.
        filter: what they have to meet, as the owner sees it.
    """

    owner_id: int | None = None
    ids: frozenset[int] = frozenset()
    filter: ImageFilter = EVERYTHING

    def query(self) -> Select[Image]:
        """Return the query for them, by ascending ids."""
        return self._met(
            select(Image).options(joinedload(Image.content), joinedload(Image.owner))
        ).order_by(Image.id)

    def keys(self) -> Select[Any]:
        """Return the query for (id, external_source, external_id) of them."""
        columns: tuple[Any, ...] = (Image.id, Image.external_source, Image.external_id)
        return self._met(select(*columns))

    @property
    def is_whole(self) -> bool:
        """Whether it is all of a person, or of everybody."""
        return not self.ids and self.filter.is_everything

    def _met(self, found: Select[Any]) -> Select[Any]:
        # What is in the trash goes away of itself.
        found = found.where(Image.trashed_at.is_(None))
        if self.owner_id is not None:
            found = found.where(Image.owner_id == self.owner_id)
        if self.ids:
            found = found.where(Image.id.in_(sorted(self.ids)))
        audience = Audience(self.owner_id)
        for name in self.filter.asked:
            found = found.where(ATTRIBUTES[name].condition(getattr(self.filter, name), audience))
        return found

    def to_json(self) -> dict[str, Any]:
        """Return it as the state of an export has it."""
        return {"owner_id": self.owner_id, "ids": sorted(self.ids), "filter": repr(self.filter)}


def export(runtime: Runtime, folder: Path, selection: Selection) -> dict[str, Any]:
    """Write images into a folder and return its manifest.

    Memory is that of ROWS images, however many there are. An export that was interrupted goes on in the
    same folder.

    Raises:
        InvalidInput: the folder holds something else, or an export of another selection.
        StorageFull, Unavailable: the folder or the database is away; run it again.
    """
    with runtime.reading() as session:
        installation = session.execute(select(Installation.db_epoch)).scalar_one()
        in_use = {
            kind: (row.id, row.to_space())
            for kind in SpaceKind
            if (row := spaces.pinned_space(session, kind)) is not None
        }
    state = _begun(folder, installation, selection)
    if state is None:
        found: dict[str, Any] = json.loads((folder / manifest.NAME).read_bytes())
        return found
    with runtime.transaction() as session:
        told = {"is_everything": selection == Selection()}
        audit.record(session, Action.LIBRARY_EXPORT, owner_id=selection.owner_id, detail=told)
        count = select(func.count()).select_from(selection.keys().subquery())
        total = session.execute(count).scalar_one()
        # What is not of one person is whose the command line is.
        whose = selection.owner_id or users.local_user(session).id
    with (
        running(runtime, RunKind.EXPORT, str(folder.resolve()), whose, total) as run,
        _Files(folder, state, {kind: space for kind, (_, space) in in_use.items()}) as files,
    ):
        _note(runtime, run, files)
        while _step(runtime, files, selection, {kind: row for kind, (row, _) in in_use.items()}):
            _note(runtime, run, files)
        with runtime.reading() as session:
            packs = packs_of(
                session, selection.keys(), selection.owner_id, is_whole=selection.is_whole
            )
            for pack in packs:
                files.add_line(pack, manifest.PACKS)
        return files.finished(installation)


def _begun(folder: Path, installation: str, selection: Selection) -> dict[str, Any] | None:
    """Return where an export stands, at its beginning or further; None for one that is done."""
    same = {"installation": installation, "selection": selection.to_json()}
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / manifest.STATE
    if state.exists():
        found: dict[str, Any] = json.loads(state.read_bytes())
        if {name: found.get(name) for name in same} != same:
            raise InvalidInput(f"{folder} holds the beginning of another export; choose another.")
        return found
    if (folder / manifest.NAME).exists():
        return None
    if any(folder.iterdir()):
        raise InvalidInput(f"{folder} is not empty; choose a folder for the export alone.")
    begun = {**same, "last_id": 0, "images": 0, "bytes": {}, "rows": {}}
    manifest.write_whole(state, begun)
    return begun


def _note(runtime: Runtime, run: Run, files: _Files) -> None:
    """Say how far the export is."""
    done = files.state["images"]
    with runtime.transaction() as session:
        run.note(session, Counts(done=done, taken=done))


def _step(
    runtime: Runtime, files: _Files, selection: Selection, space_ids: Mapping[SpaceKind, int]
) -> bool:
    """Write the next images, and return whether there were any."""
    with runtime.reading() as session:
        query = selection.query().where(Image.id > files.state["last_id"]).limit(ROWS)
        images = list(session.execute(query).scalars())
        told = described(session, images, space_ids) if images else []
        for each in told:
            _write(runtime, files, each, session)
    if images:
        files.settle(images[-1].id, len(told))
    return bool(images)


def _write(runtime: Runtime, files: _Files, each: Described, session: Session) -> None:
    name = f"{manifest.ORIGINALS}/{each.sha256[:2]}/{each.sha256}{Path(each.storage_key).suffix}"
    path = files.folder / name
    if not path.exists():
        try:
            original = runtime.image_store.path(each.storage_key)
        except NotFound:
            # Deleted since the page was read.
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.new")
        shutil.copyfile(original, beside)
        if manifest.sha256_of(beside) != each.sha256:
            raise InvalidInput(f"The original of image {each.fields['id']} is damaged: {original}.")
        beside.replace(path)
    files.add_sum(each.sha256, name)
    rows = {text: files.add_vector(kind, vector) for text, (kind, vector) in each.vectors.items()}
    files.add_line({**each.fields, "file": name, "vectors": rows})


class _Files:
    """The growing files of an export, cut back to where it stood when it was interrupted."""

    def __init__(
        self, folder: Path, state: dict[str, Any], in_use: Mapping[SpaceKind, EmbeddingSpace]
    ) -> None:
        self.folder = folder
        self.state = state
        self._spaces = in_use
        (folder / "vectors").mkdir(exist_ok=True)
        self._open: dict[str, BinaryIO] = {}

    def __enter__(self) -> _Files:
        names = [manifest.IMAGES, manifest.PACKS, manifest.SUMS]
        for name in [*names, *(manifest.VECTORS[kind] for kind in self._spaces)]:
            path = self.folder / name
            path.touch()
            file: BinaryIO = path.open("r+b")
            self._open[name] = file
            file.truncate(self.state["bytes"].get(name, 0))
            file.seek(0, os.SEEK_END)
        for kind, space in self._spaces.items():
            vectors = self._open[manifest.VECTORS[kind]]
            if not vectors.tell():
                vectors.write(manifest.npy_header(0, space.dimension))
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()

    def add_line(self, fields: Mapping[str, Any], name: str = manifest.IMAGES) -> None:
        """Write one image, or one pack."""
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        self._open[name].write(text.encode("utf-8", "surrogatepass") + b"\n")

    def add_sum(self, sha256: str, name: str) -> None:
        """Write the checksum of an original, as `sha256sum -c` reads it."""
        self._open[manifest.SUMS].write(f"{sha256}  {name}\n".encode())

    def add_vector(self, kind: SpaceKind, vector: Vector) -> int:
        """Write one vector and return its row."""
        row: int = self.state["rows"].get(kind, 0)
        self._open[manifest.VECTORS[kind]].write(vector.astype(BLOB_DTYPE, copy=False).tobytes())
        self.state["rows"][kind] = row + 1
        return row

    def settle(self, last_id: int, count: int) -> None:
        """Make what was written durable, and note that it is."""
        for name, file in self._open.items():
            file.flush()
            os.fsync(file.fileno())
            self.state["bytes"][name] = file.tell()
        self.state["last_id"] = last_id
        self.state["images"] += count
        manifest.write_whole(self.folder / manifest.STATE, self.state)

    def finished(self, installation: str) -> dict[str, Any]:
        """Write the manifest, and return it."""
        for kind, space in self._spaces.items():
            file = self._open[manifest.VECTORS[kind]]
            file.seek(0)
            file.write(manifest.npy_header(self.state["rows"].get(kind, 0), space.dimension))
        for file in self._open.values():
            file.flush()
            os.fsync(file.fileno())
        made = {
            "format": manifest.FORMAT,
            "version": manifest.VERSION,
            "made_by": f"Mirada {__version__}",
            "made_at": utc_now().isoformat(),
            "installation": installation,
            "images": self.state["images"],
            "spaces": {kind: asdict(space) for kind, space in self._spaces.items()},
            "files": {name: manifest.sha256_of(self.folder / name) for name in self._open},
        }
        manifest.write_whole(self.folder / manifest.NAME, made)
        (self.folder / manifest.STATE).unlink()
        return made


def pack(folder: Path, packed: Path) -> None:
    """Pack an export into a ZIP file, which is there completely or not at all."""
    beside = packed.with_name(f"{packed.name}.new")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, Path(folder.name) / path.relative_to(folder))
    beside.replace(packed)
