"""The built-in labels as people call them in Portuguese and Spanish, so that either can be typed."""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("en", "pt", "es")
"""English first: it is what labels are called that are not here."""
WORDS: Mapping[str, tuple[str, str]] = {
    "happy": ("feliz", "feliz"),
    "laughing": ("rindo", "riendo"),
    "love": ("amor", "amor"),
    "sad": ("triste", "triste"),
    "angry": ("zangado", "enfadado"),
    "surprised": ("surpreso", "sorprendido"),
    "scared": ("assustado", "asustado"),
    "tired": ("cansado", "cansado"),
    "sick": ("doente", "enfermo"),
    "thinking": ("pensando", "pensando"),
    "gesture": ("gesto", "gesto"),
    "people": ("pessoas", "personas"),
    "family": ("família", "familia"),
    "cat": ("gato", "gato"),
    "dog": ("cão", "perro"),
    "animal": ("animal", "animal"),
    "bird": ("pássaro", "pájaro"),
    "sea life": ("vida marinha", "vida marina"),
    "insect": ("inseto", "insecto"),
    "plant": ("planta", "planta"),
    "fruit and vegetables": ("frutas e legumes", "frutas y verduras"),
    "food": ("comida", "comida"),
    "dessert": ("sobremesa", "postre"),
    "drink": ("bebida", "bebida"),
    "vehicle": ("veículo", "vehículo"),
    "building": ("edifício", "edificio"),
    "weather and sky": ("tempo e céu", "tiempo y cielo"),
    "sport": ("esporte", "deporte"),
    "celebration": ("festa", "fiesta"),
    "music": ("música", "música"),
    "money and work": ("dinheiro e trabalho", "dinero y trabajo"),
    "clothing": ("roupa", "ropa"),
}
"""By the name of the built-in label: in Portuguese, in Spanish."""
JOINING = frozenset({"and", "e", "y"})
"""Words of names that say nothing of a picture."""


def called(name: str, language: str = "en") -> tuple[str, ...]:
    """Return what a label is called, in a language first and then in the others.

    >>> called("family", "es")
    ('familia', 'family', 'família')
    >>> called("my own", "es")
    ('my own',)
    """
    texts = (name, *WORDS.get(name, ()))
    own = texts[LANGUAGES.index(language)] if language in LANGUAGES[: len(texts)] else name
    return tuple(dict.fromkeys((own, *texts)))


_NAMES: Mapping[str, str] = {
    word: name for name, words in reversed(list(WORDS.items())) for word in (*words, name)
}


def label_called(text: str) -> str:
    """Return the name of the label that is called so in any language; the text itself for others.

    >>> label_called("gato"), label_called("my own")
    ('cat', 'my own')
    """
    return _NAMES.get(text.lower(), text)
