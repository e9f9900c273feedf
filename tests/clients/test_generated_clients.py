"""Clients that people generate from the OpenAPI document: generated whole, type-checked, and used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.deployment import Web, deployed
from testing.generated import LISTS, node_tools, python_tools, run
from testing.pictures import picture

pytestmark = pytest.mark.drill


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A running server on the embedded database, which works its own jobs."""
    with deployed(tmp_path_factory.mktemp("clients")) as deployment:
        yield deployment.web()


@pytest.fixture(scope="module")
def document(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document as that server sends it."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(json.dumps(web.http.get("/openapi.json").json()))
    return path


@pytest.fixture(scope="module")
def node_project(pytestconfig: pytest.Config, document: Path) -> Path:
    """A project with the programs, and both clients of TypeScript generated and compiled."""
    project = node_tools(Path(pytestconfig.cache.mkdir("tools")))  # type: ignore[union-attr]
    for path in LISTS.glob("*.ts"):
        shutil.copy(path, project)
    shutil.copy(LISTS / "tsconfig.json", project)
    said = run("npx", "openapi-typescript", document, "-o", "mirada.d.ts", folder=project)
    said += run("npx", "openapi-ts", "-i", document, "-o", "hey", folder=project)
    assert "warn" not in said.lower(), said
    run("npx", "tsc", "--project", "tsconfig.json", folder=project)
    return project


def _picture(folder: Path, seed: int) -> Path:
    path = folder / f"{seed}.png"
    path.write_bytes(picture(seed, "PNG"))
    return path


@pytest.mark.parametrize(
    ("program", "seed"), [("use_openapi_fetch.js", 901), ("use_hey_api.js", 902)]
)
def test_clients_of_typescript_are_compiled_and_used(
    node_project: Path, web: Web, tmp_path: Path, program: str, seed: int
) -> None:
    built = node_project / "built" / program
    assert run("node", built, web.url, _picture(tmp_path, seed), folder=node_project) == "used\n"


def test_a_client_of_python_is_whole_checked_and_used(
    pytestconfig: pytest.Config, document: Path, web: Web, tmp_path: Path
) -> None:
    tools = python_tools(Path(pytestconfig.cache.mkdir("tools")))  # type: ignore[union-attr]
    said = run(
        tools / "openapi-python-client",
        *("generate", "--path", document, "--meta", "none"),
        *("--output-path", "mirada_client"),
        folder=tmp_path,
    )
    # Whatever it cannot read it leaves out, with a warning and the status 0.
    assert not {"Cannot", "Unsupported", "WARNING"} & set(said.split()), said
    shutil.copy(LISTS / "use_python_client.py", tmp_path)
    run(tools / "mypy", "--strict", "use_python_client.py", "mirada_client", folder=tmp_path)
    used = run(
        tools / "python", "use_python_client.py", web.url, _picture(tmp_path, 903), folder=tmp_path
    )
    assert used == "used\n"
