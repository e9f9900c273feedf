"""A library of synthetic pictures: users, contents, images and vectors, written as the product does."""

from __future__ import annotations

import hashlib
import itertools
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import insert, select, update

from mirada.adapters.vector_index.pgvector.index import PgvectorIndex
from mirada.db import changes
from mirada.db.classifier_models import ClassifiedPicture
from mirada.db.models import Content, Embedding, Image, Space, User
from mirada.db.pgvector.filling import prepare
from mirada.db.pgvector.reading import CopiedVectors
from mirada.db.session import Database
from mirada.db.vector_rows import DatabaseVectors
from mirada.kernel.embeddings import Matrix, Vector, l2_normalise, to_blob

_numbers = itertools.count()


@dataclass
class Library:
    """One space of a database and what tests do to it; every method is one transaction."""

    database: Database
    space_id: int
    dimension: int
    owners: list[int] = field(default_factory=list)

    @classmethod
    def create(cls, database: Database, dimension: int = 16, owners: int = 3) -> Library:
        with database.transaction() as session:
            space = Space(
                name=f"image:test:{next(_numbers)}",
                kind="image",
                encoder="test",
                pretrained=str(next(_numbers)),
                preprocessing="none",
                dimension=dimension,
            )
            users = [User(username=f"user{next(_numbers)}") for _ in range(owners)]
            session.add_all([space, *users])
            session.flush()
            return cls(database, space.id, dimension, [user.id for user in users])

    @property
    def source(self) -> DatabaseVectors:
        return DatabaseVectors(self.database, self.space_id)

    def add(
        self,
        vectors: Matrix,
        owners: Sequence[int] | None = None,
        public: Sequence[bool] | bool = True,
    ) -> list[int]:
        """Insert one content, image and vector per row; return the embedding ids, in order."""
        count = len(vectors)
        owners = list(owners) if owners is not None else [self.owners[0]] * count
        shown = [public] * count if isinstance(public, bool) else list(public)
        names = [f"vector {next(_numbers)}" for _ in range(count)]
        hashes = [hashlib.sha256(name.encode()).hexdigest() for name in names]
        if not count:
            return []
        with self.database.transaction() as session:
            session.execute(
                insert(Content),
                [
                    {
                        "sha256": sha,
                        "storage_key": sha,
                        "byte_size": 1,
                        "format": "PNG",
                        "width": 1,
                        "height": 1,
                        "is_animated": False,
                    }
                    for sha in hashes
                ],
            )
            contents: dict[str, int] = {}
            for start in range(0, count, 500):
                contents |= {
                    sha: id_
                    for id_, sha in session.execute(
                        select(Content.id, Content.sha256).where(
                            Content.sha256.in_(hashes[start : start + 500])
                        )
                    )
                }
            content_ids = [contents[sha] for sha in hashes]
            session.execute(
                insert(Image),
                [
                    {
                        "owner_id": owner,
                        "content_id": content_id,
                        "is_public": bool(is_public),
                        "status": "READY",
                        "version": 1,
                    }
                    for owner, content_id, is_public in zip(owners, content_ids, shown, strict=True)
                ],
            )
            rows = []
            for content_id, vector in zip(content_ids, vectors, strict=True):
                blob, crc32 = to_blob(vector)
                rows.append(
                    {
                        "space_id": self.space_id,
                        "content_id": content_id,
                        "vector": blob,
                        "crc32": crc32,
                    }
                )
            session.execute(insert(Embedding), rows)
            changes.touch(session, content_ids)
            by_content: dict[int, int] = {}
            for start in range(0, count, 500):
                found = session.execute(
                    select(Embedding.content_id, Embedding.id).where(
                        Embedding.space_id == self.space_id,
                        Embedding.content_id.in_(content_ids[start : start + 500]),
                    )
                )
                by_content |= {row.content_id: row.id for row in found}
        return [by_content[content_id] for content_id in content_ids]

    def share(self, embedding_id: int, owner_id: int, *, is_public: bool) -> None:
        """Give another owner an image of the same content."""
        with self.database.transaction() as session:
            content_id = self._content(session, embedding_id)
            session.add(
                Image(owner_id=owner_id, content_id=content_id, is_public=is_public, status="READY")
            )
            changes.touch(session, [content_id])

    def share_many(self, embedding_ids: Sequence[int], owner_id: int) -> None:
        """Give another owner a public image of each of these contents."""
        with self.database.transaction() as session:
            for start in range(0, len(embedding_ids), 500):
                part = Embedding.id.in_(embedding_ids[start : start + 500])
                shown = session.execute(select(Embedding.content_id).where(part)).scalars().all()
                session.execute(
                    insert(Image),
                    [
                        {
                            "owner_id": owner_id,
                            "content_id": content_id,
                            "is_public": True,
                            "status": "READY",
                            "version": 1,
                        }
                        for content_id in shown
                    ],
                )
                changes.touch(session, shown)

    def remember(self, embedding_id: int, owner_id: int) -> None:
        """Let a user have had the same content classified."""
        with self.database.transaction() as session:
            content_id = self._content(session, embedding_id)
            session.add(
                ClassifiedPicture(owner_id=owner_id, content_id=content_id, sent_bytes=True)
            )
            changes.touch(session, [content_id])

    def publish(self, embedding_id: int, is_public: bool) -> None:
        """Make every image of a vector's content public or private."""
        with self.database.transaction() as session:
            content_id = self._content(session, embedding_id)
            session.execute(
                update(Image).where(Image.content_id == content_id).values(is_public=is_public)
            )
            changes.touch(session, [content_id])

    def replace(self, embedding_id: int, vector: Vector) -> None:
        """Store another vector."""
        blob, crc32 = to_blob(vector)
        with self.database.transaction() as session:
            session.execute(
                update(Embedding)
                .where(Embedding.id == embedding_id)
                .values(vector=blob, crc32=crc32, is_deleted=False)
            )
            changes.touch(session, [self._content(session, embedding_id)])

    def delete(self, embedding_ids: Iterable[int]) -> None:
        """Turn vectors into tombstones and remove their images and contents."""
        with self.database.transaction() as session:
            contents = [self._content(session, id_) for id_ in embedding_ids]
            for content_id in contents:
                session.execute(
                    update(Embedding)
                    .where(Embedding.content_id == content_id)
                    .values(is_deleted=True, vector=b"", crc32=0)
                )
                session.execute(Image.__table__.delete().where(Image.content_id == content_id))  # type: ignore[attr-defined]
                session.execute(Content.__table__.delete().where(Content.id == content_id))  # type: ignore[attr-defined]
            changes.touch(session, contents)

    def damage(self, embedding_id: int) -> None:
        """Flip a bit of a stored vector behind everybody's back."""
        with self.database.transaction() as session:
            row = session.get_one(Embedding, embedding_id)
            row.vector = bytes([row.vector[0] ^ 1]) + row.vector[1:]
            changes.touch(session, [row.content_id])

    def store(self, embedding_id: int, numbers: Matrix) -> None:
        """Store numbers that nothing of ours would store, with their right checksum."""
        blob = numbers.astype("<f4").tobytes()
        with self.database.transaction() as session:
            row = session.get_one(Embedding, embedding_id)
            row.vector, row.crc32 = blob, zlib.crc32(blob)
            changes.touch(session, [row.content_id])

    @staticmethod
    def _content(session: object, embedding_id: int) -> int:
        return session.execute(  # type: ignore[attr-defined,no-any-return]
            select(Embedding.content_id).where(Embedding.id == embedding_id)
        ).scalar_one()


def pgvector_index(library: Library, **choices: Any) -> PgvectorIndex:
    """Return pgvector's index of a library's space, prepared as a start of the program does."""
    space = library.source.space
    assert prepare(library.database, library.space_id, space) is None
    copies = CopiedVectors(library.database, library.space_id, space)
    return PgvectorIndex(library.source, copies, recall_target=0.98, **choices)


def random_vectors(count: int, dimension: int = 16, seed: int = 0) -> Matrix:
    """Return (count, dimension) unit rows without structure."""
    rng = np.random.default_rng(seed)
    return (
        l2_normalise(rng.standard_normal((count, dimension)))
        if count
        else np.empty((0, dimension), np.float32)
    )


def clustered_vectors(
    count: int, dimension: int = 512, clusters: int = 500, spread: float = 0.75, seed: int = 0
) -> tuple[Matrix, np.ndarray]:
    """Return (count, dimension) unit rows around random centres, and each row's cluster."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, dimension)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    member = rng.integers(0, clusters, count)
    noise = rng.standard_normal((count, dimension)).astype(np.float32)
    noise *= spread / np.sqrt(dimension)
    return l2_normalise(centres[member] + noise), member


def no_progress(done: int, total: int) -> None:
    """Take a report of progress and go on."""
