r"""Cuts texts and queries into words, the same for every database: no engine's own parser is used.

Case, accents, width and "ß" make no difference. Every sign that is no letter or digit is a blank, `_`
and `-` among them. Weights of prompts are left out: "(cat:1.2)", "<lora:detail:0.8>". Scripts that write
no blanks are cut into single letters and pairs of letters. An emoji is a word.

A change of what is cut needs another CUT_VERSION. Standard library only.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping

CUT_VERSION = 1
"""Of the rules below. Rows that were cut by other rules are cut again when the server starts."""
MAX_QUERY_WORDS = 32
"""Words of one query that are searched for; longer queries are better answered by vectors."""
MAX_TEXT_WORDS = 4_096
"""Different words of one image that are kept, which is a text of about 20,000 characters. Of more, the
most frequent are."""
USUAL_LENGTH = 24
"""Words of a usual prompt. BM25 compares a text's length with it: the true mean would change with
every upload, and everybody's order of results with it."""
TF_SATURATION, LENGTH_SHARE = 1.2, 0.75
"""BM25's k1 and b; Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009, 3.5.2."""
WEIGHT_UNIT = 1_000
"""Of weights, which are integers, so that every engine adds them up to the same sum."""

_TONES = re.compile("[\U0001f3fb-\U0001f3ff]")
_SYMBOL = (
    "[\u2194-\u2199\u21a9\u21aa\u2300-\u2328\u232b-\u23ff\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe"
    "\u2600-\u275a\u2761-\u2767\u2776-\u27bf\u2934\u2935\u2b00-\u2bff\u3030\u303d"
    "\U0001f000-\U0001f0ff\U0001f170-\U0001f1e5\U0001f300-\U0001faff]"
    # Whatever is said to be shown as an emoji, but for two that stand for a Chinese character.
    "|[^\\w\\s\u3297\u3299]\ufe0f"
)
_ONE = f"(?:{_SYMBOL})[\ufe0e\ufe0f]*[\U0001f3fb-\U0001f3ff]?\ufe0f?[\U000e0020-\U000e007f]*"
_EMOJI = re.compile(
    # Flags, keycaps, and single emoji or several that are joined into one.
    f"([\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3|{_ONE}(?:\u200d{_ONE})*)"
)
_AS_TEXT = re.compile("[\ufe0e\ufe0f]")

_IN_TAG = re.compile(r"<[^<>]*>")
_TAG_WEIGHT = re.compile(r":\s*[+-]?\d*\.?\d+(?=[:\s>])")
_WEIGHT = re.compile(
    # "(cat:1.2)", "[cat:dog:0.5]"; of integers not "(3:4)".
    r"(?::\s*[+-]?\d?\.\d+|(?<!\d):\s*[+-]?\d\.?)\s*(?=[)\]}])"
    # "(cat)1.3"
    r"|(?<=\))[+-]?\d?\.\d+"
    # "cat::2"
    r"|::\s*-?\d*\.?\d+"
)
_PLAIN_WORD = re.compile("[a-z0-9]+")
_NO_WORD = re.compile("[\ud800-\udfff\u2120\u2122]")
"""Halves of surrogate pairs; "SM" and "TM" behind a word."""
_PERSIAN_JOINT = re.compile("(?<=[\u0600-\u06ff])\u200c")
"""Between the parts of a word, where many people write a blank."""

_ACCENTS = re.compile(
    # Accents of Latin, Greek and Cyrillic; the vowel points of Hebrew and Arabic, which few people
    # write; what stretches Arabic words; variants of one and the same sign. Marks of other scripts are
    # part of their letters.
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
    "\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
    "\U000e0100-\U000e01ef]"
)
_STROKES = str.maketrans(
    # Letters that Unicode does not take apart.
    {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe"}
)
_WITHOUT_BLANKS = (
    # Where a script that writes no blanks between words begins and ends. Korean writes some, and
    # joins particles to its words.
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1100, 0x11FF),  # Hangul
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai
    (0x1A20, 0x1AAF),
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x2FDF),  # Han
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3031, 0x312F),  # Kana, Bopomofo
    (0x3130, 0x318F),
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),  # Yi
    (0xA960, 0xA97F),
    (0xA980, 0xA9FF),  # Javanese, Burmese
    (0xAA60, 0xAA7F),
    (0xAC00, 0xD7FF),
    (0xF900, 0xFAFF),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)
_BLANK, _LETTER, _UNIT, _MARK, _NOTHING = range(5)
"""Kinds of characters: between words, of a word, a unit of a run without blanks, one that belongs to the
character before it, and one that is not there."""


def words_of_query(text: str) -> list[str]:
    """Return the distinct words to look for, in the text's order, at most MAX_QUERY_WORDS.

    >>> words_of_query('A cat -- "a CAT"; DROP TABLE long_hair')
    ['a', 'cat', 'drop', 'table', 'long', 'hair']
    >>> words_of_query("(Weiß:1.2) 東京都 猫")
    ['weiss', '東京', '京都', '猫']
    """
    return list(dict.fromkeys(itertools.islice(_sought(text), 10 * MAX_QUERY_WORDS)))[
        :MAX_QUERY_WORDS
    ]


def is_emoji(text: str) -> bool:
    """Return whether a text is exactly one emoji, which is one word of a text.

    >>> is_emoji("😀"), is_emoji("👨‍👩‍👧"), is_emoji("😀😀"), is_emoji("a")
    (True, True, False, False)
    """
    return bool(_EMOJI.fullmatch(text))


def emojis_in(text: str) -> list[str]:
    """Return the emojis of a text in its order, whatever stands between them.

    >>> emojis_in("a😀👨‍👩‍👧, 😀")
    ['😀', '👨‍👩‍👧', '😀']
    """
    return _EMOJI.findall(text)


def cut_by_emojis(text: str) -> list[str]:
    """Return the emojis of a text, each by itself, and what stands between them, in their order.

    >>> cut_by_emojis("😀🐱, a ")
    ['😀', '🐱', 'a']
    """
    cut = (each.strip(" ,;\n\t") for each in _EMOJI.split(text))
    return [each for each in cut if each]


def word_weights(*texts: str | None) -> Mapping[str, int]:
    """Return the words by which an image with these texts is found, each with its weight.

    The weight is the term-frequency part of BM25 in WEIGHT_UNITs, 1 to 2,200: more for a word that is
    written often, and for one of a short text. Of scripts without blanks there are single letters and
    pairs of neighbours, of an emoji with a skin colour also the emoji without it.
    """
    counts: Counter[str] = Counter()
    length = 0
    for text in texts:
        for run in _runs(text or ""):
            counts.update(run)
            length += len(run)
            counts.update(_pairs(run))
            if len(run) == 1 and (toneless := _TONES.sub("", run[0])) not in ("", run[0]):
                counts[toneless] += 1
    norm = TF_SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length / USUAL_LENGTH)
    return {
        word: max(1, round(WEIGHT_UNIT * count * (TF_SATURATION + 1) / (count + norm)))
        for word, count in counts.most_common(MAX_TEXT_WORDS)
    }


@functools.lru_cache(maxsize=65_536)
def number_of(word: str) -> int:
    """Return the number that stands for a word in the database, in [0, 2**63).

    The first 63 bits of its BLAKE2b. A database compares and sorts numbers alike everywhere, whatever
    its collation, and cuts none. Among a million words two have the same number once in ten million
    installations.
    """
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest()) >> 1


def folded(text: str) -> str:
    """Return a text without case, accents and width: "Ｃoração" is "coracao", "Weiß" is "weiss".

    Letters of scripts other than Latin, Greek, Cyrillic, Hebrew and Arabic keep their marks, which are
    part of the letter there.
    """
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text).casefold()
    bare = unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFKD", parts)))
    return bare.translate(_STROKES)


def without_weights(text: str) -> str:
    """Return a prompt with blanks in place of the weights of its parts; the parts stay."""
    if ":" in text or ")" in text:
        text = _IN_TAG.sub(lambda tag: _TAG_WEIGHT.sub(" ", tag[0]), text)
        text = _WEIGHT.sub(" ", text)
    return text


def _sought(text: str) -> Iterator[str]:
    for run in _runs(text):
        # Whoever asks for a longer run has it, where all its pairs are there.
        yield from _pairs(run) if len(run) > 1 else run


def _pairs(run: tuple[str, ...]) -> Iterator[str]:
    return (left + right for left, right in itertools.pairwise(run))


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    """Yield each word, emoji, or run of letters without blanks, as the units it consists of."""
    if text.isascii():
        for word in _PLAIN_WORD.findall(without_weights(text).lower()):
            yield (word,)
        return
    for place, part in enumerate(_EMOJI.split(_NO_WORD.sub(" ", text))):
        if place % 2:
            yield (_AS_TEXT.sub("", part),)
        elif part:
            yield from _runs_of_letters(without_weights(folded(_PERSIAN_JOINT.sub(" ", part))))


def _runs_of_letters(text: str) -> Iterator[tuple[str, ...]]:
    run: list[str] = []
    is_word = False
    for character in text + " ":
        kind = _kind(character)
        if kind == _MARK and run:
            run[-1] += character
        elif kind in (_LETTER, _UNIT, _BLANK):
            if run and (kind == _BLANK or is_word != (kind == _LETTER)):
                yield tuple(run)
                run = []
            is_word = kind == _LETTER
            if is_word:
                run = ["".join(run) + _digit(character)]
            elif kind == _UNIT:
                run.append(character)


@functools.lru_cache(maxsize=16_384)
def _kind(character: str) -> int:
    category = unicodedata.category(character)
    if category == "Cf":
        # It is invisible; but for the one that stands between two words.
        return _BLANK if character == "\u200b" else _NOTHING
    if category[0] == "M":
        return _MARK
    if category[0] not in "LN" or character in "\u115f\u1160":
        return _BLANK
    if category != "Nd" and any(first <= ord(character) <= last for first, last in _WITHOUT_BLANKS):
        return _UNIT
    return _LETTER


def _digit(character: str) -> str:
    return str(unicodedata.decimal(character, character))
