"""A language model that is paid for: every call is reserved in the budget, made, and settled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mirada.kernel.errors import LanguageModelRefused, MiradaError, Unavailable
from mirada.kernel.prices import TokenBound, bound_of_drawing, bound_of_embedding, bound_of_question
from mirada.language_model import shared_calls, spending
from mirada.language_model.budgets import budgets_of
from mirada.language_model.spending import Order
from mirada.ports import (
    LANGUAGE_MODEL_TIMEOUT_S,
    Drawing,
    EmbeddedTexts,
    LanguageModel,
    Reply,
)
from mirada.runtime import Runtime

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from mirada.jobs.attempt import Attempt

logger = logging.getLogger(__name__)


class _Answered(Protocol):
    @property
    def input_tokens(self) -> int | None: ...

    @property
    def output_tokens(self) -> int | None: ...


Answer = TypeVar("Answer", bound=_Answered)


def paid_language_model(runtime: Runtime, order: Order) -> PaidLanguageModel:
    """Return the language model for calls of one purpose; call it outside any transaction.

    Raises:
        LanguageModelRefused: no key is set here.
    """
    if runtime.language_model is None:
        raise LanguageModelRefused("OPENAI_API_KEY is not set where jobs are worked on.")
    return PaidLanguageModel(runtime, runtime.language_model, order)


def order_of(attempt: Attempt, purpose: str, subject: str | None) -> Order:
    """Return the order of a job's attempt: its owner pays."""
    job = attempt.job
    return Order(purpose, subject, job.owner_id, job.id, attempt.token)


class PaidLanguageModel:
    """A `LanguageModel`; its methods also raise BudgetReached. Thread-safe."""

    def __init__(self, runtime: Runtime, inner: LanguageModel, order: Order) -> None:
        """Keep them.

        Args:
            runtime: whose budget it is.
            inner: who answers.
            order: what for.
        """
        self._runtime = runtime
        self._inner = inner
        self._order = order

    def check(self) -> None:
        """See `LanguageModel.check`."""
        self._inner.check()

    def ask(
        self,
        model: str,
        instructions: str,
        question: str,
        *,
        schema: Mapping[str, Any],
        max_tokens: int,
        timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S,
    ) -> Reply:
        """See `LanguageModel.ask`."""
        bound = bound_of_question((instructions, question), max_tokens=max_tokens, schema=schema)
        return self._pay(
            model,
            bound,
            lambda: self._inner.ask(
                model,
                instructions,
                question,
                schema=schema,
                max_tokens=max_tokens,
                timeout_s=timeout_s,
            ),
        )

    def see(
        self,
        model: str,
        instructions: str,
        question: str,
        picture: bytes,
        *,
        schema: Mapping[str, Any],
        max_tokens: int,
        timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S,
        received: Callable[[Reply], None] | None = None,
    ) -> Reply:
        """See `LanguageModel.see`; for `received` see `draw`."""
        bound = bound_of_question(
            (instructions, question), max_tokens=max_tokens, schema=schema, pictures=1
        )
        return self._pay(
            model,
            bound,
            lambda: self._inner.see(
                model,
                instructions,
                question,
                picture,
                schema=schema,
                max_tokens=max_tokens,
                timeout_s=timeout_s,
            ),
            received,
        )

    def share(self, model: str, bound: TokenBound) -> None:
        """Count what a call brought somebody else as this order's; see `shared_calls.share`.

        Raises:
            CircuitOpen, BudgetReached, LanguageModelRefused: as the call would.
        """
        self._inner.check()
        with self._runtime.transaction() as session:
            shared_calls.share(session, self._order, model, bound, budgets_of(self._runtime))

    def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S,
        received: Callable[[EmbeddedTexts], None] | None = None,
        unless: Callable[[Session], None] | None = None,
    ) -> EmbeddedTexts:
        """See `LanguageModel.embed`; for `received` see `draw`, for `unless` `spending.reserve`."""
        return self._pay(
            model,
            bound_of_embedding(texts),
            lambda: self._inner.embed(model, texts, timeout_s=timeout_s),
            received,
            unless,
        )

    def draw(
        self,
        model: str,
        prompt: str,
        size: str,
        *,
        timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S,
        received: Callable[[Drawing], None] | None = None,
    ) -> Drawing:
        """See `LanguageModel.draw`.

        Args:
            model: see there.
            prompt: see there.
            size: see there.
            timeout_s: see there.
            received: called with what came before its cost is written, so that whatever befalls
                this process then, it is not paid for twice. What it raises is raised here.
        """
        return self._pay(
            model,
            bound_of_drawing(prompt, size),
            lambda: self._inner.draw(model, prompt, size, timeout_s=timeout_s),
            received,
        )

    def _pay(
        self,
        model: str,
        bound: TokenBound,
        call: Callable[[], Answer],
        received: Callable[[Answer], None] | None = None,
        unless: Callable[[Session], None] | None = None,
    ) -> Answer:
        # Before anything is reserved: while the circuit is open, thousands of jobs may look in here.
        self._inner.check()
        budgets = budgets_of(self._runtime)
        with self._runtime.transaction() as session:
            call_id = spending.reserve(session, self._order, model, bound, budgets, unless=unless)
        try:
            answer = call()
        except MiradaError as error:
            self._settle(call_id, error=error)
            raise
        try:
            if received is not None:
                received(answer)
        finally:
            # Of use or not: it is paid for.
            self._settle(call_id, answer=answer)
        return answer

    def _settle(
        self,
        call_id: int,
        *,
        answer: _Answered | None = None,
        error: MiradaError | None = None,
    ) -> None:
        prices = budgets_of(self._runtime).prices
        try:
            with self._runtime.transaction() as session:
                if error is not None:
                    spending.settle_failed(session, call_id, prices, error)
                elif answer is not None:
                    spending.settle(
                        session,
                        call_id,
                        prices,
                        input_tokens=answer.input_tokens,
                        output_tokens=answer.output_tokens,
                    )
        except Unavailable as trouble:
            # The answer is not thrown away for that: the call goes on counting at its most.
            logger.warning("What call %s cost was not written: %s", call_id, trouble)
