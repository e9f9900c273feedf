"""Let every table count from a number of its own, so that an id in a reply is unmistakable."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from mirada.db.classifier_models import ClassifiedPicture, Cluster, ClusterRun, Feedback
from mirada.db.evaluation_models import EvaluationQuery, EvaluationReport, EvaluationSet
from mirada.db.memory_models import Comment, TextContent
from mirada.db.models import (
    ApiKey,
    Content,
    Embedding,
    Image,
    Job,
    JobState,
    User,
    utc_now,
)
from mirada.db.pack_models import Pack
from mirada.db.query_models import QueryPicture
from mirada.db.recent_models import RecentSearch
from mirada.db.spending_models import CallState, LanguageModelCall
from mirada.db.transfer_models import Transfer
from mirada.db.webhook_models import Webhook, WebhookDelivery
from tests.leaks.secrets import LEAST_NUMBER


def begin_at(table: int) -> int:
    """Return the first id of a table, each of which is given a number here."""
    return table * LEAST_NUMBER


def raise_ids(session: Session, space_id: int) -> None:
    """Insert rows of nobody's with high ids; a database goes on counting from the highest."""
    user = User(id=begin_at(1), username="ballast", role="user")
    content = Content(
        id=begin_at(2),
        sha256="0" * 64,
        storage_key="",
        byte_size=1,
        format="PNG",
        width=1,
        height=1,
        is_animated=False,
    )
    session.add_all([user, content])
    session.flush()
    image = Image(
        id=begin_at(3),
        owner_id=user.id,
        content_id=content.id,
        is_public=False,
        status="FAILED",
    )
    runs = [
        ClusterRun(
            id=begin_at(4) + number,
            kind=kind,
            space_id=space_id,
            parameters={},
            change_seq=0,
            finished_at=utc_now(),
        )
        for number, kind in enumerate(("themes", "near_duplicates"))
    ]
    evaluation = EvaluationSet(id=begin_at(16), owner_id=user.id, name="ballast")
    hook = Webhook(
        id=begin_at(21),
        user_id=user.id,
        address="http://ballast",
        events="job.ended",
        secret="ballast",
        is_enabled=False,
        after_image_id=0,
        since_ms=0,
        noticed_ms=0,
    )
    session.add_all([image, evaluation, hook, *runs])
    session.flush()
    session.add_all(
        [
            Cluster(id=begin_at(6), run_id=runs[0].id, size=0),
            Feedback(
                id=begin_at(7),
                user_id=user.id,
                content_id=content.id,
                theme="ballast",
                accepted=True,
            ),
            ClassifiedPicture(
                id=begin_at(8), owner_id=user.id, content_id=content.id, sent_bytes=True
            ),
            Job(
                id=begin_at(9),
                kind="create_embeddings_task",
                same_work="ballast",
                state=JobState.DONE,
                next_run_at_ms=0,
            ),
            LanguageModelCall(
                id=begin_at(14),
                purpose="caption",
                model="ballast",
                state=CallState.FREE,
                utc_day=0,
                reserved_micros=0,
                created_at_ms=0,
            ),
            Comment(id=begin_at(10), image_id=image.id, user_id=user.id, body="ballast"),
            Embedding(
                id=begin_at(11),
                space_id=space_id,
                content_id=content.id,
                vector=b"",
                crc32=0,
                is_deleted=True,
            ),
            QueryPicture(
                id=begin_at(15),
                owner_id=user.id,
                space_id=space_id,
                vector=b"",
                crc32=0,
                sha256="0" * 64,
                thumbnail=b"",
                byte_size=0,
                expires_at=utc_now(),
            ),
            RecentSearch(
                id=begin_at(19),
                owner_id=user.id,
                words="ballast",
                digest="0" * 64,
                searched_at=utc_now(),
            ),
            Pack(id=begin_at(20), owner_id=user.id, title="ballast"),
            WebhookDelivery(
                id=begin_at(22),
                webhook_id=hook.id,
                message_id="ballast",
                event="test",
                data={},
                state="delivered",
            ),
            Transfer(
                id=begin_at(23),
                kind="export",
                subject="ballast",
                owner_id=user.id,
                place="elsewhere:1",
                state="done",
                started_at_ms=0,
                seen_at_ms=0,
            ),
            EvaluationQuery(id=begin_at(17), set_id=begin_at(16), text="ballast"),
            EvaluationReport(
                id=begin_at(18), set_id=begin_at(16), space_id=space_id, space_name="", model=""
            ),
            TextContent(id=begin_at(13), sha256="0" * 64, body="ballast"),
            ApiKey(id=begin_at(12), user_id=user.id, prefix="mrd_ballast", sha256="0" * 64),
        ]
    )
    session.flush()
    # These go on counting without the row; what the others count from has to stay.
    for table in (
        *(Feedback, Comment, Image, TextContent, LanguageModelCall, QueryPicture),
        *(EvaluationReport, EvaluationQuery, EvaluationSet, RecentSearch, Pack),
        *(WebhookDelivery, Webhook),
    ):
        session.execute(delete(table).where(table.id >= LEAST_NUMBER))
    if session.get_bind().dialect.name == "postgresql":
        _go_on_above(session)


def _go_on_above(session: Session) -> None:
    """PostgreSQL numbers by sequences, which know nothing of ids that were inserted."""
    for number, entity in enumerate(
        (
            User,
            Content,
            Image,
            ClusterRun,
            None,
            Cluster,
            Feedback,
            ClassifiedPicture,
            Job,
            Comment,
            Embedding,
            ApiKey,
            TextContent,
            LanguageModelCall,
            QueryPicture,
            EvaluationSet,
            EvaluationQuery,
            EvaluationReport,
            RecentSearch,
            Pack,
            Webhook,
            WebhookDelivery,
            Transfer,
        ),
        start=1,
    ):
        if entity is not None:
            sequence = func.pg_get_serial_sequence(entity.__tablename__, "id")
            session.execute(select(func.setval(sequence, begin_at(number) + 2)))
