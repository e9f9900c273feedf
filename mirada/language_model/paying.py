"""Paid calls of the language model: reserved in the budget, made, and settled in two transactions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, overload

from sqlalchemy.orm import Session

from mirada.jobs.kinds import Attempt
from mirada.kernel.errors import LanguageModelRefused, MiradaError, Unavailable
from mirada.kernel.model_requests import AnyReply, Counted, Request
from mirada.language_model import spending
from mirada.language_model.spending import Order
from mirada.ports import LanguageModel
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)


def order_of(attempt: Attempt, purpose: str, subject: str | None) -> Order:
    """Return the order of a job's attempt: its owner pays."""
    return Order(purpose, subject, attempt.job.owner_id, attempt.job.id, attempt.token)


def language_model_of(runtime: Runtime) -> LanguageModel:
    """Return the language model. Raises LanguageModelRefused without a key, CircuitOpen while it rests."""
    model = runtime.language_model
    if model is None:
        raise LanguageModelRefused("OPENAI_API_KEY is not set where jobs are worked on.")
    model.check()
    return model


@overload
def paid_call(
    runtime: Runtime,
    order: Order,
    request: Request[AnyReply],
    *,
    model: LanguageModel | None = None,
) -> AbstractContextManager[AnyReply]: ...


@overload
def paid_call(
    runtime: Runtime,
    order: Order,
    request: Request[AnyReply],
    *,
    unless: Callable[[Session], bool],
) -> AbstractContextManager[AnyReply | None]: ...


@contextmanager
def paid_call(
    runtime: Runtime,
    order: Order,
    request: Request[AnyReply],
    *,
    model: LanguageModel | None = None,
    unless: Callable[[Session], bool] | None = None,
) -> Iterator[Any]:
    """Yield the reply to a request; its cost is written when the block ends, even by an error.

    Keep the reply inside the block: after a crash of this process it is then not paid for twice.
    Call it outside any transaction.

    Args:
        runtime: whose model and budget it is.
        order: what is paid for, and on whose behalf.
        request: what is sent.
        model: as `language_model_of` has just returned it; None asks for it.
        unless: a claim that the call is not needed, checked where no other call can be reserved at
            the same time. Where it holds, nothing is sent and None is yielded.

    Raises:
        BudgetReached: the call could pass the day's budget.
        LanguageModelRefused: no key is set, or as `LanguageModel.call`.
        MiradaError: as `LanguageModel.call`, and whatever `unless` raises.
    """
    # Before anything is reserved: while the circuit is open, thousands of jobs may look in here.
    model = model or language_model_of(runtime)
    with runtime.transaction() as session:
        call_id = spending.reserve(
            session, order, request.model, request.bound, runtime.budgets, unless=unless
        )
    if call_id is None:
        yield None
        return
    try:
        reply = model.call(request)
    except MiradaError as error:
        _settle(runtime, call_id, error)
        raise
    try:
        yield reply
    finally:
        # Of use or not: it is paid for.
        _settle(runtime, call_id, reply)


def share(runtime: Runtime, order: Order, request: Request[Any]) -> None:
    """Count an earlier reply to a request as this order's call; see `spending.share`.

    Raises:
        CircuitOpen, BudgetReached, LanguageModelRefused: as the call would.
    """
    language_model_of(runtime)
    with runtime.transaction() as session:
        spending.share(session, order, request.model, request.bound, runtime.budgets)


def _settle(runtime: Runtime, call_id: int, end: Counted | MiradaError) -> None:
    try:
        with runtime.transaction() as session:
            spending.settle(session, call_id, runtime.budgets.prices, end)
    except Unavailable as trouble:
        # The reply is not thrown away for that: the call goes on counting at its most.
        logger.warning("What call %s cost was not written: %s", call_id, trouble)
