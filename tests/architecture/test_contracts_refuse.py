"""The import contracts refuse what they are there to refuse."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mirada.config import PROJECT_ROOT

PACKAGES = ("agents", "console", "mirada", "webapp", "workers")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product's code with its contracts."""
    root = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(
            PROJECT_ROOT / package,
            root / package,
            ignore=lambda folder, names: [
                name
                for name in names
                if not name.endswith(".py") and not (Path(folder) / name).is_dir()
            ],
        )
    shutil.copyfile(PROJECT_ROOT / "pyproject.toml", root / "pyproject.toml")
    return root


def refusals(tree: Path) -> str:
    """Return what the contracts say of the tree; "" when they are kept."""
    found = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if found.returncode == 0 else found.stdout + found.stderr


def test_the_tree_as_it_is_keeps_them(tree: Path) -> None:
    assert refusals(tree) == ""


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("mirada/groups/grouping.py", "import torch", "torch"),
        ("mirada/adapters/encoders/onnx_encoder.py", "from open_clip import tokenize", "open_clip"),
        ("mirada/adapters/encoders/engines.py", "if TYPE_CHECKING:\n    import torch", "torch"),
        ("workers/attempt.py", "import transformers", "transformers"),
        ("mirada/search/by_vector.py", "from flask import request", "flask"),
        (
            "mirada/search/by_vector.py",
            "if TYPE_CHECKING:\n    from flask import request",
            "flask",
        ),
        (
            "webapp/api/models.py",
            "from mirada.adapters.image_store.local import LocalImageStore",
            "mirada.adapters",
        ),
        ("webapp/api/models.py", "from mirada.db.session import Database", "mirada.db.session"),
        ("mirada/kernel/images.py", "from mirada.db.session import Database", "mirada.db"),
        ("mirada/jobs/ledger.py", "from mirada.captions import job", "mirada.captions"),
        ("mirada/utils.py", '"""Anything."""', "utils"),
        ("mirada/misc/__init__.py", '"""Anything."""', "misc"),
    ],
)
def test_what_points_the_wrong_way_is_refused(tree: Path, file: str, line: str, said: str) -> None:
    path = tree / file
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\nfrom typing import TYPE_CHECKING\n\n{line}\n")
    try:
        assert said in refusals(tree)
    finally:
        if before is not None:
            path.write_text(before)
        elif path.name == "__init__.py":
            shutil.rmtree(path.parent)
        else:
            path.unlink()
