"""Labels, the prompts made from them, and the mean vector of those prompts. No encoder is used here."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mirada.kernel.embeddings import Matrix, Vector, l2_normalise
from mirada.kernel.errors import InvalidInput

MAX_NAME_CHARACTERS = 100
"""Chosen here: longer texts are sentences. The indexed column holds 191 characters."""
MAX_PROMPT_CHARACTERS = 300
"""Longest description or template: text towers read 64 to 77 tokens, about so many characters."""
MAX_TEMPLATES = 100
"""OpenAI's ensemble for ImageNet has 80; each template costs one text inference per label."""
MAX_LABELS = 1_000
"""Most labels of one classification; chosen here, as many as ImageNet has."""
PLACEHOLDER = "{}"
"""The place of the label in a template, as in Radford et al. 2021."""

_JOINERS = frozenset("\u200c\u200d")
"""Invisible characters that are permitted: Persian spelling and combined emoji need them."""
_EMOJI_TAGS = range(0xE0020, 0xE0080)
"""Invisible characters that spell the flags of England, Scotland and Wales."""


@dataclass(frozen=True, slots=True)
class Label:
    """A name that a picture may be given, with the texts that describe it to an encoder.

    Attributes:
        name: as `normalised_name` returns it.
        description: a sentence that may be added to the prompts; None for no description.
        templates: prompts with one `{}` each; None for DEFAULT_TEMPLATES.
        threshold: lowest score in [0, 1] at which the label applies; None for no threshold.
    """

    name: str
    description: str | None = None
    templates: tuple[str, ...] | None = None
    threshold: float | None = None


DEFAULT_TEMPLATES: tuple[str, ...] = (
    "{}",
    "a sticker of {}",
    "an emoji of {}",
    "a drawing of {}",
)
"""The bare name and three templates for chat pictures, after Radford et al. 2021, section 3.1.4. Their own
templates ("a photo of a {}") are about photographs. "a meme about {}", "a cartoon of {}" and "a sticker
that shows {}" each made the bundled encoder worse."""

DEFAULT_LABELS: tuple[Label, ...] = (
    Label("happy", "a cheerful smiling face, joy, good mood"),
    Label("laughing", "someone laughing out loud, tears of joy, something very funny"),
    Label("love", "a heart, romance, affection, I love you"),
    Label("sad", "a sad or crying face, tears, disappointment"),
    Label("angry", "an angry face, rage, swearing, steam from the nose"),
    Label("surprised", "an astonished face, shock, an open mouth, a mind blown"),
    Label("scared", "fear, horror, a scream, a monster"),
    Label("tired", "sleepy, yawning, in bed, exhausted"),
    Label("sick", "ill, a fever, a thermometer, sneezing, a bandage"),
    Label("thinking", "doubt, a question, considering, suspicion"),
    Label("gesture", "a hand sign: pointing, a thumb up, a fist, waving"),
    Label("people", "a person, a man, a woman, a child, a crowd"),
    Label("family", "parents with children, a baby, a couple"),
    Label("cat", "a cat or a kitten"),
    Label("dog", "a dog or a puppy"),
    Label("animal", "a mammal: on a farm, in the wild, in a zoo"),
    Label("bird", "a bird with feathers and wings: a parrot, a chicken, a swan"),
    Label("sea life", "a fish, a whale, a shell, a coral, a lobster"),
    Label("insect", "a bug: an ant, a beetle, a spider, a worm"),
    Label("plant", "a flower, a tree, leaves, herbs"),
    Label("fruit and vegetables", "fresh fruit or vegetables: an apple, a carrot, a tomato"),
    Label("food", "a meal, a dish, a snack, bread, meat"),
    Label("dessert", "something sweet: a cake, ice cream, candy"),
    Label("drink", "a glass, a cup or a bottle to drink: coffee, beer, juice"),
    Label("vehicle", "a car, a bus, a train, a boat, a plane"),
    Label("building", "a house, a castle, a tower, a church, a shop"),
    Label("weather and sky", "the sun, the moon, stars, rain, clouds, a rainbow"),
    Label("sport", "a ball, a game on a field, a medal, an athlete"),
    Label("celebration", "a party, a birthday, fireworks, balloons, a holiday"),
    Label("music", "an instrument, a microphone, a song, a dance"),
    Label("money and work", "a banknote, an office, files, tools, a business"),
    Label("clothing", "clothes, shoes, make-up, a ring, jewellery"),
)
"""The label set until an administrator edits it: first moods that people send stickers for, then things
that stickers show."""


def normalised_name(text: object) -> str:
    """Return a label's or theme's name: NFC, trimmed, one space between words.

    Raises:
        InvalidInput: it is not a string, holds a control or invisible character, has no letter,
            digit or symbol, or is longer than MAX_NAME_CHARACTERS.
    """
    return normalised_line(text, "A name", MAX_NAME_CHARACTERS)


def normalised_description(text: object) -> str:
    """Return a description, normalised as by `normalised_name`, of up to MAX_PROMPT_CHARACTERS."""
    return normalised_line(text, "A description", MAX_PROMPT_CHARACTERS)


def normalised_templates(texts: Sequence[object]) -> tuple[str, ...]:
    """Return distinct prompt templates in their order, normalised as by `normalised_name`.

    Raises:
        InvalidInput: there is no template, or more than MAX_TEMPLATES; or one has not exactly one
            `{}`, or is longer than MAX_PROMPT_CHARACTERS.
    """
    if isinstance(texts, str) or not 1 <= len(texts) <= MAX_TEMPLATES:
        raise InvalidInput(f"There may be 1 to {MAX_TEMPLATES} templates, as a list.")
    templates = [normalised_line(text, "A template", MAX_PROMPT_CHARACTERS) for text in texts]
    for template in templates:
        if template.count(PLACEHOLDER) != 1:
            raise InvalidInput(f"A template needs {{}} exactly once, for the label: {template!r}.")
    return tuple(dict.fromkeys(templates))


def ensemble_texts(
    label: Label, *, templates: Sequence[str] | None = None, descriptions: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the distinct texts whose mean vector represents a label, in their order.

    Args:
        label: its name fills the templates; its description is used only if it is passed as well.
        templates: as `normalised_templates` returns them; None for the label's own, else
            DEFAULT_TEMPLATES.
        descriptions: further texts that fill the templates, each weighing as much as the name
            (docs/evaluation.md measures the gain).
    """
    chosen = templates or label.templates or DEFAULT_TEMPLATES
    # str.format would fail on a template or a name with other braces.
    subjects = [label.name, *descriptions]
    return tuple(
        dict.fromkeys(
            template.replace(PLACEHOLDER, subject) for subject in subjects for template in chosen
        )
    )


def ensemble_key(
    label: Label, *, templates: Sequence[str] | None = None, descriptions: Sequence[str] = ()
) -> str:
    """Return a digest of `ensemble_texts` of the same arguments: 64 hex digits, whatever their order.

    Two labels with the same key have the same vector in every space.
    """
    texts = sorted(ensemble_texts(label, templates=templates, descriptions=descriptions))
    return hashlib.sha256(json.dumps(texts, ensure_ascii=False).encode()).hexdigest()


def ensemble(vectors: Matrix) -> Vector:
    """Return the (d,) unit vector of a label: the mean of its (t, d) unit text vectors.

    Raises:
        InvalidInput: there is no vector, one is not finite, or the mean is zero.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
    (2021), section 3.1.4: the ensemble is built over the embedding space, not over probabilities.
    """
    if vectors.ndim != 2 or not len(vectors):
        raise InvalidInput("A label needs at least one text vector.")
    return l2_normalise(np.asarray(vectors, dtype=np.float64).mean(axis=0))


def normalised_line(text: object, what: str, longest: int) -> str:
    """Return one line of text as names are kept: NFC, trimmed, one space between words.

    Args:
        text: as somebody sent it.
        what: begins the sentences of refusals, such as "A name".
        longest: characters.

    Raises:
        InvalidInput: it is not a string, holds a control or invisible character, has no letter, digit
            or symbol, or is too long.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"{what} is text, not {type(text).__name__}.")
    # The length is checked before any loop over characters: a request may hold megabytes.
    trimmed = text.strip() if len(text) <= 10 * longest else text
    if len(trimmed) > 2 * longest:
        raise InvalidInput(f"{what} may have {longest} characters at most.")
    refused = next((character for character in trimmed if _is_refused(character)), None)
    if refused is not None:
        raise InvalidInput(
            f"{what} may not hold control or invisible characters: U+{ord(refused):04X}."
        )
    normalised = " ".join(unicodedata.normalize("NFC", trimmed).split())
    if not any(unicodedata.category(character)[0] in "LNPS" for character in normalised):
        raise InvalidInput(f"{what} needs at least one letter, digit or symbol.")
    if len(normalised) > longest:
        raise InvalidInput(f"{what} may have {longest} characters at most.")
    return normalised


def _is_refused(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cf":
        return character not in _JOINERS and ord(character) not in _EMOJI_TAGS
    return category in ("Cc", "Cs", "Zl", "Zp")
