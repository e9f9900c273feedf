"""Whether a language model's server can be asked, as far as this process or any worker knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from mirada.config import Settings
from mirada.db.spending_models import CallState, LanguageModelCall
from mirada.kernel.circuit import FAILURES_ALLOWED, MAX_PAUSE_S, CircuitStatus
from mirada.kernel.errors import (
    GarbledReply,
    KeyRefused,
    ModelUnusable,
    NoAnswer,
    TooManyRequests,
    Unavailable,
)
from mirada.language_model.spending import CAPTION, CAPTION_EMBEDDING, DRAWING, EXPANSION
from mirada.language_model.usage import of_user
from mirada.runtime import Runtime

LOOKED_AT = 50
"""Enough newest calls to find five in a row that were not merely told to wait."""
_SERVER_FAILURES = (Unavailable.code, NoAnswer.code, GarbledReply.code)


class KeyState(StrEnum):
    """The state of OPENAI_API_KEY."""

    UNSET = "unset"
    SET = "set"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ServerState:
    """Whether the language model can be asked.

    Attributes:
        key: whether there is one, and whether it was refused since this process started.
        is_resting: whether it failed too often lately and is not asked for a while.
        reason: the last error, or which models in use cannot be used; None while all is well.
    """

    key: KeyState
    is_resting: bool
    reason: str | None


def language_model_state(runtime: Runtime) -> ServerState:
    """Return whether the language model can be asked; sends nothing."""
    with runtime.reading() as session:
        return server_state(
            session,
            has_key=runtime.settings.openai_api_key is not None,
            circuit=runtime.circuit.status(),
            started_at_ms=runtime.started_at_ms,
            models=_models_in_use(runtime.settings),
        )


def server_state(
    session: Session,
    *,
    has_key: bool,
    circuit: CircuitStatus,
    started_at_ms: int,
    models: Mapping[str, str] | None = None,
) -> ServerState:
    """Return whether the language model can be asked, as far as this process or any worker knows.

    Args:
        session: reads only.
        has_key: whether this process has a key.
        circuit: this process's own; those of workers are known by how their calls ended.
        started_at_ms: Unix time; a key that was refused before may have been another one.
        models: the models in use, by the purpose of their calls; None looks at none.
    """
    if not has_key:
        return ServerState(KeyState.UNSET, False, None)
    recent = _recent_ends(session, started_at_ms)
    if recent and recent[0].failure == KeyRefused.code:
        return ServerState(KeyState.REFUSED, True, recent[0].detail)
    if circuit.is_open:
        return ServerState(KeyState.SET, True, circuit.reason)
    reason = _reason_to_rest(recent)
    if reason is not None:
        return ServerState(KeyState.SET, True, reason)
    # All others are asked as before: only the work of these models waits.
    return ServerState(KeyState.SET, False, _unusable(session, models or {}))


def _models_in_use(settings: Settings) -> dict[str, str]:
    """Return the models that are asked by these settings, by the purpose of their calls."""
    found = {CAPTION_EMBEDDING: settings.text_embedding_model}
    if settings.captions_enabled:
        found[CAPTION] = settings.caption_model
    if settings.enable_llm_label_expansion:
        found[EXPANSION] = settings.llm_label_expansion_model
    if settings.generation_enabled:
        found[DRAWING] = settings.generation_model
    return found


def _unusable(session: Session, models: Mapping[str, str]) -> str | None:
    """Return why models in use cannot be used, by how each one's newest call ended; None if all can."""
    call = LanguageModelCall
    reasons = []
    for purpose, model in sorted(models.items()):
        newest = session.execute(
            select(call.failure, call.detail)
            .where(call.model == model[:100], call.purpose == purpose, of_user(None))
            .where(call.state != CallState.RESERVED)
            .order_by(call.id.desc())
            .limit(1)
        ).first()
        if newest is not None and newest.failure == ModelUnusable.code:
            reasons.append(newest.detail)
    return " ".join(reasons) or None


def _recent_ends(session: Session, since_ms: int) -> list[LanguageModelCall]:
    """Return the newest ended calls that say something about the server, newest first."""
    newest = session.execute(
        select(LanguageModelCall)
        .where(of_user(None))
        .order_by(LanguageModelCall.id.desc())
        .limit(LOOKED_AT)
    ).scalars()
    ended = [
        call
        for call in newest
        if call.finished_at_ms is not None
        and call.finished_at_ms >= since_ms
        and call.failure != "worker_lost"
    ]
    return sorted(ended, key=lambda call: (call.finished_at_ms or 0, call.id), reverse=True)


def _reason_to_rest(recent: list[LanguageModelCall]) -> str | None:
    """Return the reason why workers do not ask the server now; None if they do.

    No process sees the breaker of another; five failures in a row of its calls open one.
    """
    if not recent:
        return None
    newest_ms = recent[0].finished_at_ms or 0
    if datetime.now(UTC).timestamp() * 1000 - newest_ms > MAX_PAUSE_S * 1000:
        return None
    is_busy = [call.failure == TooManyRequests.code for call in recent[:FAILURES_ALLOWED]]
    decisive = [call for call in recent if call.failure != TooManyRequests.code]
    is_down = [call.failure in _SERVER_FAILURES for call in decisive[:FAILURES_ALLOWED]]
    is_resting = any(len(ends) == FAILURES_ALLOWED and all(ends) for ends in (is_busy, is_down))
    return recent[0].detail if is_resting else None
