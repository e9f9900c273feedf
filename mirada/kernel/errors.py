"""Every error that Mirada raises on purpose; only `webapp/http/errors.py` turns them into HTTP.

MiradaError
├── NotFound                  absent, or hidden from the caller, who cannot tell which
├── NotAuthenticated          no key, or a key that is not valid
├── NotAllowed                the caller is not an administrator
│   ├── ScopeMissing          the key's owner may do this, but not with this key
│   └── QuotaReached          the owner keeps as much here as they may
├── InvalidInput              the request is wrong; nothing was done
│   ├── UnsupportedImage      not a picture of an accepted format, or not of the declared one
│   ├── CorruptImage          an accepted format that cannot be decoded to the end
│   ├── ImageTooLarge         too many bytes, pixels, or too long a side
│   ├── AddressRefused        an address of the web that is not called from here
│   └── UnfitAnswer           what a server sent from there is not what was wanted
├── Conflict                  the request contradicts the present state
│   ├── PreconditionFailed    the resource has a newer version than the caller named
│   └── EmbeddingSpaceMismatch  vectors of two spaces, or settings unlike the pinned space
├── SearchExpired             the ranking that a search's next page is of is not kept any more
├── ExportExpired             an export is not kept any more, or would tell what is hidden by now
├── Unavailable               a dependency is down; the same request may work later
│   ├── StorageFull           the disk is full
│   ├── DatabaseBusy          locks were waited for too long; the transaction did nothing
│   │   └── Deadlock          two transactions waited for each other; this one was undone
│   ├── DatabaseAway          the database cannot be reached; the log says where it was looked for
│   ├── DatabaseRefused       the database answers and refuses; only its operator can change that
│   ├── EncoderUnavailable    no encoder can be loaded: weights missing, damaged or unfitting
│   ├── NoAnswer              a request was sent and no reply came; it may cost money
│   ├── LanguageModelRefused  the model's name or our request is wrong; a retry cannot help
│   ├── UnusableReply         a language model's reply cannot be used; it is never stored
│   │   ├── GarbledReply      the reply is not in the server's own format
│   │   └── OutOfTokens       hidden reasoning used up the reply's limit before the answer
│   ├── CallFailed            a server that somebody named did not answer, or not properly
│   └── Deferred              the work waits; the attempt does not count as failed
│       ├── TooManyRequests   the server asks for fewer requests
│       ├── CircuitOpen       the server failed too often and is not asked for a while
│       ├── BudgetReached     the day's budget is spent
│       ├── KeyRefused        the language model's key is wrong; the operator must change it
│       └── ModelUnusable     the server has no such model, or it cannot do what is asked of it
├── LeaseLost                 another worker has the job; this attempt's result is void
└── SnapshotInvalid           an index snapshot failed a check; it is never used
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence


class MiradaError(Exception):
    """The root of all errors; `str(error)` is for people.

    Attributes:
        code: the class's name in snake case, or one that the class states, for machines. A client
            may depend on it, so a class is not renamed.
        detail: a sentence for people.
        fields: messages by the name of the field at fault.
    """

    code = "error"

    def __init_subclass__(cls) -> None:
        cls.code = vars(cls).get("code") or re.sub(r"\B(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, detail: str, *, fields: Mapping[str, list[str]] | None = None) -> None:
        """Keep a sentence for people, and messages by the name of the field at fault."""
        super().__init__(detail)
        self.detail = detail
        self.fields: dict[str, list[str]] = dict(fields or {})


class NotFound(MiradaError):
    """The thing does not exist, or the caller must not learn that it exists."""


class NotAuthenticated(MiradaError):
    """The call needs a valid API key."""


class NotAllowed(MiradaError):
    """The caller is known and is not allowed to do this."""


class ScopeMissing(NotAllowed):
    """The key's scopes do not permit this; `scopes` are the scopes it would need."""

    def __init__(self, detail: str, *, scopes: Sequence[str]) -> None:
        """Keep the sentence and the scopes that would be needed."""
        super().__init__(detail)
        self.scopes = tuple(scopes)


class QuotaReached(NotAllowed):
    """The owner keeps as many images or bytes as they may."""


class InvalidInput(MiradaError):
    """The request is wrong and would be wrong at any time."""


class UnsupportedImage(InvalidInput):
    """The bytes are not a picture in an accepted format, or not in the declared format."""


class CorruptImage(InvalidInput):
    """The picture is empty, truncated or cannot be decoded."""


class ImageTooLarge(InvalidInput):
    """The picture has too many bytes, too many pixels, or too long a side."""


class AddressRefused(InvalidInput):
    """An address of the web is none, or leads where nothing is called from here."""


class UnfitAnswer(InvalidInput):
    """The server at an address sent something else than was wanted, and would again."""


class Conflict(MiradaError):
    """The request contradicts the present state."""


class PreconditionFailed(Conflict):
    """The resource has a newer version than the caller named."""


class EmbeddingSpaceMismatch(Conflict):
    """Vectors of two spaces would be compared, or the settings name another space than the pinned one."""


class SearchExpired(MiradaError):
    """The ranking whose next page is asked for is gone; the search has to be made again."""


class ExportExpired(MiradaError):
    """An export is not kept any more, or holds what its owner may not see any more; make it again."""


class Unavailable(MiradaError):
    """A dependency is down; the same request may work after `retry_after_s` seconds."""

    def __init__(self, detail: str, *, retry_after_s: int = 5) -> None:
        """Keep the sentence and the seconds that a caller should wait."""
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class StorageFull(Unavailable):
    """The file store has no room left."""


class DatabaseBusy(Unavailable):
    """The database is locked; the transaction was undone and may be run again."""

    code = "unavailable"


class Deadlock(DatabaseBusy):
    """Two transactions waited for each other, and this one was undone at once."""

    code = "unavailable"


class DatabaseAway(Unavailable):
    """The database cannot be reached. As a string it is for logs and terminals: it names the address.

    Attributes:
        for_operator: the address and the cause in a sentence. Clients are shown `detail`, which has neither.
    """

    code = "unavailable"

    def __init__(self, detail: str, *, where: str, why: str) -> None:
        """Keep the sentence for clients, the address without a password, and the cause in words."""
        super().__init__(detail)
        self.for_operator = f"The database at {where} cannot be reached: {why}."

    def __str__(self) -> str:
        """Return the sentence for operators."""
        return self.for_operator


class DatabaseRefused(Unavailable):
    """The database answers and refuses; waiting does not help, its operator has to change something.

    Attributes:
        said: the server's own words, for the operator: they name users and hosts.
    """

    code = "unavailable"

    def __init__(self, detail: str, *, said: str = "", retry_after_s: int = 60) -> None:
        """Keep the sentence, the server's words, and the seconds that a caller should wait."""
        super().__init__(detail, retry_after_s=retry_after_s)
        self.said = said

    @property
    def for_operator(self) -> str:
        """The sentence, and the server's words where there are any."""
        return f"{self.detail} The database said: {self.said}" if self.said else self.detail


class EncoderUnavailable(Unavailable):
    """No encoder can be loaded: weights are missing, damaged, or do not fit the configuration."""


class NoAnswer(Unavailable):
    """A request was sent and no reply came; it is unknown whether the request costs money."""


class LanguageModelRefused(Unavailable):
    """The language model's server refuses our key, our model's name or our request."""


class UnusableReply(Unavailable):
    """A language model's reply cannot be used; it is stored nowhere."""

    def __init__(
        self, detail: str, *, input_tokens: int | None = None, output_tokens: int | None = None
    ) -> None:
        """Keep the sentence and the tokens that the reply costs; None where they are unknown."""
        super().__init__(detail)
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens


class GarbledReply(UnusableReply):
    """The reply is not in the server's own format: the server is at fault, not the request."""


class OutOfTokens(UnusableReply):
    """Hidden reasoning used up the limit of the reply before there was an answer."""


class CallFailed(Unavailable):
    """A server that somebody named did not answer, or not properly; another time it may."""


class Deferred(Unavailable):
    """The work waits `retry_after_s` seconds; a job does not lose an attempt by it."""


class TooManyRequests(Deferred):
    """The server works and asks for fewer requests."""


class CircuitOpen(Deferred):
    """The server failed too often lately, so the request was not sent."""


class BudgetReached(Deferred):
    """The day's budget is spent; the next UTC day begins after `retry_after_s` seconds."""


class KeyRefused(LanguageModelRefused, Deferred):
    """The language model's key is refused. The work itself is right, so it waits."""


class ModelUnusable(LanguageModelRefused, Deferred):
    """The server has no such model for our key, or the model cannot do what is asked of it.

    The work itself is right, so it waits until the setting names another model.
    """


class LeaseLost(MiradaError):
    """Another worker owns the job now; this attempt must write nothing."""


class SnapshotInvalid(MiradaError):
    """An index snapshot on disk failed a check."""
