"""The page on searches: every example in it can be pasted, and is answered."""

from __future__ import annotations

import itertools
import json
import shlex
from typing import Any

from mirada.config import PROJECT_ROOT
from testing.asking import Words
from testing.gallery import as_upload

HOST = "http://127.0.0.1:8000"
PAGE = PROJECT_ROOT / "docs" / "search.md"


def examples() -> list[list[str]]:
    lines = [line.strip() for line in PAGE.read_text().splitlines() if line.startswith("    curl ")]
    return [shlex.split(line, comments=True) for line in lines if "$" not in line]


def form_of(parts: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for part in parts:
        name, _, value = part.partition("=")
        is_file = value.startswith("@")
        fields[name] = as_upload((PROJECT_ROOT / value[1:]).read_bytes()) if is_file else value
    return fields


def test_every_example_is_answered(words: Words) -> None:
    for text in "abcdefghij":
        words.hang(text)
    asked = examples()
    assert len(asked) >= 8
    for arguments in asked:
        address = next(each for each in arguments if each.startswith(HOST)).removeprefix(HOST)
        parts = [value for flag, value in itertools.pairwise(arguments) if flag == "-F"]
        if "-d" in arguments:
            body = json.loads(arguments[arguments.index("-d") + 1])
            reply = words.client.post(address, json=body)
        elif parts:
            reply = words.client.post(address, data=form_of(parts))
        else:
            reply = words.client.get(address)
        assert reply.status_code in (200, 201), (arguments, reply.get_json())
        for each in (reply.get_json() or {}).get("answers", ()):
            assert each["status"] == 200, arguments
