"""One line per record, from our code and from libraries alike, with the request it belongs to."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from mirada.runtime import Runtime
from testing.fresh_python import Ran, fresh_python
from workers import logs


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_records_carry_the_request_and_come_out_as_json(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(runtime.settings.model_copy(update={"log_format": "json"}))
    with structlog.contextvars.bound_contextvars(request_id="r-1", job_id=7):
        logging.getLogger("mirada.something").info("done in %s s", 3)
        structlog.get_logger("webapp").info("request", path="/health", status=200)
    logging.getLogger("sqlalchemy.engine").info("chatter")

    first, second = lines(capsys.readouterr().err)

    assert (first["message"], first["request_id"], first["job_id"]) == ("done in 3 s", "r-1", 7)
    assert (first["level"], first["logger"]) == ("info", "mirada.something")
    assert (second["message"], second["path"], second["request_id"]) == (
        "request",
        "/health",
        "r-1",
    )


def test_errors_keep_their_traceback_on_one_line(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(runtime.settings.model_copy(update={"log_format": "json"}))
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("workers").exception("It broke")

    (line,) = lines(capsys.readouterr().err)

    assert "ValueError: odd" in str(line["exception"])


def test_the_level_is_the_settings(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(runtime.settings.model_copy(update={"log_level": "ERROR"}))
    logging.getLogger("mirada").warning("unheard")
    logging.getLogger("anything").warning("unheard")

    assert capsys.readouterr().err == ""


def test_a_library_that_repeats_itself_is_heard_once_a_minute(
    runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(runtime.settings.model_copy(update={"log_format": "json"}))
    for _ in range(5):
        logging.getLogger("dramatiq.worker").critical("No connection: %s", "refused")
        logging.getLogger("mirada").warning("Ours is heard each time")

    heard = [line["message"] for line in lines(capsys.readouterr().err)]

    assert heard.count("No connection: refused") == 1
    assert heard.count("Ours is heard each time") == 5


def _log_lines(stderr: int, stdin: int) -> None:
    """Start a process that logs on `stderr`, with `stdin`, and wait for its end."""
    code = (
        "import logging, structlog\n"
        "from mirada.config import Settings\n"
        "from workers import logs\n"
        "logs.configure(Settings.from_env())\n"
        "structlog.get_logger('webapp.access').info('request', method='GET', path='/x', status=200,"
        " duration_ms=12.3, user_id=1, request_id='r')\n"
        "logging.getLogger('mirada.db').info('The database is up to date')\n"
        "logging.getLogger('mirada.db').warning('It is slow')\n"
    )
    subprocess.run([sys.executable, "-c", code], stdin=stdin, stderr=stderr, check=True)


@pytest.mark.parametrize("where", ["a terminal", "a pipe of a terminal's command"])
def test_a_person_reads_short_lines(where: str, tmp_path: Path) -> None:
    terminal, theirs = pty.openpty()
    reading, writing = os.pipe()
    _log_lines(theirs if where == "a terminal" else writing, theirs)
    text = os.read(terminal if where == "a terminal" else reading, 10_000).decode()
    for each in (terminal, theirs, reading, writing):
        os.close(each)

    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r", "")
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in plain.splitlines()] == [
        "GET /x 200 in 12 ms",
        "The database is up to date",
        "[warning  ] It is slow",
    ]


@pytest.mark.parametrize("where", ["a file", "a pipe of a supervisor"])
def test_programs_read_json(where: str, tmp_path: Path) -> None:
    _, theirs = pty.openpty()
    reading, writing = os.pipe()
    with (tmp_path / "log").open("w+b") as file:
        if where == "a file":
            _log_lines(file.fileno(), theirs)
            text = (tmp_path / "log").read_text()
        else:
            _log_lines(writing, subprocess.DEVNULL)
            text = os.read(reading, 10_000).decode()

    assert [line["level"] for line in lines(text)] == ["info", "info", "warning"]


def test_importing_the_workers_loads_no_network_and_opens_nothing() -> None:
    code = "import workers.broker, workers.runner, workers.in_process, workers.doorbell"
    assert fresh_python(code, ("torch", "faiss", "open_clip")) == Ran([], [])
