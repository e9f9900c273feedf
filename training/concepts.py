"""The table of emoji concepts: one row per meaning, with names and keywords in three languages.

Sources: `emojibase-data` (MIT) for the list, names and keywords; `cldr-annotations-full`
(Unicode-3.0) for more keywords from regional variants of the same languages.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "pt", "es")
CLDR_VARIANTS = {
    "en": ("en", "en-AU", "en-CA", "en-GB"),
    "pt": ("pt", "pt-PT"),
    "es": ("es", "es-419", "es-MX", "es-US"),
}
SHORTCODE_SETS = ("cldr", "emojibase", "emojibase-legacy", "github", "iamcal", "joypixels")
LEFT_OUT_GROUPS = frozenset({2, 9})
"""emojibase groups: 2 holds skin tones and hair parts, 9 flags. Neither is a sticker's meaning."""
GROUP_NAMES = {
    0: "faces",
    1: "people",
    3: "animals",
    4: "food",
    5: "travel",
    6: "activities",
    7: "objects",
    8: "symbols",
}


def slug(text: str) -> str:
    """Return lower-case ASCII words joined by hyphens, the way icon sets name their files."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    plain = plain.replace("&", " and ").replace("'", "").replace("`", "")
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


@dataclass(frozen=True)
class Concept:
    """One emoji meaning.

    Attributes:
        hexcode: code points without the variation selector, upper case, joined by hyphens.
        emoji: the character itself.
        group: emojibase group number.
        names: language -> short name.
        keywords: language -> keywords, the name left out, in source order.
        slugs: names an icon set may give its drawing, most trustworthy first.
    """

    hexcode: str
    emoji: str
    group: int
    names: dict[str, str]
    keywords: dict[str, tuple[str, ...]]
    slugs: tuple[str, ...]

    @cached_property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """Return language -> every distinct short text that names this concept."""
        return {
            language: tuple(dict.fromkeys((self.names[language], *self.keywords[language])))
            for language in LANGUAGES
        }


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def load_concepts(packages: Path) -> list[Concept]:
    """Return the concepts in emojibase order.

    Args:
        packages: the `node_modules` folder that `training/fetch_artwork.sh` fills.
    """
    emojibase = packages / "emojibase-data"
    tables = {
        language: {row["hexcode"]: row for row in _read(emojibase / language / "data.json")}
        for language in LANGUAGES
    }
    shortcodes = [_read(emojibase / "en" / "shortcodes" / f"{n}.json") for n in SHORTCODE_SETS]
    annotations = {
        variant: _read(
            packages / "cldr-annotations-full" / "annotations" / variant / "annotations.json"
        )["annotations"]["annotations"]
        for variants in CLDR_VARIANTS.values()
        for variant in variants
    }
    concepts = []
    for row in sorted(tables["en"].values(), key=lambda r: int(r.get("order", 0))):
        if "group" not in row or row["group"] in LEFT_OUT_GROUPS:
            continue
        code = row["hexcode"]
        bare = row["emoji"].replace("\ufe0f", "")
        names = {lang: tables[lang][code]["label"].strip() for lang in LANGUAGES}
        keywords = {}
        for lang in LANGUAGES:
            words = list(tables[lang][code].get("tags", ()))
            for variant in CLDR_VARIANTS[lang]:
                entry = annotations[variant].get(bare, {})
                words += entry.get("tts", []) + entry.get("default", [])
            kept = dict.fromkeys(w.strip() for w in words if w.strip() != names[lang])
            keywords[lang] = tuple(kept)
        given: list[str] = [names["en"]]
        for table in shortcodes:
            found = table.get(code, [])
            given += [found] if isinstance(found, str) else found
        concepts.append(
            Concept(
                hexcode=code.replace("-FE0F", ""),
                emoji=row["emoji"],
                group=row["group"],
                names=names,
                keywords=keywords,
                slugs=tuple(dict.fromkeys(slug(text) for text in given)),
            )
        )
    return concepts
