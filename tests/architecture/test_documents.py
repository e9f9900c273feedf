"""What the documents say of the code's places is true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mirada.config import PROJECT_ROOT

DOCUMENTS = [
    PROJECT_ROOT / "README.md",
    PROJECT_ROOT / "CONTRIBUTING.md",
    *sorted((PROJECT_ROOT / "docs").glob("*.md")),
    *sorted((PROJECT_ROOT / "docs" / "decisions").glob("*.md")),
]
PLACES = (
    "agents",
    "console",
    "mirada",
    "webapp",
    "workers",
    "tests",
    "testing",
    "benchmarks",
    "training",
    "dev",
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_place_that_is_named_exists(document: Path) -> None:
    named = re.findall(rf"`((?:{'|'.join(PLACES)})/[\w./*-]*)`", document.read_text())
    gone = [name for name in named if not list(PROJECT_ROOT.glob(name.rstrip("/")))]
    assert gone == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_rooms_are_drawn_as_the_contracts_have_them() -> None:
    with (PROJECT_ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each.get("exhaustive"))
    held = [sorted(layer.split(" | ")) for layer in layers]
    text = (PROJECT_ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (`mirada/.+?) \|", text.split("## The rooms")[1], re.MULTILINE)
    drawn = [
        sorted(re.sub(r"mirada/|\.py", "", name) for name in re.findall(r"`([^`]+)`", row))
        for row in rows[: len(held)]
    ]
    assert drawn == held


def test_the_readme_stays_short() -> None:
    assert len((PROJECT_ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_decision_has_a_number_of_its_own_and_is_listed_in_order() -> None:
    folder = PROJECT_ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("0*.md"))
    numbers = [name[:4] for name in records]
    assert numbers == [f"{number:04}" for number in range(1, len(records) + 1)]
    listed = re.findall(r"^\| \[(\d{4})\]\((\S+)\)", (folder / "README.md").read_text(), re.M)
    assert listed == list(zip(numbers, records, strict=True))
