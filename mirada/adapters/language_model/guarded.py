"""A language model behind a circuit breaker: one that keeps failing is not asked for a while."""

from __future__ import annotations

from typing import Protocol

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


class ClosableLanguageModel(LanguageModel, Protocol):
    """A language model that holds connections."""

    def close(self) -> None:
        """Close them."""


class GuardedLanguageModel:
    """Passes requests on while the circuit is closed, and tells the breaker how they ended."""

    def __init__(self, inner: ClosableLanguageModel, breaker: CircuitBreaker) -> None:
        """Keep both."""
        self._inner = inner
        self._breaker = breaker
        self.check = breaker.check

    def call(self, request: Request[AnyReply]) -> AnyReply:
        """See `LanguageModel.call`."""
        self._breaker.admit()
        try:
            reply = self._inner.call(request)
        except KeyRefused as error:
            self._breaker.refused(error.detail)
            raise
        except TooManyRequests as error:
            self._breaker.told_to_wait(error.detail, error.retry_after_s)
            raise
        except GarbledReply as error:
            self._breaker.failed(error.detail)
            raise
        except (LanguageModelRefused, UnusableReply):
            # It works; what it thought of this request says nothing about the next.
            self._breaker.answered()
            raise
        except Unavailable as error:
            self._breaker.failed(error.detail)
            raise
        except BaseException:
            # Ours, not the server's: nothing was sent, or this thread is being ended.
            self._breaker.undecided()
            raise
        self._breaker.answered()
        return reply

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()
