"""An app with keys and everybody in it: calling it as somebody, and doing a worker's part by hand."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL.Image import Transpose
from PIL.PngImagePlugin import PngInfo
from sqlalchemy import select

from mirada.classify.expansions import EXPAND_LABEL
from mirada.db.memory_models import TextEmbedding
from mirada.db.models import Embedding, Image, Job, Space
from mirada.drawing.request import GENERATE_IMAGE
from mirada.embedding.job import CREATE_EMBEDDINGS
from mirada.fetching.request import FETCH_IMAGE
from mirada.jobs import sweep
from mirada.kernel.embeddings import Vector, from_blob
from mirada.runtime import Runtime
from mirada.webhooks.telling import DELIVER_WEBHOOK
from testing import tokens
from testing.encoders import DIMENSION, CountingEncoder, with_encoder
from testing.pictures import pixels
from tests.leaks.exchange import Reply, Request, Upload, send
from tests.leaks.numbering import raise_ids
from tests.leaks.people import VOID_KEYS, invite, sees_as
from tests.leaks.secrets import Vault
from workers.runner import run_job

SETTINGS: dict[str, Any] = {
    "auth_mode": "keys",
    "jwt_secret": tokens.SECRET,
    # Captions are written by a loopback server; vectors are the encoder's, as those of prompts.
    "text_embedding_model": "local",
    "llm_label_expansion_wait_ms": 0,
    "fetch_urls": True,
}


PAID = frozenset({DELIVER_WEBHOOK, EXPAND_LABEL, FETCH_IMAGE, GENERATE_IMAGE})
"""Jobs that ask other servers and are not run: nobody asks for what they would bring."""


@dataclass
class Planted:
    """A picture of the world.

    Attributes:
        content: its bytes as they were sent.
        image_id: of the image; 0 where it was only classified.
        job_id: of the job that embeds it; None when there was none.
        tags: ETags that its owner was given.
        words: what was planted with it, by the field it is in.
    """

    content: bytes = field(repr=False)
    image_id: int
    job_id: int | None = None
    tags: list[str] = field(default_factory=list)
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def url(self) -> str:
        return f"/api/v1/images/{self.image_id}"


def drawn(seed: int, note: str = "", *, compress_level: int = 6) -> bytes:
    """Return a PNG; with a note in it as generators write it. Equal seeds have equal pixels.

    The PNG of an odd seed is animated.
    """
    notes = PngInfo()
    if note:
        notes.add_text(
            "parameters",
            f"{note}\nNegative prompt: no {note}\n"
            f"Steps: 20, Sampler: Euler a, Seed: 1, Model: {note}, Made with: {note}",
        )
    out = io.BytesIO()
    first, options = pixels(seed), {}
    if seed % 2:
        second = first.transpose(Transpose.FLIP_LEFT_RIGHT)
        options = {"save_all": True, "append_images": [second], "duration": 50}
    first.save(out, "PNG", pnginfo=notes, compress_level=compress_level, **options)
    return out.getvalue()


class World:
    """The app, its people, and a vault of what may not be told; `planting.plant` fills it.

    Attributes:
        keys: headers by caller; "anonymous" has none.
        pictures: by what they are: "private", "pending", "hidden" and so on.
        ids: of other things, by what they are.
        words: what the owner wrote, wherever.
        undo: names of what the owner changed of many images.
        external_ids, external_names: of private pictures, in the system that they were imported from.
    """

    def __init__(self, runtime: Runtime) -> None:
        from testing.application import create_app

        self.runtime = with_encoder(runtime, CountingEncoder())
        self.app = create_app(runtime)
        self.client = self.app.test_client(use_cookies=False)
        self.vault = Vault()
        self.pictures: dict[str, Planted] = {}
        self.ids: dict[str, list[int]] = {}
        self.words: list[str] = []
        self.undo: list[str] = []
        self.external_ids: list[str] = []
        self.external_names: list[str] = []
        runtime.encoder  # noqa: B018 - the first use pins its space
        self.space_id, self.space = runtime.space()
        with runtime.transaction() as session:
            raise_ids(session, self.space_id)
        self.user_ids, self.keys = invite(self.app, runtime, self.vault)
        self._hidden: dict[str, frozenset[str]] = {}

    def hidden_from(self, caller: str) -> frozenset[str]:
        """Return the names of the secrets that a caller may not be told; all are planted by now."""
        if caller not in self._hidden:
            self._hidden[caller] = self.vault.hidden_from(sees_as(caller))
        return self._hidden[caller]

    def void_tokens(self) -> list[str]:
        """Return keys that count for nobody, two of them once the owner's."""
        void = (self.keys[name]["Authorization"] for name in sorted(VOID_KEYS))
        return [header.removeprefix("Bearer ") for header in void]

    def ask(self, who: str, method: str, path: str, **parts: Any) -> Reply:
        """Send one request as somebody and return the reply."""
        headers = {**self.keys[who], **parts.pop("headers", {})}
        return send(self.client, Request("by hand", method, path, headers=headers, **parts))

    def told(self, who: str, method: str, path: str, **parts: Any) -> Any:
        """Return the JSON of a reply that is no error."""
        reply = self.ask(who, method, path, **parts)
        assert reply.status < 300, (who, method, path, parts, str(reply))
        return json.loads(reply.body) if reply.body else None

    def upload(
        self,
        who: str,
        what: str,
        content: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        **form: str,
    ) -> Planted:
        """Return a new picture of somebody's."""
        name = form.pop("filename", "picture.png")
        reply = self.ask(
            who,
            "POST",
            "/api/v1/images",
            form=(("file", Upload(content, name, "image/png")), *form.items()),
            headers=headers or {},
        )
        assert reply.status == 201, str(reply)
        planted = Planted(content, json.loads(reply.body)["id"], self._newest_job(who))
        planted.tags.append(dict(reply.headers)["ETag"])
        self.pictures[what] = planted
        return planted

    def judge(self, who: str, what: str, theme: str, accepted: bool = True, **more: Any) -> int:
        """Give a verdict on a picture and return its id."""
        body = {"image_hash": self.pictures[what].sha256, "theme": theme, "accepted": accepted}
        return int(self.told(who, "POST", "/api/v1/feedback", json=body | more)["id"])

    def settle(self) -> None:
        """Work every due job and let searches know of it."""
        while True:
            with self.runtime.reading() as session:
                due = [job for job in sweep.due_jobs(session) if job.kind not in PAID]
            if not due:
                break
            for job in due:
                run_job(self.runtime, job.id)
        self.refresh()

    def refresh(self) -> None:
        """Let searches know of everything that was done."""
        with self.runtime.reading() as session:
            space_ids = session.execute(select(Space.id)).scalars().all()
        for space_id in space_ids:
            self.runtime.index(space_id).refresh()

    def change_seq(self) -> int:
        """Return the number of the last change."""
        return self.runtime.vector_source(self.space_id).current_seq()

    def prompt_vector_of(self, image_id: int) -> Vector:
        """Return the stored vector of an image's prompt."""
        with self.runtime.reading() as session:
            row = session.execute(
                select(TextEmbedding.vector, TextEmbedding.crc32)
                .join(Image, Image.prompt_text_id == TextEmbedding.text_id)
                .where(Image.id == image_id)
            ).one()
        return from_blob(row.vector, row.crc32, DIMENSION)

    def vector_of(self, image_id: int) -> Vector:
        """Return the stored vector behind an image."""
        with self.runtime.reading() as session:
            row = session.execute(
                select(Embedding.vector, Embedding.crc32)
                .join(Image, Image.content_id == Embedding.content_id)
                .where(Image.id == image_id, Embedding.space_id == self.space_id)
            ).one()
        return from_blob(row.vector, row.crc32, DIMENSION)

    def _newest_job(self, who: str) -> int | None:
        """Return the number of the last job that embeds a picture of somebody's."""
        with self.runtime.reading() as session:
            return session.execute(
                select(Job.id)
                .where(Job.owner_id == self.user_ids[who], Job.kind == CREATE_EMBEDDINGS)
                .order_by(Job.id.desc())
                .limit(1)
            ).scalar_one_or_none()
