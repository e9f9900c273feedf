r"""The signs of a query: `cat -dog "red hat"` is a cat and a red hat, without a dog.

Words are separated by blanks. Words without a sign are one text, in their order. A phrase in quotes
stays together. A minus before a word or a phrase says that it is not wanted, a plus changes nothing.
Behind a backslash a quote, a minus, a plus and a backslash are themselves. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

from mirada.kernel.errors import InvalidInput

QUOTES = '"\u201c\u201d\u201e\u201f'
"""Straight ones, and those that phones and word processors make of them."""
MINUS, PLUS = "-\u2212\u2013", "+"
"""Hyphen, minus sign and en dash: phones make them of one another."""
ESCAPE = "\\"


@dataclass(frozen=True, slots=True)
class Signed:
    """A text of a query, and whether it is wanted."""

    text: str
    is_wanted: bool


def read_signs(query: str, *, is_alone: bool = True) -> list[Signed]:
    r"""Return the texts of a query: first the words that are wanted, as one, then all others in order.

    >>> [(each.text, each.is_wanted) for each in read_signs('small cat -dog "red hat" -"blue car"')]
    [('small cat', True), ('dog', False), ('red hat', True), ('blue car', False)]
    >>> [each.text for each in read_signs(r'say \"hi\" \-5')]
    ['say "hi" -5']

    Args:
        query: as it was typed.
        is_alone: nothing else says what is wanted, so the words have to.

    Raises:
        InvalidInput: quotes do not match, a sign stands alone, a phrase is empty, or nothing is wanted.
    """
    words: list[str] = []
    others: list[Signed] = []
    rest = query.strip()
    while rest:
        sign, rest = _sign(rest)
        is_phrase = rest[:1] in QUOTES and bool(rest)
        text, rest = _phrase(rest[1:]) if is_phrase else _word(rest)
        if not text.strip():
            _refuse("There is nothing between two quotes; write a phrase there, or leave them out.")
        if is_phrase or (sign in MINUS and sign):
            others.append(Signed(text, not sign or sign in PLUS))
        else:
            words.append(text)
        rest = rest.lstrip()
    found = [Signed(" ".join(words), is_wanted=True)] if words else []
    found += others
    if is_alone and not any(each.is_wanted for each in found):
        _refuse("The query only says what is not wanted; add a word without a minus.")
    return found


def _sign(rest: str) -> tuple[str, str]:
    """Return the sign at the beginning, empty for none, and what follows it."""
    if rest[0] not in MINUS + PLUS:
        return "", rest
    sign, rest = rest[0], rest[1:]
    if not rest or rest[0].isspace() or rest[0] in MINUS + PLUS:
        _refuse(
            f"A {'minus' if sign in MINUS else 'plus'} stands alone; put it directly before a word or a "
            f"phrase in quotes. To look for the sign itself, write \\{sign}."
        )
    return sign, rest


def _phrase(rest: str) -> tuple[str, str]:
    """Return the phrase up to its closing quote, and what follows; the opening one is gone."""
    text = ""
    while rest and rest[0] not in QUOTES:
        one, rest = _character(rest)
        text += one
    if not rest:
        _refuse('A quote is not closed; add the other one, or write \\" for the sign itself.')
    rest = rest[1:]
    if rest and not rest[0].isspace():
        _refuse("After a closing quote comes a blank; put one there.")
    return text, rest


def _word(rest: str) -> tuple[str, str]:
    """Return the word up to the next blank, and what follows."""
    text = ""
    while rest and not rest[0].isspace():
        if rest[0] in QUOTES:
            _refuse(
                'A quote begins inside a word; put a blank before it, or write \\" for the sign.'
            )
        one, rest = _character(rest)
        text += one
    return text, rest


def _character(rest: str) -> tuple[str, str]:
    if rest[0] == ESCAPE and len(rest) > 1 and rest[1] in QUOTES + MINUS + PLUS + ESCAPE:
        return rest[1], rest[2:]
    return rest[0], rest[1:]


def _refuse(message: str) -> None:
    raise InvalidInput(message, fields={"text": [message]})


def as_phrase(text: str, most: int) -> str:
    r"""Return words as a query that asks for them as one phrase, whatever signs are in them.

    Args:
        text: cut where it is too long; white space becomes single blanks.
        most: characters of the query, >= 4.

    >>> as_phrase('-no  "signs"', 100)
    '"-no \\"signs\\""'
    """
    # Each character may become two, and the quotes are two more.
    phrase = " ".join(text.split())[: most // 2 - 1]
    escaped = "".join(f"{ESCAPE}{one}" if one in QUOTES + ESCAPE else one for one in phrase)
    return f'"{escaped}"'
