"""`mirada search`: find images in the terminal, without the server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from console.site import Command, current_runtime
from mirada.kernel.audience import Audience
from mirada.kernel.conditions import filter_of, read_conditions
from mirada.kernel.errors import InvalidInput
from mirada.people import users
from mirada.search.asked import Asked
from mirada.search.found import Found, FoundImage
from mirada.search.judging import narrowed
from mirada.search.queries import ALL, QueryKind, Source
from mirada.search.request import (
    WEIGHTS_OF,
    Part,
    SearchRequest,
    SentPicture,
    parts_of_signs,
)
from mirada.search.run import run

LOADING_WAIT_S = 600.0
"""How long weights are waited for: nobody else is kept waiting, and they may have to be downloaded."""
MAX_LIMIT = 1000


def _conditions(_ctx: click.Context, _param: click.Parameter, written: Sequence[str]) -> Any:
    try:
        return read_conditions(written)
    except InvalidInput as error:
        raise click.BadParameter(error.detail) from error


@dataclass(frozen=True, slots=True)
class Question:
    """A question, as it was typed.

    Attributes:
        text: words; None for none.
        has_signs: the text has minuses and phrases in quotes.
        picture: a file to look for pictures like it; None for none.
        source: where to look.
    """

    text: str | None
    has_signs: bool
    picture: Path | None
    source: str

    def parts(self) -> tuple[Part, ...]:
        """Return the parts of the query.

        Raises:
            click.UsageError: there is none, or one that cannot be asked there.
        """
        if self.text is None and self.picture is None:
            raise click.UsageError("Say what to look for: TEXT, or --picture FILE.")
        if self.text is None and self.source in WEIGHTS_OF:
            raise click.UsageError(
                f"--in {self.source} looks for a text: give one as well, or leave --in out."
            )
        if self.picture is None:
            return self._texts()
        if self.source == Source.PROMPTS:
            raise click.UsageError(
                "A picture cannot be compared with prompts: leave one of both out."
            )
        return (*self._texts(), Part(QueryKind.PICTURE, SentPicture(self.picture, None)))

    def _texts(self) -> tuple[Part, ...]:
        if self.text is None:
            return ()
        if not self.text.strip():
            raise click.BadParameter("there are no words in it", param_hint="TEXT")
        if not self.has_signs:
            return (Part(QueryKind.TEXT, self.text),)
        try:
            return parts_of_signs(self.text)
        except InvalidInput as error:
            raise click.BadParameter(error.detail, param_hint="TEXT") from error


@click.command("search", cls=Command)
@click.argument("text", required=False)
@click.option("--signs", is_flag=True, help="Read TEXT as in a search box: 'cat -dog \"red hat\"'.")
@click.option(
    "--picture",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Find pictures like this file, which is not kept; with TEXT, like both.",
)
@click.option(
    "--in",
    "source",
    type=click.Choice([*(each.value for each in Source), ALL]),
    default=Source.PICTURES.value,
    show_default=True,
    help="What the text is compared with.",
)
@click.option(
    "--filter",
    "conditions",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_conditions,
    help="Only images that meet this, such as kind=still or shape=square; may be repeated. "
    "docs/guide.md lists the conditions.",
)
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=10, show_default=True)
@click.option("--as", "username", default="local", show_default=True, help="Who asks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def search(
    text: str | None,
    picture: Path | None,
    source: str,
    conditions: dict[str, Any],
    limit: int,
    username: str,
    *,
    signs: bool,
    as_json: bool,
) -> None:
    """Find images by TEXT, best first, and say whether anything relevant was found.

    A picture may stand in place of TEXT, or beside it. Where TEXT begins with a minus, write two of
    them before it: search --signs -- '-dog cat'.
    """
    parts = Question(text, signs, picture, source).parts()
    runtime = current_runtime()
    with runtime.transaction() as session:
        audience = Audience(users.user_named(session, username).id)
    wanted = filter_of(conditions, runtime.settings.nsfw_threshold)
    weights = WEIGHTS_OF.get(source)
    request = SearchRequest(
        parts,
        Asked(narrowed(runtime, audience, wanted)),
        limit,
        Source.PICTURES if weights else Source(source),
        weights,
        wait_s=LOADING_WAIT_S,
    )
    found = run(runtime, request)
    click.echo(_as_json(found) if as_json else _as_table(found))


def _rows(found: Found) -> list[dict[str, object]]:
    return [
        {
            "id": result.image.id,
            "similarity": _shown_similarity(result),
            "relevance": result.relevance,
            "file": result.image.filename,
        }
        for result in found.results
    ]


def _shown_similarity(result: FoundImage) -> float | None:
    # Cosines of two spaces are not comparable: the first source's is shown, pictures before others.
    return result.found_by[0].similarity if result.found_by else result.hit.similarity


def _as_json(found: Found) -> str:
    body = {
        "results": _rows(found),
        "verdict": found.verdict,
        "relevant_count": found.ranking.relevant_count,
        "reason": found.reason,
        "left_out": found.left_out,
    }
    return json.dumps(body, ensure_ascii=False, indent=2)


def _as_table(found: Found) -> str:
    lines = [f"{'id':>8}  similarity  relevance  file"]
    for row in _rows(found):
        similarity = "-" if row["similarity"] is None else f"{row['similarity']:.3f}"
        lines.append(
            f"{row['id']:>8}  {similarity:>10}  {row['relevance']:>9.2f}  {row['file'] or ''}"
        )
    if not found.results:
        # Of several sources each says for itself why it was left out.
        why = found.reason if found.ranking.space is not None else None
        lines = ["No image was found."] if why is None else ["No image was found.", why]
    lines += [f"{source} left out: {reason}" for source, reason in found.left_out.items()]
    return "\n".join([*lines, f"Verdict: {found.verdict}"])
