"""The command that starts the tools: in a process of its own, with the address of the server."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from click.testing import CliRunner

from agents import __main__ as agents
from console import servers

OPTIONS = ["--http", "--write", "--port", "1", "--host-name", "b"]
PASSED = ["--port", "1", "--write", "--http", "--host-name", "b"]


@pytest.mark.parametrize(
    ("typed", "passed"),
    [
        (
            ["--server", "http://127.0.0.1:9"],
            ["--server", "http://127.0.0.1:9", "--host", "127.0.0.1", "--port", "8765"],
        ),
        (
            ["--server", "http://a", *OPTIONS],
            [
                "--server",
                "http://a",
                "--host",
                "127.0.0.1",
                "--port",
                "1",
                "--write",
                "--http",
                "--host-name",
                "b",
            ],
        ),
    ],
)
def test_the_command_becomes_the_process_with_what_was_typed(
    monkeypatch: Any, typed: list[str], passed: list[str]
) -> None:
    became: list[tuple[str, ...]] = []
    monkeypatch.setattr(servers, "_become", lambda *arguments: became.append(arguments))
    done = CliRunner().invoke(servers.mcp, typed)
    assert done.exit_code == 0, done.output
    assert became == [("agents", *passed)]
    # The other side understands it.
    assert agents._parser().parse_args(passed).server == passed[1]


def test_what_is_no_address_is_refused_at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["agents", "--server", "file:///etc/passwd"])
    with pytest.raises(SystemExit, match="is no address of a server"):
        agents.main()
