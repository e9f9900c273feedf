"""`mirada evaluate`: sets of judged queries from files and verdicts, and how well a model finds them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from console.evaluation_sets import new_or_known, set_if_any, set_of, user_id
from console.evaluation_tables import (
    FIGURES,
    change_line,
    counted_lines,
    report_as_json,
    rows_of,
    trend_row,
)
from console.site import Group, current_runtime, errors_told, require_database
from console.terminal import Bar, all_rows, console, print_table
from mirada.evaluation import csv_file, from_feedback, kept_queries, report_rows, reports, sets
from mirada.evaluation.evaluating import evaluate
from mirada.evaluation.in_use import measured_in_use
from mirada.evaluation.judged_queries import MOST_QUERIES, judged_queries
from mirada.evaluation.merging import Merged, Outcome
from mirada.evaluation.report_rows import figures_as_json
from mirada.kernel.commands import command_line

as_option = click.option(
    "--as", "username", default="local", show_default=True, help="Whose sets they are."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
space_option = click.option(
    "--space",
    "space_names",
    multiple=True,
    default=("image",),
    show_default=True,
    help="A space in use: image, prompt, caption, or its name. May be repeated.",
)


@click.group("evaluate", cls=Group, invoke_without_command=True)
@space_option
@json_option
@click.pass_context
def group(ctx: click.Context, space_names: Sequence[str], as_json: bool) -> None:
    """Measure how well a model finds what people judged to be right: recall@10 and nDCG@10.

    Without a command it measures everybody's sets together, each query as its owner sees the library,
    and keeps nothing.
    """
    if ctx.invoked_subcommand is None:
        with errors_told():
            require_database(current_runtime().settings)
            _measure_all(space_names, as_json)


@group.command("run")
@click.argument("name")
@as_option
@space_option
@click.option("--worst", default=5, show_default=True, type=click.IntRange(0, 1000))
@json_option
def run(name: str, username: str, space_names: Sequence[str], worst: int, as_json: bool) -> None:
    """Measure the set NAME, keep the report, and show the queries that went worst."""
    runtime, found = current_runtime(), set_of(name, username)
    made = [
        reports.ask_report(runtime, found.id, found.owner_id, space, at_once=True).report
        for space in space_names
    ]
    if as_json:
        click.echo(_json([report_as_json(each) for each in made]))
        return
    for report in made:
        assert report.figures is not None
        console().print(report.space)
        print_table(FIGURES, rows_of(report.figures), wrapping=())
        for line in counted_lines(report.figures["counted"]):
            console().print(line)
        with runtime.reading() as session:
            before = report_rows.report_before(session, report)
        if before is not None:
            console().print(change_line(before, report))
        if worst and report.of_queries:
            print_table(
                ("worst queries", "language", "recall@10", "nDCG@10"),
                (
                    (
                        each["text"],
                        each["language"],
                        f"{each['recall_at_10']:.3f}",
                        f"{each['ndcg_at_10']:.3f}",
                    )
                    for each in report.of_queries[:worst]
                ),
                wrapping=("worst queries",),
            )


@group.command("list")
@as_option
def list_sets(username: str) -> None:
    """Show the sets of a user."""
    owner_id = user_id(username)
    print_table(
        ("id", "name", "queries", "changed"),
        (
            (each.id, each.name, each.query_count, f"{each.updated_at:%Y-%m-%d %H:%M}")
            for each in _rows(sets.list_sets, owner_id)
        ),
        wrapping=("name",),
    )


@group.command("import")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_option
def import_file(name: str, file: Path, username: str) -> None:
    """Put the queries of a CSV FILE into the set NAME, which is made where there is none.

    One judgement a line, below the line query,language,image,judgement. An image is named by its id,
    or by the SHA-256 of its file; a judgement is good or bad. Where anything is wrong nothing is
    imported, and lines and columns are named.
    """
    content = _content(file)
    with new_or_known(name, username) as kept:
        merged = csv_file.import_csv(current_runtime().database, kept.id, kept.owner_id, content)
    console().print(f"{_told(merged)} are in the set '{kept.name}' now.")


@group.command("export")
@click.argument("name")
@as_option
def export_file(name: str, username: str) -> None:
    """Print the set NAME as CSV, as import reads it."""
    found = set_of(name, username)
    listed = _rows(kept_queries.list_queries, found.id, found.owner_id)
    for line in csv_file.as_csv(listed):
        click.echo(line, nl=False)


@group.command("fill")
@click.argument("name")
@click.option("--theme", "themes", multiple=True, help="Only this theme. May be repeated.")
@click.option("--language", help="Of the new queries, such as en or pt-BR.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@as_option
def fill(
    name: str, themes: Sequence[str], language: str | None, dry_run: bool, username: str
) -> None:
    """Fill the set NAME from its owner's verdicts: accepted is good, rejected is bad.

    The set is made where there is none.
    """
    owner_id = user_id(username)

    def filled_as(set_id: int | None) -> from_feedback.Filled:
        return from_feedback.fill(
            current_runtime().database,
            set_id,
            owner_id,
            themes=list(themes) or None,
            language=language,
            is_preview=dry_run,
        )

    if dry_run:
        known = set_if_any(name, username)
        filled = filled_as(None if known is None else known.id)
    else:
        with new_or_known(name, username) as kept:
            filled = filled_as(kept.id)
    print_table(
        ("theme", "good", "bad", "query"),
        [
            *(
                (each.query.theme, len(each.query.good), len(each.query.bad), each.outcome)
                for each in filled.queries
            ),
            *(
                (each.theme, each.accepted, each.rejected, "left out: no good image")
                for each in filled.left_out
            ),
        ],
        wrapping=("theme",),
    )
    if filled.without_image:
        console().print(f"{filled.without_image} verdicts are on pictures without an image.")
    if dry_run:
        console().print("Nothing was written.")


@group.command("reports")
@click.argument("name")
@as_option
@json_option
def list_reports(name: str, username: str, as_json: bool) -> None:
    """Show the reports of the set NAME, newest first: the trend."""
    found = set_of(name, username)
    kept = _rows(report_rows.list_reports, found.id, found.owner_id)
    if as_json:
        click.echo(_json([report_as_json(each) for each in kept]))
        return
    print_table(
        ("date", "model", *FIGURES[2:4]),
        (trend_row(each) for each in kept if each.finished_at is not None),
        wrapping=("model",),
    )


@group.command("delete")
@click.argument("name")
@as_option
def delete(name: str, username: str) -> None:
    """Delete the set NAME with its queries and reports."""
    found = set_of(name, username)
    sets.remove(current_runtime().database, found.id, found.owner_id)
    console().print(f"The set '{found.name}' is deleted.")


def _measure_all(space_names: Sequence[str], as_json: bool) -> None:
    runtime = current_runtime()
    with runtime.reading() as session:
        asked = judged_queries(session)
    if not asked:
        raise click.ClickException(
            "There is no query to measure with. Put some into a set: "
            + command_line("evaluate import NAME FILE.csv")
        )
    bodies = []
    for space in space_names:
        measured = measured_in_use(runtime, space)
        with Bar("Measuring") as bar:
            found = evaluate(runtime, measured, asked, bar.show)
        bodies.append({"space": found.space.name, **figures_as_json(found)})
        if not as_json:
            console().print(found.space.name)
            print_table(FIGURES, rows_of(bodies[-1]), wrapping=())
            for line in counted_lines(bodies[-1]["counted"]):
                console().print(line)
    if as_json:
        click.echo(_json(bodies))
    elif len(asked) == MOST_QUERIES:
        console().print(f"The first {MOST_QUERIES:,} queries were measured.")


def _rows(read: Callable[..., Any], *which: int) -> Iterator[Any]:
    return all_rows(
        lambda session, cursor, limit: read(session, *which, cursor=cursor, limit=limit)
    )


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(csv_file.MOST_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}.") from error


def _told(merged: Sequence[Merged]) -> str:
    """Return how many queries are new, changed and as they were."""
    counts = [
        f"{count} {outcome}"
        for outcome in Outcome
        if (count := sum(each.outcome is outcome for each in merged))
    ]
    return f"{len(merged)} queries ({', '.join(counts)})"


def _json(body: object) -> str:
    return json.dumps(body, ensure_ascii=False, indent=2)
