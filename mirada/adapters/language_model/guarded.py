"""A language model behind a circuit breaker: one that keeps failing is not asked for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from mirada.kernel.circuit import CircuitBreaker
from mirada.kernel.errors import (
    GarbledReply,
    KeyRefused,
    LanguageModelRefused,
    TooManyRequests,
    Unavailable,
    UnusableReply,
)
from mirada.ports import (
    LANGUAGE_MODEL_TIMEOUT_S,
    Drawing,
    EmbeddedTexts,
    LanguageModel,
    Reply,
)


class ClosableLanguageModel(LanguageModel, Protocol):
    """One that holds connections."""

    def close(self) -> None:
        """Let go of them."""


class GuardedLanguageModel:
    """Passes questions on while the circuit is closed, and tells the breaker how they ended."""

    def __init__(self, inner: ClosableLanguageModel, breaker: CircuitBreaker) -> None:
        """Keep both."""
        self._inner = inner
        self._breaker = breaker

    def check(self) -> None:
        """See `LanguageModel.check`."""
        self._breaker.check()

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
        with self._watched():
            return self._inner.ask(
                model,
                instructions,
                question,
                schema=schema,
                max_tokens=max_tokens,
                timeout_s=timeout_s,
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
    ) -> Reply:
        """See `LanguageModel.see`."""
        with self._watched():
            return self._inner.see(
                model,
                instructions,
                question,
                picture,
                schema=schema,
                max_tokens=max_tokens,
                timeout_s=timeout_s,
            )

    def embed(
        self, model: str, texts: Sequence[str], *, timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S
    ) -> EmbeddedTexts:
        """See `LanguageModel.embed`."""
        with self._watched():
            return self._inner.embed(model, texts, timeout_s=timeout_s)

    def draw(
        self, model: str, prompt: str, size: str, *, timeout_s: float = LANGUAGE_MODEL_TIMEOUT_S
    ) -> Drawing:
        """See `LanguageModel.draw`."""
        with self._watched():
            return self._inner.draw(model, prompt, size, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        self._breaker.admit()
        try:
            yield
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
            # It works; what it thought of this question says nothing about the next.
            self._breaker.answered()
            raise
        except Unavailable as error:
            self._breaker.failed(error.detail)
            raise
        except BaseException:
            # Ours, not the server's: nothing was sent, or this thread is being ended.
            self._breaker.undecided()
            raise
        else:
            self._breaker.answered()
