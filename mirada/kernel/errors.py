"""Every error Mirada raises on purpose; `webapp/errors.py` alone turns them into HTTP.

MiradaError
├── NotFound                  absent, or not the caller's to see: the two look alike
├── NotAuthenticated          no key, or one that does not count
├── NotAllowed                known, but not an administrator
│   └── ScopeMissing          the key's owner may, this key may not
├── InvalidInput              the request makes no sense; nothing was done
│   ├── UnsupportedImage      not a picture of an accepted format, or not the one declared
│   ├── CorruptImage          an accepted format that does not decode to the end
│   └── ImageTooLarge         too many bytes, pixels, or too long a side
├── Conflict                  true requests that cannot both hold
│   ├── PreconditionFailed    the resource is no longer the version the caller named
│   └── EmbeddingSpaceMismatch  vectors of two spaces, or settings against the pinned space
├── Unavailable               something we need is down; the same request may work later
│   ├── StorageFull           the disk is full
│   ├── EncoderUnavailable    no encoder can be had: weights missing, broken or of another shape
│   ├── NoAnswer              we asked, and no answer came: it may have been paid for
│   ├── LanguageModelRefused  its name or our request is wrong: asking again changes nothing
│   ├── UnusableReply         a language model's answer that is not what was asked for; never stored
│   │   └── GarbledReply      one that is not even of the server's own format
│   └── Deferred              not now, and nobody failed: work waits and loses no attempt by it
│       ├── TooManyRequests   whom we ask tells us to come later
│       ├── CircuitOpen       whom we ask failed too often; it is left alone for a while
│       ├── BudgetReached     today's money is spent
│       └── KeyRefused        the language model's key is wrong, which is for the operator to mend
├── LeaseLost                 this attempt of a job was given up for lost; its result is void
└── SnapshotInvalid           an index snapshot failed a check; it is never served
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class MiradaError(Exception):
    """Root of the tree. `code` is stable and machine-readable; `str(error)` says what to do."""

    code = "error"

    def __init__(self, detail: str, *, fields: Mapping[str, list[str]] | None = None) -> None:
        """Keep a sentence for people and, where it applies, messages by field name."""
        super().__init__(detail)
        self.detail = detail
        self.fields: dict[str, list[str]] = dict(fields or {})


class NotFound(MiradaError):
    """The thing does not exist, or the caller may not know that it does."""

    code = "not_found"


class NotAuthenticated(MiradaError):
    """The call needs a valid API key."""

    code = "not_authenticated"


class NotAllowed(MiradaError):
    """The caller is known and may not do this."""

    code = "not_allowed"


class ScopeMissing(NotAllowed):
    """The key is limited to scopes that do not include this; `scopes` are those it would need."""

    code = "scope_missing"

    def __init__(self, detail: str, *, scopes: Sequence[str]) -> None:
        """Keep the sentence and the scopes."""
        super().__init__(detail)
        self.scopes = tuple(scopes)


class InvalidInput(MiradaError):
    """The request cannot be honoured as it stands."""

    code = "invalid_input"


class UnsupportedImage(InvalidInput):
    """The bytes are not a picture we accept, or not of the type they claim."""

    code = "unsupported_image"


class CorruptImage(InvalidInput):
    """The picture is empty, truncated or does not decode."""

    code = "corrupt_image"


class ImageTooLarge(InvalidInput):
    """The picture has too many bytes or pixels, or a side is too long."""

    code = "image_too_large"


class Conflict(MiradaError):
    """The request contradicts the state of things."""

    code = "conflict"


class PreconditionFailed(Conflict):
    """The resource has changed since the version the caller named."""

    code = "precondition_failed"


class EmbeddingSpaceMismatch(Conflict):
    """Vectors of two spaces would meet, or the settings name another space than the pinned one."""

    code = "embedding_space_mismatch"


class Unavailable(MiradaError):
    """A dependency is down; trying again after `retry_after_s` seconds may help."""

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 5) -> None:
        """Keep the sentence and the number of seconds a caller should wait."""
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class StorageFull(Unavailable):
    """The file store has no room left."""

    code = "storage_full"


class EncoderUnavailable(Unavailable):
    """No encoder can be loaded: weights are missing, damaged, or do not fit the configuration."""

    code = "encoder_unavailable"


class NoAnswer(Unavailable):
    """A request was sent and no answer came back; whether it was worked on, and paid, is unknown."""

    code = "no_answer"


class LanguageModelRefused(Unavailable):
    """The language model's server does not take our key, our model's name or our request."""

    code = "language_model_refused"


class UnusableReply(Unavailable):
    """A language model answered with something that cannot be used; it is kept nowhere."""

    code = "unusable_reply"

    def __init__(
        self, detail: str, *, input_tokens: int | None = None, output_tokens: int | None = None
    ) -> None:
        """Keep the sentence, and what the answer cost all the same; None where that is not known."""
        super().__init__(detail)
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens


class GarbledReply(UnusableReply):
    """What came back is not of the server's own format: the fault is the server's, not the question's."""

    code = "garbled_reply"


class Deferred(Unavailable):
    """Not now, and no attempt failed: a job waits `retry_after_s` without losing an attempt."""

    code = "deferred"


class TooManyRequests(Deferred):
    """Whoever is asked works, and wants fewer questions."""

    code = "too_many_requests"


class CircuitOpen(Deferred):
    """Whoever is asked failed too often lately, so this was not even tried."""

    code = "circuit_open"


class BudgetReached(Deferred):
    """What may be spent in a day is spent; the next UTC day begins after `retry_after_s`."""

    code = "budget_reached"


class KeyRefused(LanguageModelRefused, Deferred):
    """The language model's key is refused: nothing about the work is wrong, and it can wait."""

    code = "key_refused"


class LeaseLost(MiradaError):
    """Another worker owns this job now; whatever this attempt computed must not be written."""

    code = "lease_lost"


class SnapshotInvalid(MiradaError):
    """An index snapshot on disk failed one of its checks."""

    code = "snapshot_invalid"
