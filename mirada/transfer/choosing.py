"""Which source an address, a file or a folder is, and how it is read by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sqlalchemy.engine import URL

from mirada.kernel.errors import InvalidInput
from mirada.kernel.external_ids import (
    CAPTIONED_POSTS,
    CLASSIFIER,
    CREATIVE_MEMORY,
    IMAGE_SEARCH,
    checked_source,
)
from mirada.runtime import Runtime
from mirada.transfer import manifest
from mirada.transfer.asked import Source
from mirada.transfer.sources import tables
from mirada.transfer.sources.classifier_tables import ClassifierTables, mapping_in
from mirada.transfer.sources.clip_retrieval import ClipRetrievalSource
from mirada.transfer.sources.exported import ExportedSource
from mirada.transfer.sources.lines import LinesSource, metadata_in
from mirada.transfer.sources.tables import TableSource


class Kind(StrEnum):
    """The kinds of sources."""

    AUTO = "auto"
    MIRADA = "mirada"
    FOLDER = "folder"
    CLIP_RETRIEVAL = "clip-retrieval"
    QDRANT = "qdrant"
    TABLE = "table"
    CREATIVE_MEMORY = CREATIVE_MEMORY
    IMAGE_SEARCH = IMAGE_SEARCH
    CAPTIONED_POSTS = CAPTIONED_POSTS
    CLASSIFIER = CLASSIFIER


OF_DATABASES = (
    *(Kind.TABLE, Kind.CREATIVE_MEMORY, Kind.IMAGE_SEARCH),
    *(Kind.CAPTIONED_POSTS, Kind.CLASSIFIER),
)


@dataclass(frozen=True, slots=True)
class Named:
    """What the caller says of a source.

    Attributes:
        name: of the source; None: its kind.
        table, query, columns: of a database.
        mapping: file of a classifier's tables.
        url: of a database; None for files and folders.
    """

    name: str | None = None
    table: str | None = None
    query: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    mapping: Path | None = None
    url: URL | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A source to import.

    Attributes:
        source: of pictures; None where `tables` is there.
        tables: of a classifier.
        pictures: the folder with the pictures; None where the caller has to say it.
        vectors_are: the model that the source itself says its vectors are of.
    """

    source: Source | None
    tables: ClassifierTables | None = None
    pictures: Path | None = None
    vectors_are: str | None = None


def choose(given: str, kind: Kind, named: Named, runtime: Runtime) -> Chosen:
    """Return the source that is meant.

    Raises:
        InvalidInput: nothing can be read there, or it is of another kind.
    """
    if named.url is not None:
        return _database(named.url, kind, named)
    if kind in OF_DATABASES:
        raise InvalidInput(
            f"{kind} is read from a database: SOURCE is its address, such as postgresql://user@host/name."
        )
    path = Path(given)
    if not path.exists():
        raise InvalidInput(f"There is no file or folder {given}.")
    kind = _kind_of(path) if kind is Kind.AUTO else kind
    name = checked_source(named.name or str(kind))
    match kind:
        case Kind.MIRADA:
            return _exported(path, named, runtime)
        case Kind.CLIP_RETRIEVAL:
            return Chosen(ClipRetrievalSource(path, name, named.columns), pictures=path)
        case _:
            return _lines(path, kind, name, named)


def _kind_of(path: Path) -> Kind:
    if not path.is_dir():
        return Kind.QDRANT if path.suffix.lower() == ".json" else Kind.FOLDER
    if (path / manifest.NAME).is_file():
        return Kind.MIRADA
    return Kind.CLIP_RETRIEVAL if (path / "img_emb").is_dir() else Kind.FOLDER


def _exported(path: Path, named: Named, runtime: Runtime) -> Chosen:
    source = ExportedSource(path, runtime, named.name)
    return Chosen(source, pictures=path, vectors_are=source.model)


def _lines(path: Path, kind: Kind, name: str, named: Named) -> Chosen:
    file = metadata_in(path) if path.is_dir() else path
    if file is None:
        raise InvalidInput(
            f"{path} has no metadata.jsonl or metadata.csv. A folder of pictures alone is imported by "
            "`images import`."
        )
    source = LinesSource(file, name, named.columns, are_points=kind is Kind.QDRANT)
    return Chosen(source, pictures=file.parent)


def _database(url: URL, kind: Kind, named: Named) -> Chosen:
    kind = Kind.TABLE if kind is Kind.AUTO else kind
    if kind not in OF_DATABASES:
        raise InvalidInput(
            f"{kind} is a folder or a file, and SOURCE is the address of a database."
        )
    name = checked_source(named.name or str(kind))
    if kind is Kind.CLASSIFIER:
        return Chosen(None, ClassifierTables(url, name, mapping_in(named.mapping)))
    table = named.table or tables.TABLES.get(kind)
    if table is None and named.query is None:
        raise InvalidInput("Say which table holds the pictures: --table NAME.")
    return Chosen(TableSource(url, name, table, named.query, named.columns))
