"""Words of texts as they are written, to be suggested while somebody types; and the word being typed.

`kernel.keywords` cuts texts to find them, without accents. Here words keep them, since people read them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from mirada.kernel.keywords import folded, without_weights

MAX_CHARS = 30
"""Of a word; longer ones are codes, or scripts without blanks."""
LEAST_CHARS = 3
"""Of a word of the Latin alphabet; of others two tell something."""
MAX_WORDS = 60
"""Different words of one text: its beginning says what it is about."""
_BETWEEN = re.compile(
    r"[\s_!-&(-,./:-@\[-`{-\xbf\u00d7\u00f7\u2000-\u206f\u3000-\u303f\uff00-\uff0f]+"
)
_JOINING = (
    "the and with for from into onto over under near his her its this that are was not all one two very "
    "com para por sem sobre entre uma uns umas dos das nos nas pelo pela que mais como seu sua muito "
    "con sin una unos unas del los las que mas como por sus muy esta este ese esa"
)
"""What joins words in the three languages, without accents."""
_LITTLE = frozenset(_JOINING.split())


@dataclass(frozen=True, slots=True)
class Typed:
    """The text of a search box: what is finished, and the word at its end.

    Attributes:
        before: everything before that word, with the sign of the word.
        word: the word being typed, as it is written; "" after a blank.
    """

    before: str
    word: str


def typed(text: str) -> Typed:
    r"""Return what stands in a search box, apart.

    >>> typed('red -"ca')
    Typed(before='red -"', word='ca')
    """
    place = max(text.rfind(blank) for blank in " \t\n\u3000") + 1
    while place < len(text) and text[place] in "-\"'(+":
        place += 1
    return Typed(text[:place], text[place:])


def written_words(texts: Sequence[str | None]) -> dict[str, str]:
    """Return the words of texts as they are written, in small letters, by the same without accents.

    Little words are left out, what begins with a digit too, and weights of prompts.

    >>> written_words(["The Órgão, (played:1.2) in 2020"])
    {'orgao': 'órgão', 'played': 'played'}
    """
    found: dict[str, str] = {}
    for text in texts:
        for part in _BETWEEN.split(unicodedata.normalize("NFC", without_weights(text or ""))):
            word = part.strip("'-").lower()
            if len(word) > MAX_CHARS or len(word) < (LEAST_CHARS if word.isascii() else 2):
                continue
            key = folded(word)
            if key in found or key in _LITTLE or not word[0].isalpha():
                continue
            found[key] = word
            if len(found) == MAX_WORDS:
                return found
    return found
