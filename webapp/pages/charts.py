"""Small charts as points and bars of an SVG picture, made on the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 240.0, 56.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line over time; gaps are where nothing is known.

    Attributes:
        path: of the line, for an SVG of WIDTH by HEIGHT.
        dots: a path of points that have no neighbour, and of the last one.
        floor: the height of a limit; None without one.
    """

    path: str
    dots: str
    floor: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar; all measures are of an SVG of WIDTH by HEIGHT."""

    x: float
    y: float
    width: float
    height: float


def line(values: Sequence[float | None], floor: float | None = None) -> Line | None:
    """Return values as a line from left to right; None where fewer than two are known: a dot is no line.

    Args:
        values: in order; None where one is not known.
        floor: a limit that is drawn as well.
    """
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    in_all = known if floor is None else [*known, floor]
    low, high = min(in_all), max(in_all)
    # What hardly changes is shown as a line in the middle, not as mountains.
    room = max(high - low, 0.02 * abs(high), 1e-9)
    middle = (low + high) / 2

    def y(value: float) -> float:
        return round(HEIGHT / 2 - (value - middle) / room * (HEIGHT - 8), 1)

    step = WIDTH / max(len(values) - 1, 1)
    path, dots, before = [], [], None
    for n, value in enumerate(values):
        if value is not None:
            point = f"{round(n * step, 1)} {y(value)}"
            path.append(f"{'M' if before is None else 'L'}{point}")
            following = values[n + 1] if n + 1 < len(values) else None
            if following is None:
                dots.append(f"M{point}h.01")
        before = value
    return Line("".join(path), "".join(dots), None if floor is None else y(floor))


def bars(values: Sequence[float]) -> list[Bar]:
    """Return values >= 0 as bars from left to right; the highest is as high as the chart."""
    highest = max(values, default=0)
    slot = WIDTH / max(len(values), 1)
    found = []
    for n, value in enumerate(values):
        height = value / highest * HEIGHT if highest else 0
        if value:
            height = max(height, 1.0)
        found.append(
            Bar(
                round(n * slot, 2),
                round(HEIGHT - height, 2),
                round(slot * 0.8, 2),
                round(height, 2),
            )
        )
    return found
