"""Two quick models on one database, and processes that use them: for tests of a change of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sqlalchemy import select

from mirada.adapters.encoders.naming import NamedModel
from mirada.db.model_switch_models import ModelSwitch, SwitchState
from mirada.db.models import Content, Embedding, Image, Installation, Job, Role, Space, User
from mirada.db.spaces import pinned_space_id
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.kernel.embeddings import EmbeddingSpace, Matrix, SpaceKind, l2_normalise
from mirada.kernel.errors import InvalidInput
from mirada.model_switch import changing
from mirada.model_switch.changing import Asked
from mirada.model_switch.following import ModelFollower
from mirada.runtime import Runtime
from testing.encoders import CountingEncoder
from testing.patience import wait_until
from testing.pictures import picture
from testing.registering import take_in
from workers.runner import run_job

DIMENSIONS = {"first": 32, "second": 24}
"""Vectors of one model cannot be compared with the other's by accident."""


class NamedEncoder(CountingEncoder):
    """A model by its name; equal inputs give equal vectors, and each model gives others."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    @property
    def space(self) -> EmbeddingSpace:
        return EmbeddingSpace(SpaceKind.IMAGE, self.name, "v1", "none", DIMENSIONS[self.name])

    def encode_images(self, images: Any) -> Matrix:
        return self._own(super().encode_images(images))

    def encode_texts(self, texts: Any) -> Matrix:
        return self._own(super().encode_texts(texts))

    def _own(self, vectors: Matrix) -> Matrix:
        """Return the vectors as this model gives them: of its length, turned its way."""
        turned = np.roll(vectors, len(self.name), axis=1)[:, : DIMENSIONS[self.name]]
        return l2_normalise(turned) if len(turned) else turned.reshape(0, DIMENSIONS[self.name])


def with_two_models(runtime: Runtime) -> dict[str, NamedEncoder]:
    """Let a runtime load "first" and "second" instead of weights, and return both."""
    models = {name: NamedEncoder(name) for name in DIMENSIONS}

    def load_model(name: str, tag: str | None, pinned: Any = None) -> NamedEncoder:
        return models["first" if name in ("auto", "bundled") else name]

    def named_model(name: str, tag: str | None) -> NamedModel:
        if name not in models:
            raise InvalidInput(f"There is no model {name}.")
        return NamedModel(name, None, name, "v1")

    runtime.load_model = load_model  # type: ignore[method-assign,assignment]
    runtime.named_model = named_model  # type: ignore[method-assign]
    return models


class House:
    """A worker and a web process on one database, with pictures."""

    def __init__(self, make_runtime: Callable[..., Runtime], settings: dict[str, Any]) -> None:
        self.worker = make_runtime(**settings)
        self.models = with_two_models(self.worker)
        shared = {"data_dir": self.worker.settings.data_dir} | settings
        self.web = make_runtime(**shared)
        self.web_models = with_two_models(self.web)
        self.followers = [
            ModelFollower(self.worker, works=True),
            ModelFollower(self.web, works=False),
        ]
        with self.worker.transaction() as session:
            owner = User(username="local", role=Role.ADMINISTRATOR)
            session.add(owner)
            session.flush()
            self.owner_id = owner.id

    def upload(self, seed: int, prompt: str | None = None, *, work: bool = True) -> int:
        staged = self.worker.image_store.stage()
        staged.stream.write(picture(seed, size=(40, 30)))
        staged.stream.flush()
        taken = take_in(
            self.worker,
            staged,
            declared_media_type="image/png",
            filename=f"{seed}.png",
            owner_id=self.owner_id,
            is_public=True,
            **({} if prompt is None else {"prompt": prompt}),
        )
        if work:
            self.work(CREATE_EMBEDDINGS)
        return int(taken.image_id)

    def work(self, *kinds: str) -> None:
        """Do the due jobs of these kinds, or all."""
        while True:
            with self.worker.reading() as session:
                due = select(Job.id).where(Job.state == "queued").order_by(Job.id)
                if kinds:
                    due = due.where(Job.kind.in_(kinds))
                job_id = session.execute(due.limit(1)).scalar_one_or_none()
            if job_id is None or not run_job(self.worker, job_id):
                return

    def follow(self) -> None:
        for follower in self.followers:
            follower.look()

    def switch(self) -> ModelSwitch:
        with self.worker.reading() as session:
            return (
                session.execute(select(ModelSwitch).order_by(ModelSwitch.id.desc()))
                .scalars()
                .first()
            )  # type: ignore[return-value]

    def pinned(self) -> str:
        with self.worker.reading() as session:
            row = session.get_one(Installation, 1)
            return str(session.get_one(Space, row.image_space_id).encoder)

    def pinned_in(self, runtime: Runtime) -> int | None:
        """Return the image space that this thread's work has."""
        with runtime.reading() as session:
            return pinned_space_id(session)

    def pixels(self, image_id: int) -> Any:
        """Return an image's picture as the models take it."""
        with self.worker.reading() as session:
            content = session.get_one(Content, session.get_one(Image, image_id).content_id)
        path = self.worker.image_store.path(content.storage_key)
        return self.worker.decoder.decode(path, min_side_px=2 * self.models["first"].input_side_px)

    def vectors(self, encoder: str) -> int:
        with self.worker.reading() as session:
            space = select(Space.id).where(Space.encoder == encoder, Space.kind == SpaceKind.IMAGE)
            rows = session.execute(
                select(Embedding.vector).where(
                    Embedding.space_id.in_(space), Embedding.is_deleted.is_(False)
                )
            ).scalars()
            found = [len(vector) // 4 for vector in rows]
        assert set(found) <= {DIMENSIONS[encoder]}
        return len(found)

    def build(self) -> None:
        changing.begin(self.worker, "second", None, Asked())
        self.work()
        assert self.switch().state == SwitchState.READY, self.switch().error

    def flip(self) -> None:
        self._turn(changing.flip)

    def go_back(self) -> None:
        self._turn(changing.go_back)

    def _turn(self, ask: Callable[[Runtime, Asked], object]) -> None:
        ask(self.web, Asked())
        self.follow()
        for process in self.followers:
            wait_until(lambda process=process: is_ready(process), what="both ready")  # type: ignore[misc]
        self.work()
        self.follow()


def is_ready(follower: ModelFollower) -> bool:
    """Look once, and return whether the process can use the other model."""
    follower.look()
    return follower._said[1] is not None
