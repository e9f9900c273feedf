"""Figures of evaluations as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mirada.evaluation.report_rows import KeptReport, change_between

FIGURES = ("language", "queries", "recall@10 (95 %)", "nDCG@10 (95 %)", "of judged", "judged")
"""Headings. "of judged" is nDCG@10 with the judged images alone ranked, "judged" their share of the
places that were looked at."""


def rows_of(figures: Mapping[str, Any]) -> list[Sequence[object]]:
    """Return a row for each language, and one for all where there are several or none."""
    languages, overall = figures["languages"], figures["overall"]
    rows = [means_row(each["language"] or "not said", each) for each in languages]
    if overall is not None and len(languages) > 1:
        rows.append(means_row("all", overall))
    return rows


def means_row(language: str | None, means: Mapping[str, Any]) -> Sequence[object]:
    """Return the cells under FIGURES."""
    of_judged = means["ndcg_at_10_of_judged"]
    return (
        language,
        means["queries"],
        estimate(means["recall_at_10"]),
        estimate(means["ndcg_at_10"]),
        None if of_judged is None else f"{of_judged['value']:.3f}",
        f"{means['judged_share']:.3f}",
    )


def counted_lines(counted: Mapping[str, int]) -> Iterator[str]:
    """Yield sentences about what the figures rest on."""
    queries = "1 query" if counted["queries"] == 1 else f"{counted['queries']:,} queries"
    yield f"{counted['pictures']:,} vectors were compared with {queries}."
    if counted["without_good"]:
        yield f"{counted['without_good']:,} queries do not count: no good image can be found."
    if counted["gone"]:
        yield (
            f"{counted['gone']:,} of {counted['judged']:,} judged images are gone: deleted, or hidden "
            "from their judge."
        )
    if counted["without_vector"]:
        yield f"{counted['without_vector']:,} judged images have no vector in this space."


def change_line(before: KeptReport, after: KeptReport) -> str:
    """Return a sentence about what has changed since another report."""
    since = f"Since {before.created_at:%Y-%m-%d %H:%M} ({before.model})"
    change = change_between(before, after)
    if change is None:
        return f"{since}: no query is in both reports."
    recall, ndcg = (
        f"{each.value:+.3f} ({each.low:+.3f} to {each.high:+.3f})"
        for each in (change.recall, change.ndcg)
    )
    return f"{since}: recall@10 {recall}, nDCG@10 {ndcg}, over {change.queries:,} queries."


def estimate(found: Mapping[str, float]) -> str:
    """Return a mean with its interval."""
    return f"{found['value']:.3f} ({found['low']:.3f}-{found['high']:.3f})"


def trend_row(report: KeptReport) -> Sequence[object]:
    """Return the cells of a report in a list: date, model and figures."""
    means = None if report.figures is None else report.figures["overall"]
    figures: tuple[str | None, ...] = (report.failure or "no query counts", None)
    if means is not None:
        figures = (estimate(means["recall_at_10"]), estimate(means["ndcg_at_10"]))
    return (f"{report.created_at:%Y-%m-%d %H:%M}", report.model, *figures)


def report_as_json(report: KeptReport) -> dict[str, Any]:
    """Return a report as JSON values."""
    body = {
        "id": report.id,
        "created_at": report.created_at.isoformat(),
        "space": report.space,
        "model": report.model,
        "failure": report.failure,
        **(report.figures or {}),
    }
    return body if report.of_queries is None else body | {"queries": list(report.of_queries)}
