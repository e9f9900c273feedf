"""Writes what `training.evaluate --json` measured into the model card."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

START, END = "## Measured quality\n", "\n## What it cannot do"
JUDGED = {
    "twemoji": "never trained on, but looked at while the recipe was sought",
    "openmoji": "the examination, neither trained on nor chosen by",
}
LANGUAGES = {"en": "English", "pt": "Portuguese", "es": "Spanish"}


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return f"{100 * share:.0f} %"


def figures(report: dict[str, Any], command: str) -> str:
    """Return the section's text."""
    lines = [START, f"By `{command}`.", ""]
    for style, measured in report.items():
        if style in ("photographs", "stamps"):
            continue
        meaning = measured["meaning"]
        lines += [
            f"**{style}**, {JUDGED.get(style, 'perhaps trained on')}: "
            f"{measured['drawings']} drawings, names of all {measured['concepts']:,} concepts as "
            "candidates.",
            "",
            "| | " + " | ".join(LANGUAGES.values()) + " |",
            "|---|" + "---|" * len(LANGUAGES),
        ]
        for figure in meaning["en"]:
            cells = " | ".join(percent(meaning[language][figure]) for language in LANGUAGES)
            lines.append(f"| {figure} | {cells} |")
        lines += [
            "",
            f"{percent(measured['unchanged'])} of the drawings have exactly the sticker model's vector.",
        ]
        lines += ["", "Altered sticker, original found first among all of them:", ""]
        lines += [f"- {k}: {percent(v)}" for k, v in measured["original found first"].items()]
        phrases = measured["phrases"]
        lines += ["", "Phrases with a fitting sticker among the first ten:", ""]
        lines += [f"- {phrase}: {'yes' if ok else 'no'}" for phrase, ok in phrases.items()]
        lines.append("")
    if "stamps" in report:
        lines += stamps(report["stamps"])
    if "photographs" in report:
        lines += [
            "### Altered photographs",
            "",
            "Original found first among 160 photographs. They are samples of "
            "ImageNet, which the trunk may have learned from: contaminated, so nothing is said of "
            "what they show.",
            "",
        ]
        lines += [f"- {k}: {percent(v)}" for k, v in report["photographs"].items()]
        lines.append("")
    return "\n".join(lines)


def stamps(measured: dict[str, Any]) -> list[str]:
    """Return the lines of the cut-out photographs: the sticker model alone, then both towers."""
    before, after = measured["sticker model alone"], measured["both towers"]
    lines = [
        "### Photographs",
        "",
        f"{measured['photographs']} cut-out photographs with captions, Tux Paint's stamps. They are "
        "not of ImageNet, and nothing was fitted on them or chosen by them. All their captions are "
        "candidates. The first figure is the sticker model's alone, the second both towers':",
        "",
        "| | " + " | ".join(LANGUAGES.values()) + " |",
        "|---|" + "---|" * len(LANGUAGES),
    ]
    for figure in after["en"]:
        cells = " | ".join(
            f"{percent(before[language][figure])}, {percent(after[language][figure])}"
            for language in LANGUAGES
        )
        lines.append(f"| {figure} | {cells} |")
    return [*lines, ""]


def main() -> None:
    """Replace the section of the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--card", type=Path, default=Path("models/stickers/README.md"))
    parser.add_argument("--command", default="make eval-encoder")
    arguments = parser.parse_args()
    card = arguments.card.read_text(encoding="utf-8")
    head, rest = card.split(START, 1)
    tail = rest.split(END, 1)[1]
    report = json.loads(arguments.report.read_text(encoding="utf-8"))
    arguments.card.write_text(head + figures(report, arguments.command) + END + tail)


if __name__ == "__main__":
    main()
