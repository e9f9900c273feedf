"""Everything of others has a licence that the project accepts, and NOTICE tells of it."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys

import pytest

from mirada.config import PROJECT_ROOT

LICENCES = runpy.run_path(str(PROJECT_ROOT / "dev" / "licences.py"))
NOTICE = " ".join((PROJECT_ROOT / "NOTICE").read_text("utf-8").split())


def test_every_installed_package_has_a_licence_that_is_accepted() -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "dev" / "licences.py")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("expression", "is_allowed"),
    [
        ("MIT", True),
        ("MIT AND (Apache-2.0 OR GPL-3.0-only)", True),
        ("Apache-2.0 WITH LLVM-exception AND Zlib", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("AGPL-3.0-or-later", False),
        ("NVIDIA Proprietary Software", False),
        ("unstated", False),
        ("", False),
    ],
)
def test_expressions_are_read_as_spdx_means_them(expression: str, is_allowed: bool) -> None:
    assert LICENCES["is_allowed"](expression) is is_allowed


def test_a_package_that_is_named_keeps_the_licence_it_was_named_for() -> None:
    fault = LICENCES["fault"]
    assert fault("psycopg_binary", "LGPL-3.0-only") is None
    assert fault("psycopg", "AGPL-3.0-only") == "psycopg: AGPL-3.0-only"
    assert "take it out" in fault("dramatiq", "MIT")
    assert fault("nvidia-nvtx", "LicenseRef-NVIDIA-Proprietary") is None
    assert fault("other", "LicenseRef-NVIDIA-Proprietary") is not None


def test_the_notice_tells_of_every_package_that_is_no_permissive_one() -> None:
    assert [
        name for name in LICENCES["NAMED"] if name not in NOTICE and "nvidia-" not in name
    ] == []


def test_the_notice_tells_of_every_file_of_others() -> None:
    vendor = PROJECT_ROOT / "webapp" / "static" / "vendor" / "vendor.json"
    for name, it in json.loads(vendor.read_text()).items():
        assert re.search(
            rf"{name} {re.escape(it['version'])}, [^.]*\. ?[^.]*{it['licence']}", NOTICE
        )
    assert "Twemoji" in NOTICE


def test_the_notice_tells_of_everything_the_weights_were_learned_from() -> None:
    card = (PROJECT_ROOT / "models" / "stickers" / "README.md").read_text("utf-8")
    table = card.split("## Data, licences, attribution")[1]
    rows = re.findall(r"^\| ([\w/ .-]+?)[ ,:(|].*? \| (\S.*?) \| (.+?) \|$", table, re.MULTILINE)
    learned = [(name, licence) for name, licence, use in rows if "held out" not in use]
    assert len(learned) >= 15
    for name, licence in learned:
        if licence not in {"licence", "CC-BY-SA 4.0"}:
            first = name.split()[0]
            assert first in NOTICE, name
            assert licence.replace("WordNet licence", "WordNet licence") in NOTICE, licence


def test_the_licence_is_mit() -> None:
    assert (PROJECT_ROOT / "LICENSE").read_text().startswith("MIT License\n\nCopyright (c) ")
