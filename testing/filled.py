"""A library that is simply there: tiny originals on the disk, their rows and vectors, without any intake."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from sqlalchemy import insert, select

from mirada.db import changes
from mirada.db.models import Content, Embedding, Image
from mirada.db.session import Database
from mirada.kernel.copies import ALL_MADE
from mirada.kernel.embeddings import Matrix, to_blob
from mirada.people import users
from testing.pictures import picture

TINY = (32, 24)
"""Width and height of the pictures."""
AT_ONCE = 500
"""Pictures of a transaction."""


def fill(database: Database, originals: Path, space_id: int, vectors: Matrix) -> None:
    """Put one READY picture, which everybody may see, for each vector into a library.

    Args:
        database: of the library; its local user owns the pictures.
        originals: the folder of the image store.
        space_id: of the vectors.
        vectors: (n, d) float32 unit rows. They need not be of what the pictures show.
    """
    with database.transaction() as session:
        owner_id = users.local_user(session).id
    for start in range(0, len(vectors), AT_ONCE):
        some = vectors[start : start + AT_ONCE]
        kept = [_kept(originals, start + number) for number in range(len(some))]
        with database.transaction() as session:
            session.execute(insert(Content), kept)
            of_sha = select(Content.sha256, Content.id).where(
                Content.sha256.in_([each["sha256"] for each in kept])
            )
            ids = {row.sha256: row.id for row in session.execute(of_sha)}
            contents = [ids[each["sha256"]] for each in kept]
            image = {"owner_id": owner_id, "is_public": True, "status": "READY", "version": 1}
            session.execute(insert(Image), [image | {"content_id": each} for each in contents])
            rows = []
            for content_id, vector in zip(contents, some, strict=True):
                blob, crc32 = to_blob(np.ascontiguousarray(vector))
                rows.append(
                    {
                        "space_id": space_id,
                        "content_id": content_id,
                        "vector": blob,
                        "crc32": crc32,
                    }
                )
            session.execute(insert(Embedding), rows)
            changes.touch(session, contents)


def _kept(originals: Path, seed: int) -> dict[str, object]:
    """Write an original, and return the row of its content."""
    body = picture(seed, size=TINY)
    sha256 = hashlib.sha256(body).hexdigest()
    key = f"{sha256[:2]}/{sha256}"
    path = originals / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return {
        "sha256": sha256,
        "storage_key": key,
        "byte_size": len(body),
        "format": "PNG",
        "width": TINY[0],
        "height": TINY[1],
        "is_animated": False,
        "thumbnails_edition": ALL_MADE,
    }
