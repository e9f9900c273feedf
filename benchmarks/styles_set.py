"""Makes people whose styles are known: 40 with 60 prompts each, in three languages, from a seed.

Two pools of words share nothing but their form: constants were chosen on pool `a`; pool `b`, with
other subjects, styles, paraphrases, phrases and groups, only judges them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POOLS = Path(__file__).resolve().parent / "style_pools"
LANGUAGES = ("en", "pt", "es")
PEOPLE, PROMPTS = 40, 60
WITHOUT_STYLE = (
    "plain",
    "plain",
    "plain",
    "one subject",
    "one subject",
    "one scene",
    "quality words",
    "dabbler",
    "few prompts again and again",
)
"""People in whose prompts no style recurs, and what recurs instead."""
STYLES_EACH = (1,) * 13 + (2,) * 12 + (3,) * 6
KINDS = (
    ("named", 16),
    ("hinted", 18),
    ("mixed", 6),
    ("phrase", 8),
    ("group", 4),
    ("look", 3),
)
"""How the 55 planted styles show. named: by the list's own name. hinted: paraphrased, never named.
mixed: both. phrase: in no list, the same words again and again. group: in no list, other words every
time. look: in the pictures' vectors alone."""
LINKERS = {
    "en": ("", "with", "in the style of", "as", "done as"),
    "pt": ("", "com", "no estilo de", "como", "feito como"),
    "es": ("", "con", "al estilo de", "como", "hecho como"),
}
AND = {"en": " and ", "pt": " e ", "es": " y "}


@dataclass
class Planted:
    """A style somebody has.

    Attributes:
        kind: as in KINDS.
        label: the list's name of it, or a name for people where no list has it.
        words: what the style is called or shown by, by language.
        members: positions of the prompts that show it.
    """

    kind: str
    label: str
    words: dict[str, list[str]]
    members: set[int] = field(default_factory=set)


@dataclass
class Person:
    """Somebody and their prompts, oldest first."""

    habit: str
    prompts: list[str]
    planted: list[Planted]


def pool(name: str) -> dict[str, Any]:
    """Return the words of pool `a` or `b`."""
    text = (POOLS / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def made_people(pool_name: str, seed: int) -> list[Person]:
    """Return 40 people, always the same for a pool and a seed."""
    rng = random.Random(f"{pool_name}:{seed}")
    words = pool(pool_name)
    plans = _plans(rng, words)
    people = [_Writer(rng, words, habit, ()).person() for habit in WITHOUT_STYLE]
    people += [_Writer(rng, words, "styles", plan).person() for plan in plans]
    rng.shuffle(people)
    return people


def _plans(rng: random.Random, words: dict[str, Any]) -> list[list[Planted]]:
    """Return who has which styles: nobody twice the same, and one without a name at most."""
    kinds = [kind for kind, count in KINDS for _ in range(count)]
    unnamed = [kind for kind in kinds if kind in ("phrase", "group", "look")]
    listed = [kind for kind in kinds if kind not in unnamed]
    rng.shuffle(unnamed)
    rng.shuffle(listed)
    sizes = list(STYLES_EACH)
    rng.shuffle(sizes)
    chosen: list[list[str]] = [[] for _ in sizes]
    for place in rng.sample(range(len(sizes)), len(unnamed)):
        chosen[place].append(unnamed.pop())
    for place, size in enumerate(sizes):
        while len(chosen[place]) < size:
            chosen[place].append(listed.pop())
    phrases, groups = _endless(rng, words["phrases"]), _endless(rng, words["groups"])
    plans = []
    for kinds_of_one in chosen:
        names = rng.sample(sorted(words["styles"]), len(kinds_of_one))
        plan = []
        for kind, name in zip(kinds_of_one, names, strict=True):
            if kind == "phrase":
                phrase = next(phrases)
                plan.append(Planted(kind, phrase["en"][0], phrase))
            elif kind == "group":
                group = next(groups)
                plan.append(Planted(kind, group["name"], {lang: group[lang] for lang in LANGUAGES}))
            elif kind == "look":
                plan.append(Planted(kind, "a look", {}))
            else:
                plan.append(Planted(kind, name, _ways_to_say(words["styles"][name], kind)))
        plans.append(plan)
    return plans


def _ways_to_say(style: dict[str, dict[str, list[str]]], kind: str) -> dict[str, list[str]]:
    named, hinted = style["named"], style["hinted"]
    if kind == "named":
        return named
    if kind == "hinted":
        return hinted
    return {language: named[language] + hinted[language] for language in LANGUAGES}


def _endless(rng: random.Random, things: Sequence[Any]) -> Any:
    while True:
        yield from rng.sample(list(things), len(things))


class _Writer:
    """Writes one person's prompts."""

    def __init__(
        self, rng: random.Random, words: dict[str, Any], habit: str, plan: Sequence[Planted]
    ) -> None:
        self._rng, self._words, self._habit = rng, words, habit
        self._planted = list(plan)
        first = rng.choice(LANGUAGES)
        self._languages = [first]
        if rng.random() < 0.3:
            # Two in three of their prompts stay in the first language.
            self._languages = [first, first, rng.choice([x for x in LANGUAGES if x != first])]
        self._form = rng.choices(("commas", "style first", "sentence"), (55, 15, 30))[0]
        # A phrase of one's own is one phrase: said in one language, or in both.
        self._favourites = {
            language: rng.sample(words["subjects"][language], 3) for language in LANGUAGES
        }
        self._scenes = {language: rng.choice(words["scenes"][language]) for language in LANGUAGES}
        self._bases = [self._base(rng.choice(self._languages)) for _ in range(6)]

    def person(self) -> Person:
        rng = self._rng
        shares = [
            rng.uniform(0.2, 0.4) if len(self._planted) == 1 else rng.uniform(0.18, 0.3)
            for _ in self._planted
        ]
        styles: list[Planted | None] = []
        for planted, share in zip(self._planted, shares, strict=True):
            styles += [planted] * round(share * PROMPTS)
        styles += [None] * (PROMPTS - len(styles))
        rng.shuffle(styles)
        prompts: list[str] = []
        shown: list[Planted | None] = []
        for position, planted in enumerate(styles):
            if position and rng.random() < 0.08:
                # The same prompt sent again, as people do.
                again = rng.randrange(position)
                prompts.append(prompts[again])
                shown.append(shown[again])
            else:
                prompts.append(self._prompt(planted))
                shown.append(planted)
            if shown[-1] is not None:
                shown[-1].members.add(position)
        return Person(self._habit, prompts, self._planted)

    def _prompt(self, planted: Planted | None) -> str:
        rng = self._rng
        language = rng.choice(self._languages)
        style = None
        if planted is not None and planted.kind != "look":
            style = rng.choice(planted.words[language])
        elif self._dabbles():
            others = set(self._words["styles"]) - {one.label for one in self._planted}
            ways = self._words["styles"][rng.choice(sorted(others))]
            style = rng.choice(ways[rng.choice(("named", "hinted"))][language])
        base = self._base(language)
        if self._habit == "few prompts again and again":
            base = rng.choice(self._bases)
        noise = rng.sample(self._words["noise"][language], rng.choice((0, 0, 1, 1, 2, 3)))
        if self._habit == "quality words":
            noise = list(dict.fromkeys(self._words["noise"][language][:3] + noise))
        if self._form == "sentence":
            return self._dressed(self._sentence(base, style, noise, language))
        parts = [base]
        if style is not None:
            parts = [style, base] if self._form == "style first" else [base, style]
        if len(noise) > 1 and self._form == "commas" and rng.random() < 0.4:
            parts.insert(1, noise.pop())
        return self._dressed(", ".join(parts + noise))

    def _dabbles(self) -> bool:
        return self._rng.random() < (0.5 if self._habit == "dabbler" else 0.12)

    def _base(self, language: str) -> str:
        subject = self._rng.choice(self._words["subjects"][language])
        scene = self._rng.choice(self._words["scenes"][language])
        if self._habit == "one subject" and self._rng.random() < 0.8:
            subject = self._rng.choice(self._favourites[language])
        if self._habit == "one scene" and self._rng.random() < 0.6:
            scene = self._scenes[language]
        return subject if self._rng.random() < 0.15 else f"{subject} {scene}"

    def _sentence(self, base: str, style: str | None, noise: list[str], language: str) -> str:
        text = base
        if style is not None:
            said = style.replace(", ", AND[language])
            text = " ".join(f"{text} {self._rng.choice(LINKERS[language])} {said}".split())
        return text + (f" {noise[0]}" if noise and self._rng.random() < 0.5 else "")

    def _dressed(self, text: str) -> str:
        rng = self._rng
        if rng.random() < 0.3:
            text = text[:1].upper() + text[1:]
        if rng.random() < 0.1:
            text += "."
        if rng.random() < 0.05:
            text = text.replace(", ", " ,  ")
        return text
