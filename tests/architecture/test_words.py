"""Docstrings are understood at one reading: short sentences, each with its subject first."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

from mirada.config import PROJECT_ROOT

STRICT = (
    "benchmarks",
    "agents",
    "console",
    "gunicorn.conf.py",
    "mirada/adapters",
    "mirada/background.py",
    "mirada/captions",
    "mirada/classify",
    "mirada/config.py",
    "mirada/db",
    "mirada/drawing",
    "mirada/embedding",
    "mirada/evaluation",
    "mirada/events",
    "mirada/feedback",
    "mirada/file_metadata",
    "mirada/groups",
    "mirada/health",
    "mirada/jobs",
    "mirada/kernel",
    "mirada/language_model",
    "mirada/memory",
    "mirada/metrics",
    "mirada/people",
    "mirada/pictures",
    "mirada/ports.py",
    "mirada/runtime.py",
    "mirada/search",
    "training",
    "webapp/__init__.py",
    "webapp/api/__init__.py",
    "webapp/api/classification_replies.py",
    "webapp/api/classifications.py",
    "webapp/api/clusters.py",
    "webapp/api/comments.py",
    "webapp/api/drawing.py",
    "webapp/api/embeddings.py",
    "webapp/api/evaluation_reports.py",
    "webapp/api/evaluations.py",
    "webapp/api/feedback.py",
    "webapp/api/images.py",
    "webapp/api/indexes.py",
    "webapp/api/jobs.py",
    "webapp/api/likes.py",
    "webapp/api/metrics.py",
    "webapp/api/models.py",
    "webapp/api/session.py",
    "webapp/api/similar.py",
    "webapp/api/usage.py",
    "webapp/api/users.py",
    "webapp/callers",
    "webapp/compat/__init__.py",
    "webapp/compat/classifier.py",
    "webapp/compat/creative_memory.py",
    "webapp/compat/embedding_service.py",
    "webapp/compat/image_search.py",
    "webapp/http",
    "webapp/schemas",
    "webapp/serving.py",
    "workers",
    "wsgi.py",
)
"""Folders and files whose docstrings keep the rules. It only grows: when it names all of mirada, webapp and
workers, it becomes those three."""
MAX_WORDS = 30
"""Words of a sentence. Source: Cutts, "Oxford Guide to Plain English", chapter 1, asks for 15 to 20 on
average; this is the limit for each."""
HEADLESS = re.compile(r"(What|Which|Who|Whoever|Whom|Whose|This (function|method|class|module))\b")
"""Beginnings that hide the subject of a sentence or say nothing about it."""
NEW_SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[\"'(\[]*[A-Z0-9`])")
NEW_BLOCK = re.compile(r"\s*([\w*., ]+:(\s|$)|\d+\. |[-*] |Source:)")
"""A line that begins an entry of a list: an argument, a numbered step, a section of Google style."""

Docstring = tuple[str, str]
"""(place as FILE:LINE NAME, cleaned text)."""


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name == "__init__"


def _docstrings_of(path: str, node: ast.AST, name: str) -> Iterator[Docstring]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node, clean=False)
        if text is not None:
            yield f"{path}:{getattr(node, 'lineno', 1)} {name}", inspect.cleandoc(text)
    for child in node.body if isinstance(node, ast.Module | ast.ClassDef) else ():
        is_named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if is_named and _is_public(child.name):
            yield from _docstrings_of(path, child, f"{name}.{child.name}".lstrip("."))


def docstrings() -> list[Docstring]:
    found: list[Docstring] = []
    for room in STRICT:
        place = PROJECT_ROOT / room
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            path = str(file.relative_to(PROJECT_ROOT))
            found += _docstrings_of(path, ast.parse(file.read_text("utf-8")), "")
    return found


def sentences_of(text: str) -> list[str]:
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.strip() or NEW_BLOCK.match(line):
            blocks.append([])
        # Examples and drawn trees are not sentences.
        if line.strip() and not re.match(r"\s*(>>>|\.\.\.|[├│└])", line):
            blocks[-1].append(line.strip())
    found = [sentence for lines in blocks for sentence in NEW_SENTENCE.split(" ".join(lines))]
    return [sentence for sentence in found if sentence and not sentence.startswith("Source:")]


def words_of(sentence: str) -> int:
    return sum(any(char.isalnum() for char in word) for word in sentence.split())


def test_no_docstring_begins_without_its_subject() -> None:
    assert [place for place, text in docstrings() if HEADLESS.match(text)] == []


def test_no_sentence_of_a_docstring_is_long() -> None:
    long = [
        f"{place}: {words_of(sentence)} words: {sentence}"
        for place, text in docstrings()
        for sentence in sentences_of(text)
        if words_of(sentence) > MAX_WORDS
    ]
    assert long == []
