"""Texts of a language model, made plain where that loses nothing; what cannot be made plain is left.

A reply is paid for, so an asterisk, an emoji or a code fence is no reason to throw it away. Nothing
here judges: the callers check what comes out, and refuse what is left of markup or of addresses.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Collection
from typing import Any

from mirada.kernel.captions import CaptionLanguage

LANGUAGE_NAMES = {
    CaptionLanguage.EN: "English",
    CaptionLanguage.PT: "Portuguese",
    CaptionLanguage.ES: "Spanish",
}
_SAID = {
    CaptionLanguage.EN: "en eng english inglés inglês inglesa",
    CaptionLanguage.PT: "pt por portuguese português portugues portugués",
    CaptionLanguage.ES: "es spa spanish español espanol espanhol castellano castilian",
}
_LANGUAGE_OF = {name: language for language, names in _SAID.items() for name in names.split()}
_THOUGHT = re.compile(r"\A\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
"""Local reasoning models write their thoughts before the answer."""
_FENCE = re.compile(r"\A```[\w-]*\s*\n(.*?)\n?\s*```\Z", re.DOTALL)
_FORMATTING = re.compile(r"</?(?:b|i|u|em|strong|small|mark|p|span)>|<br ?/?>", re.IGNORECASE)
"""Tags without attributes that only say how a text looks. All others are left, to be refused."""
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]+|[-*+•][ \t]+)", re.MULTILINE)
_HASHTAG = re.compile(r"(?<!\w)#(?=\w)")
_RULES = re.compile(r"[*`~]+|(?<!\w)_+|_+(?!\w)")
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
"""Soft hyphen, zero-width blank, word joiner, byte order mark: they neither join emoji nor turn text."""
_TAG_SIGNS = "\U000e0020-\U000e007f"
_AFTER_EMOJI = re.compile(f"[\u200d{_TAG_SIGNS}]")
_CLOTHES = frozenset("\ufe0e\ufe0f\u20e3")
"""They dress the sign before them: as emoji, as text, as a key."""
CODE_SIGNS = frozenset("<>{}\\@")
_STRAY = frozenset({"Sm", "Sc", "Pc", "Pd", "Po", "Ps", "Pe", "Pi", "Pf"})
_BLANK_BEFORE = re.compile(r" (?=[,.;:!?](?:\s|$))")
_QUOTES = {'"': '"', "“": "”", "«": "»", "‘": "’", "'": "'", "„": "“"}


def json_in(reply: str) -> Any:
    """Return the JSON in a reply: all of it, or what a code fence, thoughts or plain words surround.

    Raises:
        ValueError: there is none.
    """
    text = _THOUGHT.sub("", reply.lstrip("\ufeff")).strip()
    fenced = _FENCE.match(text)
    if fenced:
        text = fenced.group(1).strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        first, last = text.find("{"), text.rfind("}")
        inside = text[first : last + 1]
        if first < 0 or inside == text:
            raise ValueError("The reply holds no JSON.") from error
    try:
        return json.loads(inside)
    except (ValueError, RecursionError) as error:
        raise ValueError("The reply holds no JSON.") from error


def without_markup(text: str) -> str:
    """Return a text on one line, without Markdown, plain tags, hashtags, and quotes around all of it.

    What stands for more than looks is left: addresses, tags with attributes, braces.

    >>> without_markup('**A _cat_** on a `roof`, #sunset')
    'A cat on a roof, sunset'
    """
    text = unicodedata.normalize("NFC", html.unescape(text)).translate(_UNSEEN)
    text = _FORMATTING.sub(" ", _LINE_MARK.sub("", text))
    text = _RULES.sub("", _HASHTAG.sub("", text)).replace("_", " ")
    return _unquoted(_one_line(text))


def without_emoji(text: str) -> str:
    """Return a text without emoji and other pictorial signs, on one line."""
    kept: list[str] = []
    for sign in text:
        category = unicodedata.category(sign)
        is_pictorial = category == "So" or (category == "Sk" and not sign.isascii())
        goes_with_one = _AFTER_EMOJI.match(sign) and kept and kept[-1] == ""
        if is_pictorial or goes_with_one:
            # "" marks where one stood, so that what belongs to it goes with it.
            kept.append("")
        elif sign not in _CLOTHES:
            kept.append(sign)
    return _BLANK_BEFORE.sub("", _one_line("".join(part or " " for part in kept)))


def without_strays(text: str, allowed: Collection[str]) -> str:
    """Return a text on one line, blanks in place of signs that belong to no word.

    What tells of code or of an address is left: angle brackets, braces, backslashes and "@".

    Args:
        text: on one line.
        allowed: signs that are kept beside letters, marks, numbers and emoji.
    """
    kept = "".join(" " if _is_stray(sign, allowed) else sign for sign in text)
    return _BLANK_BEFORE.sub("", _one_line(kept))


def _is_stray(sign: str, allowed: Collection[str]) -> bool:
    if sign in allowed or sign in CODE_SIGNS:
        return False
    category = unicodedata.category(sign)
    return category in _STRAY or (category == "Sk" and sign.isascii())


def language_named(said: str) -> CaptionLanguage | None:
    """Return the language that a code, region or name stands for; None for one that is not known.

    >>> language_named("en-US"), language_named("Brazilian Portuguese"), language_named("fr")
    (<CaptionLanguage.EN: 'en'>, <CaptionLanguage.PT: 'pt'>, None)
    """
    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", said).casefold())
    found = [_LANGUAGE_OF[word] for word in words if word in _LANGUAGE_OF]
    if not found:
        return None
    # Of "pt-ES" the first is the language, and of "Brazilian Portuguese" the only one that is known.
    return found[0]


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _unquoted(text: str) -> str:
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text
