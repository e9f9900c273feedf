"""A Python of its own that runs a few lines, and which modules it has loaded at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass

from testing.deployment import ROOT

PYTORCH = ("torch", "open_clip", "torchvision", "transformers", "timm", "onnx")
"""What the light install does without."""


@dataclass(frozen=True)
class Ran:
    """What came of it.

    Attributes:
        said: the lines on standard output.
        loaded: the modules that were looked for and are loaded, in the order they were named.
    """

    said: list[str]
    loaded: list[str]


def fresh_python(code: str, looked_for: Collection[str], **settings: str) -> Ran:
    """Run `code` in a fresh interpreter that finds this tree; fails where the code fails.

    Args:
        code: lines of Python.
        looked_for: modules whose loading is told.
        settings: environment variables beside this process's own.
    """
    told = "import json, sys\nprint(json.dumps([m for m in {names!r} if m in sys.modules]))"
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}\n{told.format(names=list(looked_for))}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    *said, loaded = ran.stdout.splitlines()
    return Ran(said, json.loads(loaded))
