"""A runtime whose encoder is quick: everything else about it is the product's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import func, select

from mirada.db import spaces
from mirada.db.models import Embedding, Image, Job, Role, User
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, l2_normalise
from mirada.kernel.images import RgbImage
from mirada.pictures import intake
from mirada.runtime import Runtime
from testing.patience import PATIENCE_S, Stopwatch
from testing.pictures import picture
from testing.registering import take_in

SPACE = EmbeddingSpace(SpaceKind.IMAGE, "mean-colours", "v1", "whole-picture-v1", 12)


class MeanColours:
    """Embeds a picture as the mean colours of its quarters. Counts its pictures; may be told to wait."""

    device = "cpu"
    input_side_px = 16
    space = SPACE

    def __init__(self) -> None:
        self.encoded = 0
        self.before: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def encode_images(self, images: Sequence[RgbImage]) -> Matrix:
        self.before()
        with self._lock:
            self.encoded += len(images)
        rows = []
        for image in images:
            half = image.shape[0] // 2, image.shape[1] // 2
            quarters = [
                image[: half[0], : half[1]],
                image[: half[0], half[1] :],
                image[half[0] :, : half[1]],
                image[half[0] :, half[1] :],
            ]
            rows.append(np.concatenate([q.reshape(-1, 3).mean(axis=0) + 1 for q in quarters]))
        return l2_normalise(np.stack(rows))

    def close(self) -> None:
        """Nothing to let go of."""


class Site:
    """A runtime with an owner and pictures."""

    def __init__(self, runtime: Runtime, encoder: MeanColours) -> None:
        self.runtime = runtime
        self.encoder = encoder
        with runtime.transaction() as session:
            self.space_id = spaces.pin_space(session, SPACE).id
            owner = User(username="local", role=Role.ADMINISTRATOR)
            session.add(owner)
            session.flush()
            self.owner_id = owner.id

    def upload(self, seed: int, size: tuple[int, int] = (64, 48), **options: Any) -> intake.TakenIn:
        staged = self.runtime.image_store.stage()
        staged.stream.write(picture(seed, size=size))
        staged.stream.flush()
        return take_in(
            self.runtime,
            staged,
            declared_media_type="image/png",
            filename=f"{seed}.png",
            owner_id=self.owner_id,
            is_public=False,
            **options,
        )

    def statuses(self) -> dict[str, int]:
        with self.runtime.reading() as session:
            rows = session.execute(select(Image.status, func.count()).group_by(Image.status))
            return {status: count for status, count in rows}  # noqa: C416 - rows are no pairs

    def vectors(self) -> int:
        with self.runtime.reading() as session:
            return session.execute(select(func.count(Embedding.id))).scalar_one()

    def job(self, job_id: int | None) -> Job:
        with self.runtime.reading() as session:
            return session.get_one(Job, job_id)

    def wait_for(self, statuses: dict[str, int], timeout_s: float = PATIENCE_S) -> None:
        watch = Stopwatch()
        while (found := self.statuses()) != statuses:
            assert not watch.is_over(timeout_s), f"after {timeout_s} s: {found}"
            time.sleep(0.02)
