"""`mirada search` on a real SQLite site with the bundled encoder: what it prints, and for whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from mirada.kernel.embeddings import SpaceKind
from mirada.runtime import Runtime
from testing.console import run_command
from testing.shelf import STICKERS, Shelf


def searched(shelf: Shelf, *arguments: str) -> Result:
    return run_command(shelf.runtime, "search", *arguments)


def test_the_best_come_first_with_their_names_and_the_verdict(shelf: Shelf) -> None:
    result = searched(shelf, "a cat", "--as", "bea")

    lines = result.output.splitlines()
    assert result.exit_code == 0, result.output
    assert lines[0].split() == ["id", "similarity", "relevance", "file"]
    assert lines[1].endswith("cat-face.png")
    assert len(lines) == len(STICKERS) + 2
    assert lines[-1].startswith("Verdict: ")


def test_json_says_the_same_to_programs(shelf: Shelf) -> None:
    body = json.loads(searched(shelf, "a cat", "--as", "bea", "--limit", "1", "--json").output)

    (best,) = body["results"]
    assert best["file"] == "cat-face.png"
    assert -1 <= best["similarity"] <= 1
    assert 0 <= best["relevance"] <= 1
    assert body["verdict"] in {"relevant", "nothing relevant"}


def test_only_what_the_asker_may_see_is_found(shelf: Shelf) -> None:
    body = json.loads(searched(shelf, "a cat", "--json").output)

    assert body["results"] == []
    refused = searched(shelf, "a cat", "--as", "nobody")
    assert refused.exit_code == 1
    assert "no user 'nobody'" in refused.output


def test_sources_that_hold_nothing_yet_are_named(shelf: Shelf) -> None:
    together = searched(shelf, "a cat", "--as", "bea", "--in", "all")
    prompts = searched(shelf, "a cat", "--as", "bea", "--in", "prompts")

    assert "cat-face.png" in together.output
    assert "prompts left out: No prompt has been embedded yet." in together.output
    assert prompts.exit_code == 1
    assert "No prompt has been embedded yet." in prompts.output


def test_what_holds_nothing_that_the_asker_may_see_says_so(shelf: Shelf) -> None:
    shelf.runtime.space(SpaceKind.PROMPT)

    pictures = searched(shelf, "a cat")
    prompts = searched(shelf, "a cat", "--as", "bea", "--in", "prompts")

    assert "pictures left out: There is nothing to search: no embedded image" in pictures.output
    assert prompts.output.splitlines() == [
        "No image was found.",
        "prompts left out: There is nothing to search: no prompt of an image that you may see has "
        "been embedded.",
        "Verdict: nothing relevant",
    ]


def test_words_are_found_without_any_encoder(
    make_runtime: Callable[..., Runtime], tmp_path: Path
) -> None:
    runtime = make_runtime(embeddings_enabled=False)
    result = run_command(runtime, "search", "cat", "--in", "keywords", "--json")

    assert json.loads(result.output) == {
        "results": [],
        "verdict": "nothing relevant",
        "relevant_count": 0,
        "left_out": {},
    }


def test_a_blank_text_is_refused(shelf: Shelf) -> None:
    result = searched(shelf, "  ")
    assert result.exit_code == 2
    assert "no words" in result.output
