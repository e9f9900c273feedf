"""The library that the measurement of the map's page looks at: rows, vectors and places are made up."""

from __future__ import annotations

import io
import secrets
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pictures
from sqlalchemy import insert, update

from mirada.db.classifier_models import Cluster, ClusterKind, ClusterMember, ClusterRun
from mirada.db.models import Content, Embedding, Image, utc_now
from mirada.kernel.copies import ALL_MADE, THUMBNAIL_SIDES_PX, tail_of
from mirada.kernel.embeddings import to_blob
from mirada.kernel.projecting import SIDE
from mirada.people import users
from mirada.runtime import Runtime
from testing.pictures import picture

SHARED = 48
"""Pictures whose copies all contents share."""
GROUPS = 24
AT_ONCE = 5_000


def fill(runtime: Runtime, rows: int) -> None:
    """Put a library and its map into the tables: every picture is there, public and READY."""
    space_id, space = runtime.space()
    rng = np.random.default_rng(0)
    keys = [_kept(runtime, number) for number in range(SHARED)]
    clumps = rng.uniform(0.08, 0.92, (180, 2)) * SIDE
    own = rng.integers(0, len(clumps), rows)
    places = clumps[own] + rng.normal(0, 0.02 * SIDE, (rows, 2))
    places = np.clip(places, 1_000, SIDE - 1_000).astype(int)
    with runtime.transaction() as session:
        owner_id = users.local_user(session).id
    now = utc_now()
    for start in range(0, rows, AT_ONCE):
        ids = range(start + 1, min(rows, start + AT_ONCE) + 1)
        vectors = rng.normal(size=(len(ids), space.dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        blobs = [to_blob(vector) for vector in vectors]
        with runtime.transaction() as session:
            session.execute(insert(Content), [_content(keys, id_) for id_ in ids])
            session.execute(
                insert(Image),
                [
                    {
                        "id": id_,
                        "content_id": id_,
                        "owner_id": owner_id,
                        "is_public": True,
                        "status": "READY",
                        "version": 1,
                        "created_at": now,
                        "picture_token": secrets.token_hex(16),
                    }
                    for id_ in ids
                ],
            )
            session.execute(
                insert(Embedding),
                [
                    {"space_id": space_id, "content_id": id_, "vector": blob, "crc32": crc}
                    for id_, (blob, crc) in zip(ids, blobs, strict=True)
                ],
            )
    _add_map(runtime, space_id, places, own % GROUPS)


def _kept(runtime: Runtime, number: int) -> str:
    """Keep the copies of a picture, and return its storage key."""
    body = picture(number, size=(640, 480 if number % 2 else 640))
    key = f"{number:02}/{number:064}"
    path = Path(runtime.settings.image_dir) / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    for side in THUMBNAIL_SIDES_PX:
        small = Pictures.open(io.BytesIO(body)).convert("RGB")
        small.thumbnail((side, side))
        packed = io.BytesIO()
        small.save(packed, "WEBP")
        runtime.copies.write(key, tail_of(side), packed.getvalue())
    return key


def _content(keys: list[str], id_: int) -> dict[str, Any]:
    number = id_ % SHARED
    return {
        "id": id_,
        "sha256": f"{id_:064x}",
        "storage_key": keys[number],
        "byte_size": 1_000,
        "format": "PNG",
        "width": 640,
        "height": 480 if number % 2 else 640,
        "is_animated": False,
        "thumbnails_edition": ALL_MADE,
    }


def _add_map(runtime: Runtime, space_id: int, places: Any, groups: Any) -> None:
    with runtime.transaction() as session:
        run = ClusterRun(
            kind=ClusterKind.MAP,
            space_id=space_id,
            parameters={"method": "openTSNE", "is_whole": True, "version": 1},
            change_seq=0,
        )
        session.add(run)
        session.flush()
        sizes = np.bincount(groups, minlength=GROUPS)
        made = [Cluster(run_id=run.id, size=int(size)) for size in sizes]
        session.add_all(made)
        session.flush()
        ids = [cluster.id for cluster in made]
        run_id = run.id
    for start in range(0, len(places), AT_ONCE):
        members = [
            {
                "cluster_id": ids[groups[at]],
                "content_id": at + 1,
                "similarity": 0.5,
                "x": int(places[at, 0]),
                "y": int(places[at, 1]),
            }
            for at in range(start, min(len(places), start + AT_ONCE))
        ]
        with runtime.transaction() as session:
            session.execute(insert(ClusterMember), members)
    with runtime.transaction() as session:
        session.execute(
            update(ClusterRun).where(ClusterRun.id == run_id).values(finished_at=utc_now())
        )
