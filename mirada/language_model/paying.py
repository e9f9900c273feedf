"""Paid calls of the language model: reserved in the budget, made, and settled in two transactions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, overload

from sqlalchemy.orm import Session

from mirada.jobs.kinds import Attempt
from mirada.kernel.errors import (
    LanguageModelRefused,
    MiradaError,
    ModelUnusable,
    OutOfTokens,
    Unavailable,
)
from mirada.kernel.model_requests import AnyReply, Counted, Request
from mirada.language_model import spending
from mirada.language_model.spending import Order
from mirada.ports import LanguageModel
from mirada.runtime import Runtime

logger = logging.getLogger(__name__)

UNUSABLE_WAIT_S = 3_600
"""What waits for another model is looked at once in so long; the server is not asked again."""


def order_of(attempt: Attempt, purpose: str, subject: str | None) -> Order:
    """Return the order of a job's attempt: its owner pays."""
    return Order(purpose, subject, attempt.job.owner_id, attempt.job.id, attempt.token)


class LearntOfModels:
    """Facts about models that this process was told by the server, until it ends. Thread-safe."""

    def __init__(self) -> None:
        """Begin with none."""
        self._unusable: dict[tuple[str, str], str] = {}
        self._thinkers: set[str] = set()

    def note(self, request: Request[Any], error: MiradaError) -> None:
        """Keep what an error says of the request's model."""
        if isinstance(error, ModelUnusable):
            if (request.setting, request.model) not in self._unusable:
                logger.error("%s", error)
            self._unusable[request.setting, request.model] = error.detail
        elif isinstance(error, OutOfTokens):
            self._thinkers.add(request.model)

    def check(self, request: Request[Any]) -> None:
        """Raise ModelUnusable where the server refused the request's model before."""
        detail = self._unusable.get((request.setting, request.model))
        if detail is not None:
            raise ModelUnusable(detail, retry_after_s=UNUSABLE_WAIT_S)

    def fitted(self, request: Request[AnyReply]) -> Request[AnyReply]:
        """Return the request, with more room where its model was found to reason at length."""
        return (request.model in self._thinkers and request.roomier()) or request


def language_model_of(runtime: Runtime, request: Request[Any]) -> LanguageModel:
    """Return the language model for a request like this one; nothing is sent.

    Raises:
        LanguageModelRefused: there is no key.
        ModelUnusable: the server refused the request's model before.
        CircuitOpen: the server is left alone.
    """
    model = runtime.language_model
    if model is None:
        raise LanguageModelRefused("OPENAI_API_KEY is not set where jobs are worked on.")
    _learnt(runtime).check(request)
    model.check()
    return model


def _learnt(runtime: Runtime) -> LearntOfModels:
    return runtime.remembered("learnt_of_models", LearntOfModels)


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
    model = model or language_model_of(runtime, request)
    learnt = _learnt(runtime)
    request = learnt.fitted(request)
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
        learnt.note(request, error)
        _settle(runtime, call_id, error)
        roomier = request.roomier() if isinstance(error, OutOfTokens) else None
        if roomier is None:
            raise
        # Once more with room for what it thinks, a call of its own in the books.
        with paid_call(runtime, order, roomier, model=model) as answer:
            yield answer
        return
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
    language_model_of(runtime, request)
    with runtime.transaction() as session:
        spending.share(session, order, request.model, request.bound, runtime.budgets)


def _settle(runtime: Runtime, call_id: int, end: Counted | MiradaError) -> None:
    try:
        with runtime.transaction() as session:
            spending.settle(session, call_id, runtime.budgets.prices, end)
    except Unavailable as trouble:
        # The reply is not thrown away for that: the call goes on counting at its most.
        logger.warning("What call %s cost was not written: %s", call_id, trouble)
