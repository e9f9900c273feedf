"""`mirada mcp`: read what was asked for, and serve."""

from __future__ import annotations

import argparse
import os
import sys
from urllib.parse import urlsplit

LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]
KEY = "MIRADA_API_KEY"
MISSING = (
    "The package mcp is not installed. Install what agents need: "
    "pip install --require-hashes -r requirements-agents.txt"
)


def main() -> None:
    """Serve over stdio, or over HTTP with --http."""
    asked = _parser().parse_args()
    if urlsplit(asked.server).scheme not in ("http", "https"):
        sys.exit(
            f"{asked.server} is no address of a server. Name one such as http://127.0.0.1:8000"
        )
    try:
        from agents.api import Server
        from agents.server import Way, make_app, make_server
    except ModuleNotFoundError as error:
        sys.exit(f"{MISSING} ({error})")
    address = asked.server.rstrip("/")
    # Over HTTP each request brings the key of its own caller: one for all would lend its rights.
    way = Way(Server(address), address, None if asked.http else os.environ.get(KEY) or None)
    server = make_server(way, may_write=asked.write)
    if not asked.http:
        server.run("stdio")
        return
    import uvicorn

    names = [*LOOPBACK, *asked.host_name]
    uvicorn.run(make_app(server, names), host=asked.host, port=asked.port, log_level="warning")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("agents", description="Tools for agents, by MCP.")
    parser.add_argument("--server", required=True, help="address of a Mirada that runs")
    parser.add_argument("--write", action="store_true", help="also tools that change something")
    parser.add_argument("--http", action="store_true", help="streamable HTTP in place of stdio")
    parser.add_argument("--host", default="127.0.0.1", help="where HTTP listens")
    parser.add_argument("--port", type=int, default=8765, help="where HTTP listens")
    parser.add_argument(
        "--host-name", action="append", default=[], help="a further name that callers may use"
    )
    return parser


if __name__ == "__main__":
    main()
