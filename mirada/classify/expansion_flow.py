"""Have labels expanded from wherever it is wanted: queue, ring, wait a little. Asks no model itself."""

from __future__ import annotations

import logging
import time

from mirada.classify import expansions
from mirada.classify.expansions import ExpansionStatus, LookedUp
from mirada.classify.label_expansion import Expansion
from mirada.db.deadlocks import in_transaction
from mirada.kernel.errors import Unavailable
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.05


def expansions_are_on(runtime: Runtime) -> bool:
    """Return whether labels are expanded at all: switched on, and with a key."""
    settings = runtime.settings
    if not settings.enable_llm_label_expansion:
        return False
    # A key is enough to know: the client is built where it is used. That there is none is said there.
    return settings.openai_api_key is not None or runtime.language_model is not None


def request(
    runtime: Runtime,
    label: str,
    *,
    owner_id: int | None = None,
    request_id: str | None = None,
    again: bool = False,
) -> LookedUp:
    """Queue the question about a label unless it is answered or queued already, and ring.

    Args:
        runtime: whose model is asked.
        label: its name as `normalised_name` returns it.
        owner_id: who may see the job.
        request_id: follows the work into the worker's log.
        again: ask even though it failed lately.
    """
    model = runtime.settings.llm_label_expansion_model
    known = in_transaction(
        runtime.database,
        lambda session: expansions.request_expansion(
            session, label, model, owner_id=owner_id, request_id=request_id, again=again
        ),
    )
    if known.status == ExpansionStatus.PENDING and known.job_id is not None:
        runtime.doorbell.ring(known.job_id, expansions.EXPAND_LABEL)
    return known


def expansion_within(
    runtime: Runtime,
    label: str,
    wait_ms: int | None = None,
    *,
    owner_id: int | None = None,
    request_id: str | None = None,
) -> tuple[Expansion | None, ExpansionStatus]:
    """Return a label's expansion if it is there within a short wait; it comes later otherwise.

    Harms no caller: trouble on the way, the database's too, is told as PENDING. Call it outside any
    transaction.

    Args:
        runtime: whose model is asked.
        label: its name as `normalised_name` returns it.
        wait_ms: longest wait; None takes LLM_LABEL_EXPANSION_WAIT_MS.
        owner_id: who may see the job.
        request_id: follows the work into the worker's log.

    Returns:
        The expansion with READY; None with PENDING, FAILED, or OFF.
    """
    if not expansions_are_on(runtime):
        return None, ExpansionStatus.OFF
    settings = runtime.settings
    wait_s = (settings.llm_label_expansion_wait_ms if wait_ms is None else wait_ms) / 1000
    deadline = time.monotonic() + wait_s
    try:
        known = _look_up(runtime, label)
        if known.status == ExpansionStatus.MISSING:
            known = request(runtime, label, owner_id=owner_id, request_id=request_id)
        # A question that rests until later, because the server is busy, is not waited for.
        while known.status == ExpansionStatus.PENDING and known.waits_s < wait_s:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            time.sleep(min(LOOK_EVERY_S, left_s))
            known = _look_up(runtime, label)
    except Unavailable as error:
        logger.warning("The expansion of a label was not looked up: %s", error)
        return None, ExpansionStatus.PENDING
    if known.status == ExpansionStatus.MISSING:
        # Its job ended without an answer, in a worker for which expansions are switched off.
        return None, ExpansionStatus.PENDING
    return known.expansion, known.status


def _look_up(runtime: Runtime, label: str) -> LookedUp:
    with runtime.reading() as session:
        return expansions.look_up(session, label, runtime.settings.llm_label_expansion_model)
