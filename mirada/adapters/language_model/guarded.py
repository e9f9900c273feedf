"""A language model behind a circuit breaker: one that keeps failing is not asked for a while."""

from __future__ import annotations

from mirada.kernel.circuit import CircuitBreaker
from mirada.kernel.errors import (
    GarbledReply,
    KeyRefused,
    LanguageModelRefused,
    TooManyRequests,
    Unavailable,
    UnusableReply,
)
from mirada.kernel.model_requests import AnyReply, Request
from mirada.ports import LanguageModel


class GuardedLanguageModel:
    """Passes requests on while the circuit is closed, and tells the breaker how they ended."""

    def __init__(self, inner: LanguageModel, breaker: CircuitBreaker) -> None:
        """Keep both."""
        self._inner = inner
        self._breaker = breaker
        self.check = breaker.check

    def call(self, request: Request[AnyReply]) -> AnyReply:
        """See `LanguageModel.call`."""
        self._breaker.admit()
        try:
            reply = self._inner.call(request)
        except BaseException as error:
            self._report(error)
            raise
        self._breaker.answered()
        return reply

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def _report(self, error: BaseException) -> None:
        match error:
            case KeyRefused():
                self._breaker.refused(error.detail)
            case TooManyRequests():
                self._breaker.told_to_wait(error.detail, error.retry_after_s)
            case GarbledReply():
                self._breaker.failed(error.detail)
            case LanguageModelRefused() | UnusableReply():
                # It works; what it thought of this request says nothing about the next.
                self._breaker.answered()
            case Unavailable():
                self._breaker.failed(error.detail)
            case _:
                # Ours, not the server's: nothing was sent, or this thread is being ended.
                self._breaker.undecided()
