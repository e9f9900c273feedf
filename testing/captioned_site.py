"""A site whose captions a loopback server writes, and what tests ask of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import func, select, update

from mirada.captions.writing import CAPTION_IMAGE, request_caption
from mirada.db.memory_models import Caption, TextContent, TextEmbedding
from mirada.db.models import Image, Job, JobState, Role, User
from mirada.db.session import now_ms
from mirada.db.spending_models import LanguageModelCall, SpendingDay
from mirada.jobs import ledger
from mirada.kernel.audience import Audience
from mirada.pictures import images
from mirada.runtime import Runtime
from testing.openai_server import CHAT, Answer, Call, OpenAiServer, completion, picture_in
from testing.pictures import picture
from testing.registering import take_in
from testing.worksite import Site
from workers.kinds import KINDS
from workers.runner import run_job

MODEL = "gpt-6-luna"
"""Writes captions where nothing else is set."""
COST = 35
"""Of one caption of the loopback server's, in millionths of a dollar: 120 x 0.10 + 45 x 0.50."""
WORDS = {
    "en": "A cat that sits on the roof, number {}.",
    "pt": "Um gato que está no telhado, com o número {}.",
    "es": "Un gato que está en el tejado, con el número {}.",
}


def said_of(call: Call) -> str:
    """The caption this server writes: the same picture always gets the same, no two alike."""
    language = json.loads(call.body["messages"][-1]["content"][0]["text"])["language"]
    return WORDS[language].format(hashlib.sha256(picture_in(call)).hexdigest()[:12])


def in_form(caption: Any, language: Any = "en", **more: Any) -> str:
    """A caption as a model is asked to send it."""
    return json.dumps({"caption": caption, "language": language, **more})


def describing(call: Call) -> Answer:
    """What goes into `OpenAiServer.usual[CHAT]`."""
    language = json.loads(call.body["messages"][-1]["content"][0]["text"])["language"]
    return completion(in_form(said_of(call), language))


class CaptionedSite(Site):
    """A site, its server, and short ways to look at both."""

    def __init__(self, site: Site, server: OpenAiServer) -> None:
        self.runtime: Runtime = site.runtime
        self.encoder = site.encoder
        self.owner_id = site.owner_id
        self.space_id = site.space_id
        self.server = server
        server.usual[CHAT] = describing

    def user(self, name: str) -> int:
        with self.runtime.transaction() as session:
            user = User(username=name, role=Role.USER)
            session.add(user)
            session.flush()
            return user.id

    def bring(self, content: bytes | int, owner_id: int | None = None, **fields: Any) -> Image:
        """Take a picture in as an upload does and return its image."""
        staged = self.runtime.image_store.stage()
        staged.stream.write(picture(content) if isinstance(content, int) else content)
        staged.stream.flush()
        owner_id = owner_id or self.owner_id
        options = {"filename": "p.png", "is_public": False, "declared_media_type": None, **fields}
        taken = take_in(self.runtime, staged, owner_id=owner_id, **options)
        return self.image(taken.image_id, owner_id)

    def image(self, image_id: int, owner_id: int | None = None) -> Image:
        with self.runtime.reading() as session:
            return images.get_image(session, image_id, Audience(owner_id or self.owner_id))

    def again(self, image: Image) -> Image:
        return self.image(image.id, image.owner_id)

    def change(self, image: Image, **changes: Any) -> Image:
        with self.runtime.transaction() as session:
            changed = images.change_image(
                session, image.id, image.owner_id, expected_version=None, changes=changes
            )
            if changes.get("caption"):
                request_caption(session, image.content_id, image.owner_id)
            return changed

    def caption_job(self, image: Image) -> Job | None:
        with self.runtime.reading() as session:
            return session.execute(
                select(Job).where(
                    Job.kind == CAPTION_IMAGE,
                    Job.subject_id == image.content_id,
                    Job.owner_id == image.owner_id,
                )
            ).scalar_one_or_none()

    def run(self, image: Image, runtime: Runtime | None = None) -> Job:
        """Run one attempt at an image's caption whether it is due or not; return the job."""
        job = self.caption_job(image)
        assert job is not None
        with self.runtime.transaction() as session:
            session.execute(
                update(Job).where(Job.id == job.id).values(next_run_at_ms=1, lease_until_ms=None)
            )
        assert run_job(runtime or self.runtime, job.id)
        return self.job(job.id)

    def retry(self, image: Image) -> Job:
        job = self.caption_job(image)
        assert job is not None
        with self.runtime.transaction() as session:
            ledger.retry_job(session, job.id, session.get_one(User, image.owner_id), KINDS)
        return self.run(image)

    def waits_s(self, image: Image) -> float:
        job = self.caption_job(image)
        assert job is not None
        with self.runtime.reading() as session:
            now = session.execute(select(now_ms())).scalar_one()
        return (job.next_run_at_ms - now) / 1000

    def caption_jobs(self) -> dict[str, int]:
        with self.runtime.reading() as session:
            rows = session.execute(
                select(Job.state, func.count()).where(Job.kind == CAPTION_IMAGE).group_by(Job.state)
            )
            return {JobState(row[0]).value: int(row[1]) for row in rows}

    def kept(self) -> list[tuple[str | None, str | None]]:
        """What is remembered of the model's answers."""
        with self.runtime.reading() as session:
            rows = session.execute(select(Caption.caption, Caption.refusal).order_by(Caption.id))
            return [(row[0], row[1]) for row in rows]

    def texts(self) -> list[str]:
        with self.runtime.reading() as session:
            return sorted(session.execute(select(TextContent.body)).scalars())

    def text_vectors(self) -> list[TextEmbedding]:
        with self.runtime.reading() as session:
            return list(session.execute(select(TextEmbedding)).scalars())

    def calls(self, user_id: int | None = None) -> list[LanguageModelCall]:
        query = select(LanguageModelCall).order_by(LanguageModelCall.id)
        if user_id is not None:
            query = query.where(LanguageModelCall.user_id == user_id)
        with self.runtime.reading() as session:
            return list(session.execute(query).scalars())

    def committed(self, user_id: int = 0) -> int:
        with self.runtime.reading() as session:
            of_user = select(func.sum(SpendingDay.committed_micros)).where(
                SpendingDay.user_id == user_id
            )
            return int(session.execute(of_user).scalar_one() or 0)
