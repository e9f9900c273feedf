"""`mirada search` on a real SQLite site with the bundled encoder: what it prints, and for whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from mirada.kernel.embeddings import SpaceKind
from mirada.runtime import Runtime
from testing.console import run_command
from testing.deployment import ROOT
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
    assert prompts.exit_code == 0
    assert "There is nothing to search: no prompt of an image" in prompts.output


def test_what_holds_nothing_that_the_asker_may_see_says_so(shelf: Shelf) -> None:
    shelf.runtime.space(SpaceKind.PROMPT)

    pictures = searched(shelf, "a cat")
    prompts = searched(shelf, "a cat", "--as", "bea", "--in", "prompts")

    assert "\nThere is nothing to search: no embedded image" in pictures.output
    assert prompts.output.splitlines() == [
        "No image was found.",
        "There is nothing to search: no prompt of an image that you may see has been embedded.",
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
        "reason": "Nothing was found.",
        "left_out": {},
    }


def test_a_blank_text_is_refused(shelf: Shelf) -> None:
    result = searched(shelf, "  ")
    assert result.exit_code == 2
    assert "no words" in result.output


def files_of(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [each["file"] for each in json.loads(result.output)["results"]]


def test_signs_move_down_what_is_not_wanted(shelf: Shelf) -> None:
    def asked(text: str, *more: str) -> list[str]:
        return files_of(searched(shelf, text, "--as", "bea", "--json", *more))

    assert asked("a cat")[0] == "cat-face.png"
    assert asked('boar -cat -"avocado"', "--signs")[0] == "boar.png"
    assert asked("cat -avocado -boar", "--signs")[0] == "cat-face.png"
    words = searched(shelf, "cat -dog", "--in", "keywords", "--signs", "--as", "bea")
    assert words.exit_code == 0
    for wrong in ("cat - dog", "-dog", 'cat "dog', " ".join(f"-a{n}" for n in range(16)) + " cat"):
        refused = searched(shelf, "--signs", "--as", "bea", "--", wrong)
        assert (refused.exit_code, "Error: Invalid value for TEXT: " in refused.output) == (2, True)


def test_a_filter_narrows_what_is_found(shelf: Shelf) -> None:
    def asked(*conditions: str) -> list[str]:
        filters = [word for each in conditions for word in ("--filter", each)]
        return files_of(searched(shelf, "a cat", "--as", "bea", "--json", *filters))

    assert set(asked("kind=still", "visibility=private")) == set(STICKERS)
    assert asked("filename=BOAR") == ["boar.png"]
    assert asked("visibility=public") == []
    told = searched(shelf, "a cat", "--as", "bea", "--filter", "kind=animated").output
    assert told.splitlines()[:2] == [
        "No image was found.",
        "There is nothing to search: no embedded image that you may see and that meets "
        "every condition of the filter.",
    ]
    for wrong in ("kind", "kind=jpeg", "colour=reddish", "created_after=then", "owner=0"):
        refused = searched(shelf, "a cat", "--filter", wrong)
        assert refused.exit_code == 2
        assert "Invalid value for '--filter'" in refused.output
        assert wrong in refused.output


def test_a_picture_is_asked_with_alone_and_beside_a_text(shelf: Shelf, tmp_path: Path) -> None:
    picture = str(ROOT / "demo" / "stickers" / "boar.png")
    as_bea = ("--as", "bea", "--json", "--picture", picture)

    alone = json.loads(searched(shelf, *as_bea).output)
    assert alone["results"][0]["file"] == "boar.png"
    assert alone["results"][0]["similarity"] > 0.99
    assert files_of(searched(shelf, "boar", *as_bea))[0] == "boar.png"
    assert set(files_of(searched(shelf, "boar -cat", "--signs", *as_bea))) == set(STICKERS)

    nothing = searched(shelf)
    assert (nothing.exit_code, "TEXT, or --picture FILE" in nothing.output) == (2, True)
    words = searched(shelf, "--picture", picture, "--in", "keywords")
    assert (words.exit_code, "looks for a text" in words.output) == (2, True)
    prompts = searched(shelf, "--picture", picture, "--in", "prompts")
    assert (prompts.exit_code, "cannot be compared with prompts" in prompts.output) == (2, True)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    refused = searched(shelf, "--picture", str(broken))
    assert refused.exit_code == 1
    assert "Error: " in refused.output
