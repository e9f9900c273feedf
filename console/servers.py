"""`mirada run`, `worker` and `mcp`: the processes that serve, each in the place of this one."""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import sys
from contextlib import closing

import click

from console.site import settings_in_force
from mirada.config import PROJECT_ROOT, Settings
from mirada.kernel.commands import command_line


@click.command("run")
@click.option("--typed", default=None, hidden=True, help="The line that was typed instead.")
def run(typed: str | None) -> None:
    """Serve HTTP, by Gunicorn; Ctrl-C stops it. Makes the database where there is none."""
    settings = settings_in_force()
    line = typed or command_line("run")
    require_free_port(settings, line)
    # It says on standard output when it is ready, for the person who typed this line.
    os.environ["MIRADA_ANNOUNCE"] = line
    _become("gunicorn", "-c", "gunicorn.conf.py", "wsgi:app")


@click.command("worker")
def worker() -> None:
    """Work on jobs beside the web server; needed where REDIS_URL is set."""
    settings_in_force()
    _become("workers")


@click.command("mcp")
@click.option("--server", default=None, help="Address of the server; that of these settings.")
@click.option("--write", is_flag=True, help="Also the tools that change something.")
@click.option("--http", "over_http", is_flag=True, help="Streamable HTTP in place of stdio.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where HTTP listens.")
@click.option("--port", default=8765, show_default=True, help="Where HTTP listens.")
@click.option("--host-name", multiple=True, help="A further name that callers may use.")
def mcp(
    server: str | None,
    write: bool,
    over_http: bool,
    host: str,
    port: int,
    host_name: tuple[str, ...],
) -> None:
    """Lend the library of a server that runs to agents, as tools of MCP (docs/agents.md).

    Over stdio the key is MIRADA_API_KEY; over HTTP each request brings its own.
    """
    address = server or settings_in_force().address
    flags = [name for name, is_on in (("--write", write), ("--http", over_http)) if is_on]
    names = [part for name in host_name for part in ("--host-name", name)]
    _become("agents", "--server", address, "--host", host, "--port", str(port), *flags, *names)


def require_free_port(settings: Settings, line: str) -> None:
    """Refuse where the server could not listen, before it migrates anything.

    Args:
        settings: say where it listens.
        line: the one to type again with another port.

    Raises:
        click.ClickException: the port is taken, or the address is not to be had.
    """
    is_ipv6 = ":" in settings.host
    with socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET) as probe:
        # As Gunicorn does: connections that have just ended do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise click.ClickException(why_not_listening(settings, error, line)) from None


def why_not_listening(settings: Settings, error: OSError, line: str) -> str:
    """Return the sentence for an address that could not be taken.

    Args:
        settings: say where the server was to listen.
        error: why it does not.
        line: the one to type again with another port.
    """
    if error.errno == errno.EADDRINUSE:
        other = settings.port + 1 if settings.port < 65535 else settings.port - 1
        return (
            f"Port {settings.port} is in use{_by_whom(settings)}. Choose another one: "
            f"PORT={other} {line}"
        )
    if error.errno == errno.EACCES:
        return f"This user may not listen on port {settings.port}. Choose one above 1023: PORT=8000 {line}"
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return (
        f"HOST={settings.host} is no address of this machine that a server can listen on ({reason}). "
        f"For this machine alone: HOST=127.0.0.1 {line}"
    )


def _by_whom(settings: Settings) -> str:
    """Return " by Mirada, ..." where it answers there, else ""."""
    try:
        with closing(http.client.HTTPConnection(settings.host, settings.port, timeout=1)) as there:
            there.request("GET", "/health/live")
            reply = there.getresponse()
            is_ours = reply.status == 200 and json.load(reply).get("status") == "alive"
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return ""
    return f" by Mirada, which answers at {settings.address} already" if is_ours else ""


def _become(module: str, *arguments: str) -> None:
    """Replace this process by a module's, in the folder of Mirada."""
    os.chdir(PROJECT_ROOT)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "mirada.kernel.starting", module, *arguments])  # noqa: S606
