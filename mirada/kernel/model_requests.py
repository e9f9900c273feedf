"""Requests to a language model's server and their replies: one value for each kind, no I/O."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Self, TypeVar

from mirada.kernel.drawing import pixels_of
from mirada.kernel.embeddings import Matrix
from mirada.kernel.model_families import least_reasoning
from mirada.kernel.prices import TokenBound

TIMEOUT_S = 20.0
"""research, reliability 1.10: the SDK's own 600 s would hold a worker's thread for half an hour."""
ENVELOPE_TOKENS = 100
"""Tokens that a server adds around messages: about ten each, and headings around a schema."""
MARK_TOKENS = 4
"""Tokens that some models add to a text before they embed it."""
PICTURE_TOKENS = 3_000
"""Tokens of one picture at low detail: 2,833 with gpt-4o-mini, the most of all OpenAI models."""
MORE_TOKENS = 8_000
"""Further tokens for a model whose hidden reasoning used up the first limit."""
SQUARE_PIXELS = 1024 * 1024
DRAWING_TOKENS = 8_000
"""Tokens of a drawing of SQUARE_PIXELS at high quality: about 7,030 with gpt-image-2, the most."""
AUTO_PIXELS = 1536 * 1024
"""Pixels of the largest drawing that OpenAI makes where the size is `auto`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A reply whose tokens the server may have counted.

    Attributes:
        input_tokens: of the request; None when the server does not say.
        output_tokens: of the reply; None when the server does not say.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Reply(Counted):
    """Text that a language model wrote and nobody has checked; see `Counted` for its tokens.

    Attributes:
        text: untrusted; JSON of the schema's shape if all went well.
    """

    text: str


@dataclass(frozen=True, slots=True)
class EmbeddedTexts(Counted):
    """Vectors of texts; see `Counted` for their tokens.

    Attributes:
        vectors: (n, d) float32 unit rows, in the order of the texts.
    """

    vectors: Matrix


@dataclass(frozen=True, slots=True)
class Drawing(Counted):
    """A picture made from words; see `Counted` for its tokens.

    Attributes:
        picture: the file's bytes, untrusted as any upload's.
    """

    picture: bytes


AnyReply = TypeVar("AnyReply", bound=Counted)


@dataclass(frozen=True, slots=True)
class Request(ABC, Generic[AnyReply]):
    """One request to a language model; the parameter is the type of its reply.

    Attributes:
        model: its name at the server.
        setting: the setting that names the model, for what people are told.
        timeout_s: the longest silence, and the longest transfer of a reply that has begun.
    """

    model: str
    setting: str = field(default="the setting of the model", kw_only=True)
    timeout_s: float = field(default=TIMEOUT_S, kw_only=True)

    @property
    @abstractmethod
    def bound(self) -> TokenBound:
        """The most tokens that this request and its reply can cost."""

    def roomier(self) -> Self | None:
        """Return the request with more room for hidden reasoning; None where there is no more."""
        return None


@dataclass(frozen=True, slots=True)
class Question(Request[Reply]):
    """A question whose answer is JSON, about a picture or about none.

    Attributes:
        instructions: ours alone: nothing in them comes from a user.
        question: data, quoted.
        schema: JSON Schema of the answer; `title` names it, every property is required.
        max_tokens: longest answer.
        picture: a small JPEG, WebP or PNG without metadata, never an original; shown at low detail.
        more_tokens: further room for hidden reasoning, beside what the model is known to need.
    """

    instructions: str
    question: str
    schema: Mapping[str, Any]
    max_tokens: int
    picture: bytes | None = None
    more_tokens: int = field(default=0, kw_only=True)

    @property
    def limit(self) -> int:
        """The limit that the server is told: the answer, and the reasoning before it."""
        return self.max_tokens + least_reasoning(self.model).tokens + self.more_tokens

    def roomier(self) -> Self | None:
        """Return the question with more room for hidden reasoning; None where it was given already."""
        return None if self.more_tokens else replace(self, more_tokens=MORE_TOKENS)

    @property
    def bound(self) -> TokenBound:
        """The most tokens: none is shorter than one byte of UTF-8, and all pictures count alike."""
        texts = (self.instructions, self.question, json.dumps(self.schema))
        shown = 0 if self.picture is None else PICTURE_TOKENS
        given = sum(len(text.encode()) for text in texts)
        return TokenBound(given + ENVELOPE_TOKENS + shown, self.limit)


@dataclass(frozen=True, slots=True)
class TextsToEmbed(Request[EmbeddedTexts]):
    """Texts to embed: 1 to 256, none of them empty."""

    texts: Sequence[str]

    @property
    def bound(self) -> TokenBound:
        """The most tokens; the reply has none."""
        return TokenBound(sum(len(text.encode()) + MARK_TOKENS for text in self.texts), 0)


@dataclass(frozen=True, slots=True)
class PictureToDraw(Request[Drawing]):
    """A prompt to draw one picture from.

    Attributes:
        prompt: a person's words.
        size: "1024x1024" and the like, as the model knows them.
    """

    prompt: str
    size: str

    @property
    def bound(self) -> TokenBound:
        """The most tokens, at the highest quality."""
        pixels = pixels_of(self.size) or AUTO_PIXELS
        drawn = math.ceil(DRAWING_TOKENS * max(1.0, pixels / SQUARE_PIXELS))
        return TokenBound(len(self.prompt.encode()) + ENVELOPE_TOKENS, drawn)
