"""`mirada evaluate` on a SQLite site with the bundled encoder: files, verdicts, figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from mirada.db.models import Image
from mirada.feedback.verdicts import give_feedback
from mirada.runtime import Runtime
from testing.console import run_command
from testing.shelf import Shelf

HEADINGS = "query,language,image,judgement"


class Judge:
    """Stickers of bea's, and sets of hers."""

    def __init__(self, shelf: Shelf, folder: Path) -> None:
        self.shelf = shelf
        self.runtime: Runtime = shelf.runtime
        self._file = folder / "set.csv"
        with self.runtime.reading() as session:
            images = session.query(Image).order_by(Image.id).all()
            self.ids = {image.filename: image.id for image in images}
            self.hashes = {image.filename: image.content.sha256 for image in images}

    def run(self, *arguments: str) -> Result:
        return run_command(self.runtime, "evaluate", *arguments)

    def send(self, *lines: str, name: str = "pets", encoding: str = "utf-8") -> Result:
        self._file.write_text("\n".join(lines), encoding=encoding)
        return self.run("import", name, str(self._file), "--as", "bea")

    def filled(self) -> None:
        cat, boar, avocado = (f"{n}.png" for n in ("cat-face", "boar", "avocado"))
        sent = self.send(
            HEADINGS,
            f"a cat,en,{self.ids[cat]},good",
            f"a cat,en,{self.hashes[boar].upper()},bad",
            f"um abacate,pt,{self.ids[avocado]},good",
            f"um abacate,pt,{self.ids[cat]},bad",
        )
        assert sent.exit_code == 0, sent.output


@pytest.fixture
def judge(shelf: Shelf, tmp_path: Path) -> Judge:
    return Judge(shelf, tmp_path)


def test_a_file_makes_a_set_and_a_run_tells_figures_by_language(judge: Judge) -> None:
    judge.filled()
    shown = judge.run("run", "pets", "--as", "bea")
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].startswith("image:")
    assert [line.split()[:3] for line in lines[2:5]] == [
        ["en", "1", "1.000"],
        ["pt", "1", "1.000"],
        ["all", "2", "1.000"],
    ]
    assert "3 vectors were compared with 2 queries." in shown.output
    assert "Since 20" not in shown.output
    absent = judge.run("run", "cars", "--as", "bea")
    assert absent.exit_code == 1
    assert "no evaluation set 'cars'. Make it" in absent.output
    assert "evaluate import NAME FILE.csv" in absent.output
    again = judge.run("run", "pets", "--as", "bea", "--worst", "0").output
    assert "recall@10 +0.000 (-0." in again
    assert "over 2 queries." in again

    report = json.loads(judge.run("run", "pets", "--as", "bea", "--json").output)[0]
    assert report["overall"]["recall_at_10"]["value"] == 1
    assert report["overall"]["recall_at_10"]["low"] < 1
    assert {each["text"] for each in report["queries"]} == {"a cat", "um abacate"}
    assert report["counted"]["judged"] == 4
    # All were kept.
    trend = json.loads(judge.run("reports", "pets", "--as", "bea", "--json").output)
    assert [each["id"] for each in trend] == [report["id"] - number for number in range(3)]
    table = judge.run("reports", "pets", "--as", "bea").output.splitlines()
    dated = [line for line in table if line.startswith("20")]
    assert [line.split()[3:5] for line in dated] == [["1.000", "(0.342-1.000)"]] * 3
    assert dated[0].split()[2] in report["model"]


def test_everybodys_sets_are_measured_together_and_nothing_is_kept(judge: Judge) -> None:
    nothing = judge.run()
    assert nothing.exit_code == 1
    assert "evaluate import NAME FILE.csv" in nothing.output
    judge.filled()
    body = json.loads(judge.run("--json").output)[0]
    assert body["counted"]["queries"] == 2
    assert [each["language"] for each in body["languages"]] == ["en", "pt"]
    shown = judge.run()
    assert shown.exit_code == 0, shown.output
    assert shown.output.splitlines()[-1].startswith("3 vectors were compared")
    assert judge.run("reports", "pets", "--as", "bea", "--json").output.strip() == "[]"


def test_a_set_goes_out_as_it_came_in(judge: Judge) -> None:
    judge.filled()
    judge.send(HEADINGS, '"nobody\'s ""own"", yet",,,')
    out = judge.run("export", "pets", "--as", "bea").output
    assert out.splitlines()[0] == HEADINGS
    again = judge.send(*out.splitlines(), name="copy")
    assert again.exit_code == 0, again.output
    assert judge.run("export", "copy", "--as", "bea").output.count("\n") == out.count("\n")
    listed = judge.run("list", "--as", "bea").output.splitlines()
    assert [line.split()[1:3] for line in listed[1:]] == [["copy", "3"], ["pets", "3"]]
    assert "is deleted" in judge.run("delete", "copy", "--as", "bea").output
    assert judge.run("run", "copy", "--as", "bea").exit_code == 1


def test_what_is_wrong_is_named_by_line_and_column_and_nothing_is_kept(judge: Judge) -> None:
    cat = judge.ids["cat-face.png"]
    sent = judge.send(
        HEADINGS,
        f"a cat,en,{cat},perhaps",
        f",en,{cat},good",
        "a cat,en,sticker,good",
        f"a cat,english!,{cat},good",
        f"a cat,en,{cat + 5000},good",
        f"a dog,en,{cat},good",
        f"a dog,en,{cat},bad",
        f"a dog,en,{cat}",
    )
    assert sent.exit_code == 1
    for told in (
        "line 2, column 'judgement': 'perhaps' is neither good nor bad",
        "line 3, column 'query': A query needs words",
        "line 4, column 'image': 'sticker' is neither an image's id nor a SHA-256",
        "line 5, column 'language': A language is a code",
        f"line 6, column 'image': There is no image {cat + 5000}",
        "line 8, column 'judgement': Line 7 says the opposite",
        "line 9, column 'judgement': The line has 3 fields and not 4",
    ):
        assert told in sent.output, sent.output
    # Not even the set.
    assert judge.run("list", "--as", "bea").output.splitlines()[1:] == []


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["query,image"], "line 1, column 'judgement': This column is missing"),
        ([f"{HEADINGS},note", "a,,,,"], "line 1, column 'note': There is no such column"),
        (["query,image,image,judgement"], "line 1, column 'image': This column stands there twice"),
        ([HEADINGS], "There is no query below the headings"),
        ([""], "line 1, column 'query': This column is missing"),
        ([HEADINGS, '"a cat,en,1,good'], "This is no CSV"),
        ([HEADINGS, "a\x00cat,en,1,good"], "line 2, column 'query'"),
        ([HEADINGS, *["a,en,x,good"] * 50], "There may be more."),
    ],
)
def test_a_file_that_is_none_of_ours_says_so(judge: Judge, lines: list[str], told: str) -> None:
    sent = judge.send(*lines)
    assert sent.exit_code == 1
    assert told in sent.output, sent.output
    assert len(sent.output.splitlines()) < 25


def test_files_of_spreadsheets_are_read(judge: Judge) -> None:
    cat = judge.ids["cat-face.png"]
    semicolons = f"Query;Language;Image;Judgement\r\na cat, red;en;{cat};good\r\n"
    assert judge.send(semicolons, encoding="utf-8-sig").exit_code == 0
    tabs = f"query\timage\tjudgement\num gatinho é\t{cat}\tyes\n"
    assert judge.send(tabs).exit_code == 0
    latin = judge.send(tabs, encoding="latin-1")
    assert "line 2, column 'query': This is not UTF-8" in latin.output
    out = judge.run("export", "pets", "--as", "bea").output
    assert '"a cat, red",en' in out
    assert "um gatinho é,," in out


def test_images_of_others_are_like_none(judge: Judge) -> None:
    """The stickers are bea's own and private."""
    file = judge._file
    file.write_text(f"{HEADINGS}\na cat,en,{judge.ids['cat-face.png']},good\n")
    sent = judge.run("import", "mine", str(file))
    assert "There is no image" in sent.output
    file.write_text(f"{HEADINGS}\na cat,en,{judge.hashes['cat-face.png']},good\n")
    assert "There is no image" in judge.run("import", "mine", str(file)).output


def test_verdicts_fill_a_set(judge: Judge) -> None:
    with judge.runtime.transaction() as session:
        for name, accepted in (("cat-face.png", True), ("boar.png", False)):
            give_feedback(
                session,
                user_id=judge.shelf.bea,
                sha256=judge.hashes[name],
                theme="Cats",
                accepted=accepted,
            )
    tried = judge.run("fill", "cats", "--as", "bea", "--dry-run")
    assert tried.exit_code == 0, tried.output
    assert tried.output.splitlines()[1].split() == ["cats", "1", "1", "created"]
    assert "Nothing was written." in tried.output
    assert judge.run("list", "--as", "bea").output.splitlines()[1:] == []
    filled = judge.run("fill", "cats", "--as", "bea", "--language", "en", "--theme", "CATS")
    assert filled.exit_code == 0, filled.output
    out = judge.run("export", "cats", "--as", "bea").output
    assert f"cats,en,{judge.ids['cat-face.png']},good" in out
    assert f"cats,en,{judge.ids['boar.png']},bad" in out


def test_a_filling_that_fails_and_one_that_is_dry_leave_no_set(judge: Judge) -> None:
    dry = judge.run("fill", "dry", "--as", "bea", "--dry-run")
    assert "Nothing was written." in dry.output
    failed = judge.run("fill", "failed", "--as", "bea", "--language", "?")
    assert failed.exit_code == 1
    assert "A language is a code" in failed.output
    assert judge.run("list", "--as", "bea").output.splitlines()[1:] == []
    # A number that was used up would show in the addresses of the next sets.
    judge.filled()
    listed = judge.run("list", "--as", "bea").output.splitlines()[1:]
    assert [line.split()[:2] for line in listed] == [["2", "pets"]]


def test_spaces_that_are_not_there_are_said(judge: Judge) -> None:
    judge.filled()
    absent = judge.run("--space", "nowhere")
    assert absent.exit_code == 1
    assert "no embedding space 'nowhere'" in absent.output
    caption = judge.run("run", "pets", "--as", "bea", "--space", "caption")
    assert caption.exit_code == 1
