"""`mirada import` and `mirada export`: pictures in from other systems and our own exports, and out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from console.site import Command, FirstCommand, current_runtime
from mirada.database_url import parse_database_url
from mirada.kernel.conditions import filter_of, read_conditions
from mirada.kernel.errors import InvalidInput
from mirada.people import users
from mirada.runtime import Runtime
from mirada.transfer import choosing, classified, exporting, importing
from mirada.transfer.asked import Wishes
from mirada.transfer.choosing import Chosen, Kind
from mirada.transfer.exporting import Selection
from mirada.transfer.pictures import PictureFolder
from mirada.transfer.reports import TransferReport

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
SHOWN = 20
"""Refused rows that the terminal shows; --json has them all."""


def _options(*options: Callable[[Any], Any]) -> Callable[[Decorated], Decorated]:
    def decorate(function: Decorated) -> Decorated:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _pairs(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, sign, column = text.partition("=")
        if not (name and sign and column):
            raise click.BadParameter(f"'{text}' is not written FIELD=COLUMN, such as id=post_id.")
        pairs[name] = column
    return pairs


_WHAT = _options(
    click.argument("source"),
    click.option(
        "--from",
        "kind",
        type=click.Choice([each.value for each in Kind]),
        default=Kind.AUTO.value,
        show_default=True,
        help="The system that it comes from; auto looks at SOURCE.",
    ),
    click.option(
        "--name", help="Name of the source, for more than one of a kind: image-search:shop."
    ),
    click.option(
        "--pictures",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder with the pictures; SOURCE itself where it is a folder.",
    ),
    click.option("--table", help="Table of a database, or schema.table."),
    click.option("--query", help="A SELECT in place of a table; it orders its rows by their ids."),
    click.option(
        "--column",
        "columns",
        multiple=True,
        callback=_pairs,
        help="FIELD=COLUMN where a column has a name of its own: --column id=post_id.",
    ),
    click.option(
        "--mapping",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="TOML with the tables and columns of a classifier.",
    ),
)
_HOW = _options(
    click.option("--owner", help="Username of whoever gets everything, whoever the source names."),
    click.option("--create-users", is_flag=True, help="Make the people that the source names."),
    click.option(
        "--public/--private",
        default=False,
        show_default=True,
        help="Who may see what the source does not say it of.",
    ),
    click.option(
        "--vectors-are",
        metavar="MODEL",
        help="The vectors are of this model, such as ViT-B-32/openai, so that they come along.",
    ),
    click.option(
        "--vectors-unchecked", is_flag=True, help="Take them without comparing a sample with ours."
    ),
    click.option(
        "--metadata/--no-metadata",
        default=True,
        show_default=True,
        help="Read what generators wrote into the files.",
    ),
    click.option(
        "--batch",
        default=importing.ROWS,
        show_default=True,
        type=click.IntRange(1, 500),
        help="Rows per transaction.",
    ),
    click.option("--dry-run", is_flag=True, help="Say what would come; write nothing."),
    click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
)


@click.command("import", cls=FirstCommand)
@_WHAT
@_HOW
def import_command(source: str, as_json: bool, **options: Any) -> None:
    """Bring pictures in from SOURCE, with all that people gave them, under their old ids.

    SOURCE is a folder, a file or the address of a database. A folder is an export of Mirada, one of
    clip-retrieval, or pictures with metadata.jsonl or .csv. A file is JSONL, CSV, or points of Qdrant.
    docs/moving has the commands for each system. Safe to interrupt and to run again. Exit code: 0 when
    everything came or was there, 1 when a row was refused or it could not go on.
    """
    runtime = current_runtime()
    runtime.migrate()
    report = _import(runtime, source, options)
    if as_json:
        click.echo(json.dumps(report.to_json(), ensure_ascii=False, indent=2))
    else:
        for entry in report.refused[:SHOWN]:
            called = "" if entry.external_id is None else f" ({entry.external_id})"
            click.echo(f"refused: row {entry.number}{called}: {entry.reason}", err=True)
        if report.refused_count > SHOWN:
            click.echo(f"and {report.refused_count - SHOWN:,} more; --json names them.", err=True)
        click.echo(report.summary())
    if report.refused_count:
        sys.exit(1)


def _import(runtime: Runtime, source: str, options: dict[str, Any]) -> TransferReport:
    chosen = choosing.choose(
        source,
        Kind(options["kind"]),
        choosing.Named(
            options["name"],
            options["table"],
            options["query"],
            options["columns"],
            options["mapping"],
            _url(source),
        ),
        runtime,
    )
    with runtime.transaction() as session:
        owner = users.user_named(session, options["owner"] or users.LOCAL_USERNAME)
    wishes = Wishes(
        owner.id,
        keeps_owners=options["owner"] is None,
        creates_people=options["create_users"],
        is_public=options["public"],
        vectors_are=options["vectors_are"] or chosen.vectors_are,
        is_compared=not options["vectors_unchecked"],
        is_dry=options["dry_run"],
        reads_metadata=options["metadata"],
    )
    return _taken(runtime, chosen, options["pictures"], wishes, options["batch"])


def _taken(
    runtime: Runtime, chosen: Chosen, pictures: Path | None, wishes: Wishes, rows: int
) -> TransferReport:
    if chosen.tables is not None:
        folder = None if pictures is None else PictureFolder(pictures)
        return classified.import_classified(
            runtime, chosen.tables, wishes, pictures=folder, report=_told, rows=rows
        )
    root = pictures or chosen.pictures
    if root is None or chosen.source is None:
        raise click.UsageError("Say where the pictures are: --pictures FOLDER.")
    folder = PictureFolder(root)
    return importing.import_pictures(
        runtime, chosen.source, folder, wishes, report=_told, rows=rows
    )


def _told(report: TransferReport) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{report.done:,} rows read, {report.taken:,} taken", nl=False, err=True)


def _url(source: str) -> Any:
    if "://" not in source:
        return None
    try:
        return parse_database_url(source)
    except ValueError as error:
        raise InvalidInput(f"The address of the database: {error}.") from error


@click.command("export", cls=Command)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--owner", help="Only this user's images.")
@click.option("--id", "ids", multiple=True, type=int, help="Only these images; may be repeated.")
@click.option(
    "--filter",
    "conditions",
    multiple=True,
    help="NAME=VALUE as lists and searches take it, such as visibility=public; may be repeated.",
)
@click.option("--zip", "packs", is_flag=True, help="Also pack it into FOLDER.zip.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def export_command(
    folder: Path,
    owner: str | None,
    ids: tuple[int, ...],
    conditions: tuple[str, ...],
    packs: bool,
    as_json: bool,
) -> None:
    """Write images with all that belongs to them into FOLDER, to be imported by another Mirada.

    Originals, what people gave them, vectors, and a manifest with checksums. Safe to interrupt: run again
    it goes on where it was.
    """
    runtime = current_runtime()
    runtime.migrate()
    owner_id = None
    if owner is not None:
        with runtime.transaction() as session:
            owner_id = users.user_named(session, owner).id
    asked = filter_of(read_conditions(conditions), runtime.settings.nsfw_threshold)
    manifest = exporting.export(runtime, folder, Selection(owner_id, frozenset(ids), asked))
    if packs:
        exporting.pack(folder, folder.with_name(f"{folder.name}.zip"))
    if as_json:
        click.echo(json.dumps(manifest, ensure_ascii=False, indent=2))
    else:
        click.echo(f"{manifest['images']:,} images are in {folder}.")
