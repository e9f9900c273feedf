"""The program `mirada` as it is started: settings, exit codes, and where there is no database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from console import COMMANDS
from console.program import program
from mirada.config import PROJECT_ROOT, SETTINGS_EXIT_CODE
from testing.servers.process import free_port

Started = subprocess.CompletedProcess[str]
Start = Callable[..., Started]
BIN = PROJECT_ROOT / "bin" / "mirada"
FLASK = [sys.executable, "-m", "flask", "--app", "wsgi"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def start(command: list[str], cwd: Path = PROJECT_ROOT, **settings: str) -> Started:
        environment = {
            "PATH": os.environ["PATH"],
            "MIRADA_ENV_FILE": os.devnull,
            "DATA_DIR": str(tmp_path / "data"),
            "CLIP_MODEL": "bundled",
            **settings,
        }
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)

    return start


def test_flask_has_every_command_of_the_program_that_works_on_the_database() -> None:
    assert {*program.commands} == {command.name for command in COMMANDS} | {"run", "worker", "mcp"}


def test_the_program_runs_in_any_folder_and_through_a_link(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "on path"
    folder.mkdir()
    (folder / "mirada").symlink_to(BIN)
    # A folder of this name where it is called must not be taken for the product.
    (folder / "console").mkdir()
    (folder / "console" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    path = f"{folder}:{os.environ['PATH']}"

    made = start([str(BIN), "db", "upgrade"], cwd=folder)
    listed = start(["mirada", "users", "key", "bea"], cwd=folder, PATH=path)

    assert (made.returncode, made.stdout) == (0, "The database is up to date.\n"), made.stderr
    # An answer without a log of what was loaded for it.
    searched = start([str(BIN), "search", "a cat"], cwd=folder)
    assert (searched.returncode, searched.stderr) == (0, "")
    assert searched.stdout.startswith("No image was found.\nThere is nothing to search: ")
    assert listed.returncode == 1
    assert listed.stderr.endswith(
        "Error: There is no user 'bea'. Create it: mirada users create bea\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        ["search", "a cat"],
        ["jobs", "list"],
        ["users", "list"],
        ["doctor"],
        ["db", "check"],
        ["usage", "show"],
        ["index", "status"],
    ],
    ids=" ".join,
)
def test_what_only_reads_makes_no_database_and_says_there_is_none(
    tmp_path: Path, command: list[str]
) -> None:
    run = CliRunner().invoke(program, command, env={"DATA_DIR": str(tmp_path / "data")})

    assert run.exit_code == 1
    assert f"There is no database yet: {tmp_path}/data/mirada.db does not exist." in run.output
    assert "Where the server runs with another DATA_DIR, set the same" in run.output
    assert run.output.endswith("bin/mirada db upgrade\n")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
@pytest.mark.parametrize(
    "command",
    [["db", "check"], ["db", "revision"], ["db", "upgrade"], ["users", "list"], ["restored"]],
    ids=" ".join,
)
def test_a_database_that_cannot_be_reached_is_one_sentence_with_its_address(
    tmp_path: Path, scheme: str, command: list[str]
) -> None:
    port = free_port()
    url = f"{scheme}://ana:sesame@127.0.0.1:{port}/mirada"

    run = CliRunner().invoke(
        program, command, env={"DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": url}
    )

    assert run.exit_code == 1
    assert run.output.endswith(
        f"Error: The database at 127.0.0.1:{port} cannot be reached: the connection was refused, so no "
        "database server listens there.\n"
    )
    assert "sesame" not in run.output


@pytest.mark.parametrize(
    "command",
    [
        [str(BIN), "search", "a cat"],
        [str(BIN), "run"],
        [str(BIN), "worker"],
        [*FLASK, "jobs", "list"],
        [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"],
        [sys.executable, "-m", "workers"],
        [sys.executable, "dev/demo.py"],
    ],
    ids=lambda command: " ".join(Path(word).name for word in command),
)
def test_every_program_ends_alike_when_settings_cannot_be_used(
    start: Start, command: list[str]
) -> None:
    run = start(command, PORT="no", WEB_THREADS="none")

    assert run.returncode == SETTINGS_EXIT_CODE
    told = run.stderr + run.stdout
    assert told.startswith("The settings cannot be used:\n")
    assert "PORT" in told
    assert "WEB_THREADS" in told
    assert "Traceback" not in told


def test_flask_reads_what_the_server_reads_and_no_file_of_the_folder_it_is_called_in(
    start: Start, tmp_path: Path
) -> None:
    inner = tmp_path / "above" / "called here"
    inner.mkdir(parents=True)
    (tmp_path / "above" / ".env").write_text("PORT=no\n")
    (inner / ".flaskenv").write_text("DATABASE_URL=oracle://elsewhere\nFLASK_APP=wsgi\n")
    (inner / "other.env").write_text("WEB_THREADS=none\n")
    flask = [*FLASK[:-1], str(PROJECT_ROOT / "wsgi.py"), "-e", "other.env"]

    made = start([*flask, "db", "upgrade"], cwd=inner)
    found = start([str(BIN), "users", "list"], cwd=inner)

    assert (made.returncode, made.stdout) == (0, "The database is up to date.\n"), made.stderr
    assert found.returncode == 0, found.stderr


def test_the_env_file_of_the_folder_of_mirada_is_read_in_any_folder(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=no\n")
    assert start([str(BIN), "db", "upgrade"], cwd=tmp_path).returncode == 0
    named = start([str(BIN), "db", "upgrade"], cwd=tmp_path, MIRADA_ENV_FILE=".env")
    assert named.returncode == SETTINGS_EXIT_CODE


def test_help_and_the_list_of_commands_need_no_settings(start: Start) -> None:
    assert start([str(BIN), "users", "create", "--help"], PORT="no").returncode == 0


def test_a_relative_folder_is_the_same_wherever_the_program_is_called(
    start: Start, tmp_path: Path
) -> None:
    below = os.path.relpath(tmp_path / "elsewhere", PROJECT_ROOT)

    assert start([str(BIN), "db", "upgrade"], cwd=tmp_path, DATA_DIR=below).returncode == 0

    assert (tmp_path / "elsewhere" / "mirada.db").exists()
    shutil.rmtree(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("command", "module"),
    [
        (["users", "list"], "console.users"),
        (["run"], "console.servers"),
        (["run"], "webapp.serving"),
        (["worker"], "workers.__main__"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_ctrl_c_while_modules_are_imported_ends_it_without_a_traceback(
    start: Start, tmp_path: Path, command: list[str], module: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import os, signal, sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
"""
    )
    run = start([str(BIN), *command], PYTHONPATH=str(tmp_path), PORT=str(free_port()))

    assert (run.returncode, run.stdout, run.stderr) == (130, "", "")


def test_ctrl_c_during_a_command_has_the_exit_code_of_shells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program.commands["run"], "callback", interrupted)
    assert CliRunner().invoke(program, ["run"]).exit_code == 130
