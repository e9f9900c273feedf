"""Commands that messages and documents name exist, and can be pasted as they stand."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator

import click

from console.program import program
from mirada.config import PROJECT_ROOT

CODE = ("agents", "console", "mirada", "webapp", "workers")
NAMES_THE_PROGRAM = {"mirada/kernel/commands.py", "mirada/config.py"}
"""Settings are described alike in the code and in docs/configuration.md."""
OTHER_WAYS = re.compile(
    rf"flask --app|bin/flask|python -m workers\b(?!\.)|"
    rf"\bflask (?:{'|'.join(program.commands)})\b|"
    # In a container it is on PATH; elsewhere nothing says that it is.
    rf"(?<!exec web )(?<!exec worker )(?<![\w/.:-])mirada (?:{'|'.join(program.commands)})\b(?! \w+ing)"
)
ABOUT_FLASK = {
    "docs/configuration.md",
    "docs/architecture.md",
    "docs/decisions/0028-one-program-reads-what-the-server-reads.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
}
"""Documents that say what becomes of Flask's own program."""
LINE = re.compile(r"(?:bin/|exec \w+ )mirada((?: +[^\s`;,()|]+)+)")


def _documents() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md", "*.yml", "*.sh", "Makefile", "Dockerfile", ".env.example"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        yield name, (PROJECT_ROOT / name).read_text("utf-8")


def _messages() -> Iterator[tuple[str, str]]:
    """Yield (file, text) of every string in the code that is no docstring."""
    for folder in CODE:
        for path in sorted((PROJECT_ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
                if is_text and id(node) not in alone:
                    yield str(path.relative_to(PROJECT_ROOT)), str(node.value)


def _named_by_code() -> Iterator[tuple[str, str]]:
    """Yield (file, arguments) of every call of `command_line`; what is computed becomes X."""
    for folder in CODE:
        for path in sorted((PROJECT_ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "command_line":
                    (given,) = node.args
                    parts = given.values if isinstance(given, ast.JoinedStr) else [given]
                    text = [
                        str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts
                    ]
                    if text != ["X"]:
                        yield str(path.relative_to(PROJECT_ROOT)), "".join(text)


def fault(arguments: str) -> str | None:
    """Return what the program does not know of a line, None when it knows all of it."""
    words = arguments.split()
    found: click.Command = program
    while isinstance(found, click.Group):
        if not words or words[0].startswith("-"):
            break
        name = words.pop(0).strip("\"'.:")
        if name not in found.commands:
            return f"there is no command {name}"
        found = found.commands[name]
    options = {"--help", "-h", "--version"} | {
        each for it in found.params for each in [*it.opts, *it.secondary_opts]
    }
    # A line may name several options, and what follows a sentence's end is another sentence.
    unknown = [word for word in words if word.startswith("--") and word.strip(".:") not in options]
    return f"{found.name} does not know {unknown}" if unknown else None


def test_the_code_names_only_commands_that_exist() -> None:
    named = list(_named_by_code())
    assert len(named) >= 10
    assert [(file, line, fault(line)) for file, line in named if fault(line)] == []


def test_documents_name_only_commands_that_exist() -> None:
    lines = [(name, it) for name, text in _documents() for it in LINE.findall(text)]
    assert len(lines) >= 15
    faults = {(name, fault(line)) for name, line in lines if fault(line)}
    assert faults == set()


def test_documents_name_commands_as_they_can_be_pasted() -> None:
    found = {
        (name, match.group())
        for name, text in _documents()
        if name not in ABOUT_FLASK
        for match in OTHER_WAYS.finditer(text)
    }
    assert found == set()


def test_messages_name_commands_by_the_one_function() -> None:
    found = {
        (file, text)
        for file, text in _messages()
        if OTHER_WAYS.search(text) or ("bin/mirada" in text and file not in NAMES_THE_PROGRAM)
    }
    assert found == set()


def test_a_command_that_is_not_there_is_found() -> None:
    assert fault("users create ana --admin") is None
    assert fault("users make ana") == "there is no command make"
    assert fault("users create ana --root") == "create does not know ['--root']"
    assert OTHER_WAYS.search("run `flask --app wsgi db upgrade`")
    assert OTHER_WAYS.search("run mirada users list")
