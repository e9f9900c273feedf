"""Measures the classifier on the demo's stickers and writes the figures into docs/evaluation.md.

`make eval` takes the bundled encoder; `--model` and `--pretrained` another one, whose figures are
printed and not written.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks.classifier_measures import (
    BINS,
    HONEST_PEOPLE,
    HONEST_VERDICTS,
    calibration_error,
    crowded,
    known_by_name,
    labels_learned,
    learning,
    none_told,
    under_attack,
)
from benchmarks.demo_set import ROOT, Demo, encoder_of
from mirada.kernel.embeddings import Matrix
from mirada.kernel.labels import DEFAULT_LABELS, Label
from mirada.kernel.nsfw import SAFE_PROMPTS, UNSAFE_PROMPTS, nsfw_score
from mirada.kernel.zero_shot import MARGIN_FLOOR, is_ambiguous

PAGE = ROOT / "docs" / "evaluation.md"
BEGIN, END = "<!-- figures: written by make eval -->", "<!-- end of the figures -->"
VERDICTS = (0, 1, 2, 4, 8)
WRONG_VERDICTS = (8, 32, 100)
SET_SIZES = (1, 5, 31)
CROWDS = (1, 10, 100)
ENTROPY_THRESHOLD = 2.5
"""The default of the setting of that name, in bits."""


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; numbers between 0 and 1 with three decimals."""
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(f"{x:.3f}" if isinstance(x, float) else str(x) for x in line) + " |"
        for line in lines
    )


def zero_shot_row(
    name: str, demo: Demo, rows: np.ndarray, truth: np.ndarray, labels: Matrix
) -> list:
    """Return a row of the accuracy table: one label set, one way of making prompts."""
    results = demo.classified(rows, labels)
    shares = np.stack([result.probabilities for result in results])
    rank = (shares > shares[np.arange(len(rows)), truth][:, None]).sum(axis=1)
    entropy = float(np.mean([result.entropy_bits for result in results]))
    return [
        name,
        len(labels),
        len(rows),
        float((rank < 1).mean()),
        float((rank < 5).mean()),
        calibration_error(shares, truth),
        f"{entropy:.2f}",
    ]


def doubt_rows(demo: Demo, rows: np.ndarray, truth: np.ndarray, labels: Matrix) -> list[list]:
    """Return how often the first label is right, by what the reply says of its own doubt."""
    results = demo.classified(rows, labels)
    right = np.array([r.probabilities.argmax() for r in results]) == truth
    margin = np.array([r.margin for r in results])
    doubtful = np.array(
        [is_ambiguous(r.entropy_bits, r.margin, ENTROPY_THRESHOLD) for r in results]
    )
    parts = {
        "not ambiguous": ~doubtful,
        "ambiguous": doubtful,
        f"margin under {MARGIN_FLOOR}": margin < MARGIN_FLOOR,
        f"margin of {MARGIN_FLOOR} or more": margin >= MARGIN_FLOOR,
    }
    return [
        [name, int(part.sum()), float(right[part].mean()) if part.any() else "-"]
        for name, part in parts.items()
    ]


def figures(demo: Demo, space: str) -> str:
    """Measure everything and return it as Markdown."""
    known = np.flatnonzero(demo.label_of >= 0)
    truth = demo.label_of[known]
    plain = demo.ensembles(DEFAULT_LABELS, described=False)
    described = demo.ensembles(DEFAULT_LABELS, described=True)
    bare = demo.ensembles(DEFAULT_LABELS, templates=["{}"], described=False)
    names = [Label(name) for name in demo.names]
    every = np.arange(len(names))
    accuracy = [
        zero_shot_row("built-in labels, bare name", demo, known, truth, bare),
        zero_shot_row("built-in labels, templates", demo, known, truth, plain),
        zero_shot_row("built-in labels, templates and descriptions", demo, known, truth, described),
        zero_shot_row(
            "each sticker's own name, bare",
            demo,
            every,
            every,
            demo.ensembles(names, templates=["{}"], described=False),
        ),
        zero_shot_row(
            "each sticker's own name, templates",
            demo,
            every,
            every,
            demo.ensembles(names, described=False),
        ),
    ]
    learned = {n: learning(demo, n) for n in VERDICTS}
    told = [none_told(demo, described, size) for size in SET_SIZES]
    crowds = [crowded(demo, described, people) for people in CROWDS]
    named = known_by_name(demo)
    attacked = {n: under_attack(demo, n) for n in WRONG_VERDICTS}
    unsafe = demo.encode(UNSAFE_PROMPTS)
    safe = demo.encode(SAFE_PROMPTS)
    nsfw = np.array([nsfw_score(unsafe @ row, safe @ row, demo.scale) for row in demo.pictures])

    def mean(found: dict[str, tuple[float, float]], place: int) -> float:
        return float(np.mean([pair[place] for pair in found.values()]))

    sections = [
        f"Encoder: `{space}`, logit scale {demo.scale:.1f}.",
        "### What is it: the encoder alone",
        table(
            [
                "prompts",
                "labels",
                "stickers",
                "top-1",
                "top-5",
                f"ECE, {BINS} bins",
                "entropy, bits",
            ],
            accuracy,
        ),
        "### How sure (built-in labels, templates)",
        table(
            ["the reply says", "stickers", "first label is right"],
            doubt_rows(demo, known, truth, plain),
        ),
        table(
            ["labels in the set; share called none of these", *SET_SIZES],
            [
                ["the right label is in it", *(rates[0] for rates in told)],
                ["it is not", *(rates[1] for rates in told)],
            ],
        ),
        f"### Learning a made-up theme ({len(demo.themes)} themes)",
        table(
            ["verdicts per theme", *VERDICTS],
            [
                ["AUC over unseen stickers, mean", *(mean(learned[n], 0) for n in VERDICTS)],
                [
                    "share that belongs among the best r, mean",
                    *(mean(learned[n], 1) for n in VERDICTS),
                ],
            ],
        ),
        table(
            [
                "theme",
                "it holds",
                "stickers",
                "AUC by its name",
                *(f"after {n}" for n in VERDICTS),
            ],
            [
                [
                    theme,
                    demo.holds[theme],
                    int(belongs.sum()),
                    named[theme],
                    *(learned[n][theme][0] for n in VERDICTS),
                ]
                for theme, belongs in demo.themes.items()
            ],
        ),
        "### Learning the built-in labels",
        table(
            ["verdicts per label, up to", *VERDICTS],
            [
                ["top-1, templates", *(labels_learned(demo, plain, n) for n in VERDICTS)],
                [
                    "top-1, templates and descriptions",
                    *(labels_learned(demo, described, n) for n in VERDICTS),
                ],
            ],
        ),
        f"### One adversary against {HONEST_PEOPLE} people with {HONEST_VERDICTS} verdicts in all",
        table(
            ["wrong verdicts", *WRONG_VERDICTS],
            [
                ["AUC before, mean of themes", *(mean(attacked[n], 0) for n in WRONG_VERDICTS)],
                ["AUC after", *(mean(attacked[n], 1) for n in WRONG_VERDICTS)],
            ],
        ),
        "### A crowd that only accepts, for one label",
        table(
            ["people", *CROWDS],
            [
                ["other stickers called so before", *(rates[0] for rates in crowds)],
                ["after", *(rates[1] for rates in crowds)],
            ],
        ),
        "### NSFW scores of the demo, which is harmless",
        table(
            ["median", "99th percentile", "largest", "called NSFW at 0.5"],
            [
                [
                    float(np.median(nsfw)),
                    float(np.percentile(nsfw, 99)),
                    float(nsfw.max()),
                    int((nsfw >= 0.5).sum()),
                ]
            ],
        ),
    ]
    return "\n\n".join(sections)


def write(report: str) -> None:
    """Put the figures between their marks in docs/evaluation.md."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{report}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print, and write the page where the encoder is the bundled one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--pretrained")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    encoder = encoder_of(arguments.model, arguments.pretrained, arguments.device)
    report = figures(Demo.load(encoder), encoder.space.name)
    print(report)
    if arguments.model == parser.get_default("model"):
        write(report)


if __name__ == "__main__":
    main()
