"""The page of the search benchmark: tables and plots from the results that are kept as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mirada.config import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "benchmarks.md"
PLOTS = PROJECT_ROOT / "docs" / "benchmarks"
COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#7b4b94", "#b08900", "#3d405b", "#d1495b", "#2a9d8f")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 340, 62, 18, 210, 44

HEAD = Path(__file__).with_name("search_page.md")


def write_page(results: Path) -> None:
    """Write docs/benchmarks.md and its plots from every kept result, the smallest first."""
    PLOTS.mkdir(exist_ok=True)
    kept = sorted(
        (json.loads(path.read_text()) for path in results.glob("search-*.json")),
        key=lambda result: int(result["rows"]),
    )
    how = ", ".join(f"{r['rows']:,} vectors on {r['date']}" for r in kept)
    parts = [HEAD.read_text().format(how=how)]
    for result in kept:
        parts.append(_section(result))
    PAGE.write_text("\n".join(parts))


def _section(result: dict[str, Any]) -> str:
    rows = result["rows"]
    recall, filters = f"recall-{rows}.svg", f"filters-{rows}.svg"
    (PLOTS / recall).write_text(_recall_plot(result))
    (PLOTS / filters).write_text(_filter_plot(result))
    machine = f"{result['machine']}; load of the machine {' to '.join(map(str, result['load']))}"
    return "\n".join(
        [
            f"## {rows:,} vectors",
            "",
            f"{result['date']}, {machine}; {result['seconds']:.0f} s in all.",
            "",
            _engine_table(result),
            "",
            f"![Recall and speed of each engine at {rows:,} vectors](benchmarks/{recall})",
            "",
            "Filtered searches of picture-like queries, median in ms (recall@10):",
            "",
            _filter_table(result),
            "",
            f"![Median of filtered searches at {rows:,} vectors](benchmarks/{filters})",
            "",
            *_promised(result),
            *_told_of_ours(result),
        ]
    )


def _engine_table(result: dict[str, Any]) -> str:
    flat = result["all_rows"]["faiss flat"]["picture"]["p50_ms"]
    lines = [
        "| Engine | x flat | p50, p99 in ms | queries/s | recall: picture | blend | text | build s | "
        "bytes a vector |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for name, forms in result["all_rows"].items():
        picture, built = forms["picture"], result["engines"][name]
        recalls = " | ".join(
            f"{forms[form]['recall']:.3f}" for form in ("picture", "blend", "text")
        )
        lines.append(
            f"| {name} | {flat / picture['p50_ms']:.1f} | {picture['p50_ms']:.2f}, "
            f"{picture['p99_ms']:.2f} | {picture['per_s']:,.0f} | {recalls} | {built['build_s']:.1f} | "
            f"{built['bytes']:,} |"
        )
    return "\n".join(lines)


def _filter_table(result: dict[str, Any]) -> str:
    names = list(result["subsets"])
    lines = [f"| Permitted | {' | '.join(names)} |", "| --- |" + " --: |" * len(names)]
    for subset, rows in result["permitted"].items():
        cells = []
        for name in names:
            each = result["subsets"][name][subset]
            short = f", {each['short']} too short" if each["short"] else ""
            cells.append(f"{each['p50_ms']:.2f} ({each['recall']:.3f}{short})")
        lines.append(f"| {subset}, {rows:,} rows | {' | '.join(cells)} |")
    return "\n".join(lines)


def _promised(result: dict[str, Any]) -> list[str]:
    told = result.get("promises", [])
    if not told:
        return []
    lines = [f"| {'kept' if kept else '**not kept**'} | {said} |" for kept, said in told]
    return ["What our engine is held to:", "", "| | |", "| --- | --- |", *lines, ""]


def _told_of_ours(result: dict[str, Any]) -> list[str]:
    notes = result["engines"].get("ours", {}).get("notes", {})
    ways = notes.get("ways", [])
    return (
        ["Ways that the build of ours measured and uses: " + "; ".join(ways) + ".", ""]
        if ways
        else []
    )


def _recall_plot(result: dict[str, Any]) -> str:
    """Plot each engine's recall against its speed, a mark for each form."""
    flat = result["all_rows"]["faiss flat"]["picture"]["p50_ms"]
    speeds = [
        flat / each["p50_ms"] for forms in result["all_rows"].values() for each in forms.values()
    ]
    recalls = [each["recall"] for forms in result["all_rows"].values() for each in forms.values()]
    low, high = math.log10(min(*speeds, 1.0)) - 0.1, math.log10(max(speeds)) + 0.1
    bottom = min(0.9, math.floor(min(recalls) * 20) / 20)

    def at(speed: float, recall: float) -> tuple[float, float]:
        x = LEFT + (math.log10(speed) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
        y = TOP + (1 - recall) / (1 - bottom) * (HEIGHT - TOP - BOTTOM)
        return x, y

    marks = []
    for number, (name, forms) in enumerate(result["all_rows"].items()):
        colour = COLOURS[number % len(COLOURS)]
        for form, each in forms.items():
            marks.append(_mark(form, *at(flat / each["p50_ms"], each["recall"]), colour))
        marks.append(_legend(number, name, colour))
    shapes = {"picture": "circle", "blend": "square", "text": "triangle"}
    for number, form in enumerate(shapes, len(result["all_rows"]) + 1):
        y = TOP + 8 + 19 * number
        marks += [
            _mark(form, WIDTH - RIGHT + 20, y, "#555"),
            _text(WIDTH - RIGHT + 32, y + 4, form),
        ]
    ticks = [t for t in (0.1, 0.3, 1, 3, 10, 30, 100) if low <= math.log10(t) <= high]
    axes = [
        _line(at(tick, 1)[0], TOP, at(tick, 1)[0], HEIGHT - BOTTOM)
        + _text(at(tick, 1)[0], HEIGHT - BOTTOM + 16, f"{tick:g}", "middle")
        for tick in ticks
    ]
    steps = [bottom + (1 - bottom) * n / 4 for n in range(5)]
    axes += [_level(at(1, step)[1], f"{step:.3f}") for step in steps]
    return _svg(
        [*axes, _axis_name("times faiss flat's speed (picture-like queries, median)"), *marks]
    )


def _filter_plot(result: dict[str, Any]) -> str:
    """Plot each engine's median by the permitted share; random shares drawn through, clustered dashed."""
    subsets = list(result["permitted"])
    times = [each["p50_ms"] for found in result["subsets"].values() for each in found.values()]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    shares = [s.removesuffix(" random") for s in subsets if s.endswith(" random")]

    def at(number: int, ms: float) -> tuple[float, float]:
        x = LEFT + 20 + number / max(1, len(shares) - 1) * (WIDTH - LEFT - RIGHT - 40)
        y = TOP + (high - math.log10(ms)) / max(1, high - low) * (HEIGHT - TOP - BOTTOM)
        return x, y

    drawn = [_level(at(0, 10.0**power)[1], f"{10.0**power:g} ms") for power in range(low, high + 1)]
    drawn += [
        _text(at(n, 1)[0], HEIGHT - BOTTOM + 16, share, "middle") for n, share in enumerate(shares)
    ]
    for number, (name, found) in enumerate(result["subsets"].items()):
        colour = COLOURS[list(result["all_rows"]).index(name) % len(COLOURS)]
        for kind, dash in (("random", ""), ("clustered", ' stroke-dasharray="5 4"')):
            points = " ".join(
                f"{x:.1f},{y:.1f}"
                for x, y in (
                    at(n, found[f"{share} {kind}"]["p50_ms"]) for n, share in enumerate(shares)
                )
            )
            drawn.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
            )
        drawn.append(_legend(number, name, colour))
    drawn.append(
        _text(WIDTH - RIGHT + 14, TOP + 12 + 19 * len(result["subsets"]), "dashed: whole clusters")
    )
    return _svg([*drawn, _axis_name("permitted share of the rows")])


def _svg(parts: Sequence[str]) -> str:
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{inside}\n</svg>\n'
    )


def _mark(form: str, x: float, y: float, colour: str) -> str:
    match form:
        case "picture":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
        case "blend":
            return (
                f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" fill="{colour}"/>'
            )
        case _:
            points = f"{x:.1f},{y - 6:.1f} {x - 5.5:.1f},{y + 4:.1f} {x + 5.5:.1f},{y + 4:.1f}"
            return f'<polygon points="{points}" fill="{colour}"/>'


def _legend(number: int, name: str, colour: str) -> str:
    y = TOP + 8 + 19 * number
    swatch = f'<rect x="{WIDTH - RIGHT + 14}" y="{y - 5}" width="12" height="10" fill="{colour}"/>'
    return swatch + _text(WIDTH - RIGHT + 32, y + 4, name)


def _level(y: float, said: str) -> str:
    return _line(LEFT, y, WIDTH - RIGHT, y) + _text(LEFT - 6, y + 4, said, "end")


def _axis_name(said: str) -> str:
    return _text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 10, said, "middle")


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, said: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333">{said}</text>'
