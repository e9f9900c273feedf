"""`mirada search`: find images in the terminal, without the server."""

from __future__ import annotations

import json

import click

from console.site import Command, current_runtime
from mirada.kernel.audience import Audience, Scope
from mirada.people import users
from mirada.search.asked import Asked
from mirada.search.found import Found
from mirada.search.queries import ALL, Source
from mirada.search.request import DEFAULT_WEIGHTS, of_text
from mirada.search.run import run

LOADING_WAIT_S = 600.0
"""How long weights are waited for: nobody else is kept waiting, and they may have to be downloaded."""
MAX_LIMIT = 1000


@click.command("search", cls=Command)
@click.argument("text")
@click.option(
    "--in",
    "source",
    type=click.Choice([*(each.value for each in Source), ALL]),
    default=Source.PICTURES.value,
    show_default=True,
    help="What the text is compared with.",
)
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=10, show_default=True)
@click.option("--as", "username", default="local", show_default=True, help="Who asks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def search(text: str, source: str, limit: int, username: str, as_json: bool) -> None:
    """Find images by TEXT, best first, and say whether anything relevant was found."""
    if not text.strip():
        raise click.BadParameter("there are no words in it", param_hint="TEXT")
    runtime = current_runtime()
    with runtime.transaction() as session:
        viewer_id = users.user_named(session, username).id
    weights = DEFAULT_WEIGHTS if source == ALL else {source: 1.0}
    asked = Asked(Scope(Audience(viewer_id)))
    found = run(runtime, of_text(text, asked, weights, limit, LOADING_WAIT_S))
    click.echo(_as_json(found) if as_json else _as_table(found))


def _rows(found: Found) -> list[dict[str, object]]:
    # Cosines of two spaces are not comparable: the first source's is shown, pictures before others.
    return [
        {
            "id": result.image.id,
            "similarity": result.found_by[0].similarity,
            "relevance": result.relevance,
            "file": result.image.filename,
        }
        for result in found.results
    ]


def _as_json(found: Found) -> str:
    body = {
        "results": _rows(found),
        "verdict": found.verdict,
        "relevant_count": found.ranking.relevant_count,
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
        lines = ["No image was found."]
    lines += [f"{source} left out: {reason}" for source, reason in found.left_out.items()]
    return "\n".join([*lines, f"Verdict: {found.verdict}"])
