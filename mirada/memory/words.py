"""Prompts as words: segments, stems and the little grammar of three languages. No statistics."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mirada.kernel.keywords import folded as fold
from mirada.kernel.keywords import without_weights

Stems = tuple[str, ...]
"""Stems in their order, without stop words: what a phrase is known by."""

STEM_LETTERS = 6
"""Letters that words must share to be one. Cutting words off is as good as a stemmer in European
languages (McNamee and Mayfield, "Character n-gram tokenization for European language text
retrieval", Information Retrieval 7, 2004), and one rule serves all three."""
PLURAL_LETTERS = 4
"""Letters that have to be left without the ending."""
LONG_WORD, LONG_STEM_LETTERS = 12, 9
"""Of longer words more: "impressionismo" has nothing to do with "impresso"."""
LONGEST_PHRASE = 6
"""Words of a phrase, stop words not counted."""
MAX_WORDS = 200
"""Words of a prompt that are read. Text towers read 64 to 256 tokens."""

_SPLIT = re.compile(r"[,;|\n\r()\[\]{}\"“”«»¡!¿?•·]+|\.(?=\s|$)|:(?!\w)|(?:^|\s)[-–—]+(?=\s)")
_NOISE = re.compile(r"<[^<>]*>|(?:^|\s)--\w+(?:\s+[\d.:]+)?|:\s*\d+(?:\.\d+)?(?=\s*[)\],]|$)")
"""Network tags, command-line flags and weights before a comma, which prompts of several generators
carry."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

_LANGUAGE = {
    # Nothing that a style could be called by: articles, prepositions, pronouns, auxiliaries.
    "stop": (
        "a an the of in on at to and or with without for by from as like into onto over under near "
        "beside behind between among during through its it is are be being been was were this that "
        "these those there their his her my your our who which where when while very so not no "
        "all every each some any than then also "
        "o os um uma uns umas de do da dos das em no na nos nas num numa nuns numas ao aos pelo "
        "pela para com sem e ou como que se meu minha seu sua sobre sob entre perto junto dentro "
        "muito mais ser foi por isto isso "
        "el la los las un una unos unas del al en y con sin lo su sus mi es son fue bajo cerca muy "
        "desde hasta si ni"
    ),
    # What stands before the thing that a prompt is about.
    "determiner": (
        "a an the my your his her our their some two three four five six several many "
        "um uma uns umas o a os as meu minha meus minhas seu sua dois duas tres quatro cinco "
        "varios varias "
        "un una unos unas el la los las mi mis su sus dos tres cuatro cinco"
    ),
    # Places and times begin with these; a style seldom does outside a segment of its own.
    "place": (
        "in on at under near beside behind between among during through inside by over above below "
        "em no na nos nas num numa sob entre perto junto dentro durante atras debaixo sobre ao "
        "en bajo cerca junto dentro durante detras debaixo sobre al entre"
    ),
    # A style may begin after these although no comma says so.
    "linker": (
        "with as like style styled look done made drawn painted rendered printed carved "
        "com como estilo feito feita desenhado pintado visual "
        "con estilo hecho hecha dibujado pintado aspecto"
    ),
    # How good a picture is to be, and how it is framed, says nothing about its style.
    "quality": (
        "detailed detail details highly ultra super extremely insanely intricate hyper masterpiece "
        "best better good great high quality highest resolution res hires hd uhd hdr 2k 4k 8k 16k "
        "award winning awarded sharp focus focused crisp trending artstation deviantart popular "
        "beautiful gorgeous stunning amazing perfect professional photo picture image centered "
        "symmetrical composition looking viewer camera full half body close up wide angle low "
        "behind from smiling bright vivid "
        "detalhado detalhada detalhe detalhes muito altamente obra prima melhor alta altissima "
        "qualidade resolucao nitido nitida foco premiado premiada bonito bonita lindo linda "
        "perfeito perfeita profissional centralizado simetrico intrincado corpo inteiro meio "
        "olhando perto imagem foto popular sorrindo costas angulo baixo grande "
        "detallado detallada detalle detalles muy altamente obra maestra mejor alta altisima "
        "calidad resolucion nitido nitida enfoque premiado premiada hermoso hermosa precioso "
        "preciosa perfecto perfecta profesional centrado simetrico intrincado cuerpo entero medio "
        "mirando cerca imagen foto popular sonriendo espaldas angulo bajo gran primer plano"
    ),
}


def stem(folded: str) -> str:
    """Return the first letters of a folded word without the ending of a plural."""
    for ending in ("es", "s"):
        if folded.endswith(ending) and len(folded) - len(ending) >= PLURAL_LETTERS:
            folded = folded[: -len(ending)]
            break
    return folded[: STEM_LETTERS if len(folded) < LONG_WORD else LONG_STEM_LETTERS]


_TELLING = {
    # Function words that the other two languages do not have.
    "en": "the of in on at an and with by from under my his her their during through is",
    "pt": "um uma uns umas do da dos das em no na nos nas num numa ao aos com e seu sua minha sem",
    "es": "el los las un una unos unas del al en y con su mi sin lo",
}
LANGUAGES = tuple(_TELLING)
_TELLING_WORDS = {
    language: frozenset(words.split())
    - frozenset(
        word for other, others in _TELLING.items() if other != language for word in others.split()
    )
    for language, words in _TELLING.items()
}

_WORDS = {kind: frozenset(words.split()) for kind, words in _LANGUAGE.items()}
_PLACE_STEMS = frozenset(stem(word) for word in _WORDS["place"])
_QUALITY_STEMS = frozenset(stem(word) for word in _WORDS["quality"])


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a prompt: as it was written, folded, and its stem; stop words have none."""

    surface: str
    folded: str
    stem: str | None


Segment = tuple[Word, ...]
"""What stands between two commas."""


@dataclass(frozen=True, slots=True)
class Found:
    """A phrase in a prompt.

    Attributes:
        key: its stems.
        segment: number of the segment it is in.
        start: its first word there.
        end: the word after its last.
    """

    key: Stems
    segment: int
    start: int
    end: int


@functools.lru_cache(maxsize=65_536)
def _word(surface: str) -> Word:
    folded = fold(surface).replace("’", "'")
    is_stop = folded in _WORDS["stop"] or folded in _WORDS["linker"]
    return Word(surface, folded, None if is_stop else stem(max(folded.split("'"), key=len)))


def read(prompt: str) -> tuple[Segment, ...]:
    """Return the segments of a prompt that have a word; what is no language is left out."""
    segments = []
    left = MAX_WORDS
    for part in _SPLIT.split(_NOISE.sub(" ", without_weights(prompt))):
        segment = tuple(_word(surface) for surface in _WORD.findall(part)[:left])
        left -= len(segment)
        if any(word.stem for word in segment):
            segments.append(segment)
    return tuple(segments)


def stems_of(segments: tuple[Segment, ...]) -> frozenset[str]:
    """Return every stem of a prompt."""
    return frozenset(word.stem for segment in segments for word in segment if word.stem)


def phrases_of(segments: tuple[Segment, ...]) -> Iterator[Found]:
    """Yield the phrases of a prompt: runs of up to LONGEST_PHRASE words that begin and end with one."""
    for number, segment in enumerate(segments):
        places = [place for place, word in enumerate(segment) if word.stem]
        stems = [segment[place].stem or "" for place in places]
        for first, start in enumerate(places):
            for last in range(first, min(first + LONGEST_PHRASE, len(places))):
                yield Found(tuple(stems[first : last + 1]), number, start, places[last] + 1)


def is_quality(key: Stems) -> bool:
    """Return whether a phrase only says how good or how framed a picture is to be."""
    return all(part in _QUALITY_STEMS or part.isdigit() for part in key)


def is_place(key: Stems) -> bool:
    """Return whether a phrase begins as places do."""
    return key[0] in _PLACE_STEMS


def is_aside(segments: tuple[Segment, ...], found: Found) -> bool:
    """Return whether a phrase stands where prompts say how, not what or where.

    What is shown comes first, behind a determiner; where and when come behind a preposition of
    place. How comes in a segment of its own, behind a word such as "style" or "with", or right
    behind another noun at the end of a sentence.
    """
    segment = segments[found.segment]
    before = [word.folded for word in segment[: found.start]]
    if found.segment > 0 and not _is_subject(segment):
        return True
    if found.segment == 0 and not before:
        # A prompt may begin with its style; then the subject follows in a segment of its own.
        return found.end == len(segment) and len(segments) > 1 and _is_subject(segments[1])
    if any(word in _WORDS["linker"] for word in before[-4:]):
        return True
    return len(found.key) > 1 and bool(before) and before[-1] not in _WORDS["stop"]


def language_of(segments: tuple[Segment, ...]) -> str | None:
    """Return which of LANGUAGES a prompt is in by its function words; None where they do not tell."""
    counts = {
        language: sum(word.folded in words for segment in segments for word in segment)
        for language, words in _TELLING_WORDS.items()
    }
    best = max(LANGUAGES, key=lambda language: counts[language])
    return best if counts[best] and list(counts.values()).count(counts[best]) == 1 else None


def subject_at(segments: tuple[Segment, ...]) -> Found | None:
    """Return what a prompt is about: the first noun phrase's words up to the next function word."""
    for number, segment in enumerate(segments[:2]):
        if _is_subject(segment):
            return _first_words(segment, number)
    return _first_words(segments[0], 0) if segments else None


def _first_words(segment: Segment, number: int) -> Found | None:
    """Return the run of two words at most that a noun phrase opens with, its determiner left out."""
    places: list[int] = []
    for place, word in enumerate(segment):
        if word.stem and (not places or place == places[-1] + 1) and len(places) < 2:
            places.append(place)
        elif places:
            break
    if not places:
        return None
    key = tuple(segment[place].stem or "" for place in places)
    return Found(key, number, places[0], places[-1] + 1)


def subject_of(segments: tuple[Segment, ...]) -> Stems:
    """Return the stems of what a prompt is about: the first two words of its first noun phrase."""
    for segment in segments[:2]:
        if _is_subject(segment):
            return tuple(word.stem for word in segment if word.stem)[:2]
    return tuple(word.stem for word in segments[0] if word.stem)[:2] if segments else ()


def _is_subject(segment: Segment) -> bool:
    return segment[0].folded in _WORDS["determiner"]


def folded_of(segments: tuple[Segment, ...], found: Found) -> tuple[str, ...]:
    """Return the words of a phrase, folded and whole, stop words left out."""
    words = segments[found.segment][found.start : found.end]
    return tuple(word.folded for word in words if word.stem)


def written(segments: tuple[Segment, ...], found: Found) -> str:
    """Return a phrase as it was written."""
    return " ".join(word.surface for word in segments[found.segment][found.start : found.end])
