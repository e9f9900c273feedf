"""The house rules a machine can check: who imports whom, what an import costs, how long a module is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mirada.config import PROJECT_ROOT
from testing.fresh_python import fresh_python

MAX_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_PARAMETERS = 8
PRODUCT = ("agents", "mirada", "webapp", "workers", "console")
LONGER_FOR_A_REASON = {
    "mirada/runtime.py": "one object builds every port",
    "mirada/config.py": "one object holds every setting",
    "mirada/db/models.py": "one metadata holds every table",
    "mirada/db/visibility.py": "one page holds who may see what",
    "mirada/ports.py": "one page holds what the core needs from outside",
}


def _modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((PROJECT_ROOT / folder).rglob("*.py"))]


def test_arrows_point_down_only() -> None:
    found = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))],
        cwd=PROJECT_ROOT,
        env={"PYTHONPATH": str(PROJECT_ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("entry", ["import webapp, workers.broker", "import console.program"])
def test_importing_an_entry_point_loads_no_heavy_library(entry: str) -> None:
    heavy = [
        "torch",
        "torchvision",
        "faiss",
        "open_clip",
        "timm",
        "onnxruntime",
        "openai",
        "alembic",
    ]
    assert fresh_python(entry, heavy).loaded == []


@pytest.mark.parametrize("path", _modules(*PRODUCT, "benchmarks", "training"), ids=lambda p: p.name)
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    name = str(path.relative_to(PROJECT_ROOT))
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_LINES or name in LONGER_FOR_A_REASON, f"{name} has {lines} lines: split it"


def _functions(path: Path) -> list[ast.FunctionDef]:
    return [
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)
    ]


def _lines(function: ast.FunctionDef) -> int:
    """Return how many lines a function has, its docstring left out."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def test_no_function_is_longer_than_forty_lines() -> None:
    long = [
        f"{path.relative_to(PROJECT_ROOT)}: {function.name} has {_lines(function)}"
        for path in _modules(*PRODUCT)
        for function in _functions(path)
        if _lines(function) > MAX_FUNCTION_LINES
    ]
    assert long == []


def test_no_function_takes_more_than_eight_parameters() -> None:
    wide = [
        f"{path.relative_to(PROJECT_ROOT)}: {function.name}"
        for path in _modules(*PRODUCT)
        for function in _functions(path)
        if len(
            [
                argument
                for argument in [*function.args.args, *function.args.kwonlyargs]
                if argument.arg not in {"self", "cls"}
            ]
        )
        > MAX_PARAMETERS
    ]
    assert wide == []


def test_the_product_logs_and_never_prints_or_promises() -> None:
    unfinished = re.compile(r"^\s*print\(|NotImplementedError|\bTODO\b|\bFIXME\b", re.MULTILINE)
    found = [
        f"{path.relative_to(PROJECT_ROOT)}: {match.group().strip()}"
        for path in _modules(*PRODUCT)
        for match in unfinished.finditer(path.read_text())
    ]
    assert found == []


def test_only_tests_import_tests() -> None:
    imported = re.compile(r"^\s*(?:from|import) tests\b", re.MULTILINE)
    others = _modules(*PRODUCT, "benchmarks", "testing", "training", "dev", "migrations")
    assert [path for path in others if imported.search(path.read_text())] == []


def test_every_folder_of_tests_is_a_room_or_says_how_it_asks() -> None:
    from_outside = {"architecture", "browser", "clients", "compat", "e2e", "faults", "leaks"}
    rooms = {each.stem for top in ("mirada", "webapp") for each in (PROJECT_ROOT / top).iterdir()}
    found = {folder.name for folder in (PROJECT_ROOT / "tests").iterdir() if folder.is_dir()}
    assert found - {"__pycache__"} <= rooms | {*PRODUCT} | from_outside


def test_no_module_is_named_after_nothing() -> None:
    banned = {"utils", "helpers", "common", "manager", "handler", "misc"}
    assert [path for path in _modules(*PRODUCT) if path.stem in banned] == []


def test_the_tests_run_the_pins_that_production_runs() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (PROJECT_ROOT / name).read_text()
        return dict(re.findall(r"^([A-Za-z0-9_.\-]+)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE))

    light, runtime = pins("requirements-light.txt"), pins("requirements.txt")
    assert light.items() <= runtime.items() <= pins("requirements-dev.txt").items()
    # An address would tie every installation to one package index.
    for name in ("requirements-light.txt", "requirements.txt"):
        assert "://" not in (PROJECT_ROOT / name).read_text()


def test_the_light_set_is_all_but_pytorch_and_what_hangs_on_it() -> None:
    def named(file: str) -> set[str]:
        lines = (PROJECT_ROOT / file).read_text().splitlines()
        return {line.partition("==")[0].partition("[")[0] for line in lines if "==" in line}

    light, runtime = named("requirements-light.txt"), named("requirements.txt")
    torch = {"torch", "torchvision", "open-clip-torch", "transformers", "sentence-transformers"}
    assert torch <= runtime
    assert not light & {*torch, "timm", "triton", "safetensors", "scipy", "scikit-learn", "sympy"}
    assert [name for name in light if name.startswith(("nvidia", "cuda"))] == []
    customers = [
        "flask",
        "flask-smorest",
        "dramatiq",
        "redis",
        "sqlalchemy",
        "pymysql",
        "faiss-cpu",
        "numpy",
        "openai",
    ]
    assert light.issuperset(customers)


def test_nothing_is_trained_on_the_examination() -> None:
    training = PROJECT_ROOT / "training"
    sources = [*training.glob("*.py"), *training.glob("*.sh"), training / "requirements.txt"]
    told = {path.name for path in sources if "openmoji" in path.read_text().lower()}
    assert told <= {"evaluate.py", "card.py"}, "only what measures may name it"
