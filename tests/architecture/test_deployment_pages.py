"""What docs/deployment.md and docs/moving/ tell people to type and to set is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mirada.config import PROJECT_ROOT, Settings

DOCS = PROJECT_ROOT / "docs"
FILES = DOCS / "deployment"
PAGE = (DOCS / "deployment.md").read_text()
MOVING = sorted(path for path in (DOCS / "moving").glob("*.md") if path.name != "README.md")
UNITS = sorted(FILES.glob("*.service"))
SETTINGS = {name.upper() for name in Settings.model_fields}


def _translated(page: str) -> dict[str, str]:
    """Return what each line of an old environment file becomes, by the line."""
    table = page.split("## The environment file, line by line")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", table, re.MULTILINE)
    return {there: here for there, here in rows if there not in ("There", "---")}


def test_there_is_a_page_for_each_of_the_five_systems() -> None:
    index = (DOCS / "moving" / "README.md").read_text()
    assert len(MOVING) == 5
    assert [page.name for page in MOVING if f"({page.name})" not in index] == []


@pytest.mark.parametrize("page", MOVING, ids=lambda page: page.stem)
def test_a_line_that_stays_as_it_is_names_a_setting(page: Path) -> None:
    translated = _translated(page.read_text())
    assert translated
    for there, here in translated.items():
        names = re.findall(r"`([A-Z][A-Z0-9_]+)(?:=[^`]*)?`", there)
        if here.startswith("as it is") or here.startswith("as they are"):
            assert names, there
            assert set(names) - {"CUDA_VISIBLE_DEVICES"} <= SETTINGS, there
        for name in re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", here):
            assert name in SETTINGS, f"{here} names {name}"


def test_the_environment_file_of_the_page_holds_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    written = re.search(r"^```\n(DB_HOST=.*?)```$", PAGE, re.MULTILINE | re.DOTALL)
    assert written is not None
    lines = dict(line.split("=", 1) for line in written.group(1).splitlines())
    assert set(lines) <= SETTINGS
    for name, value in lines.items():
        monkeypatch.setenv(name, value)
    assert Settings.from_env().url.get_backend_name() == "mysql"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    # The paths of the page are not there: a copy names a program that is.
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/srv/mirada/.venv/bin/python", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_run_what_the_containers_run(unit: Path) -> None:
    dockerfile_and_compose = (PROJECT_ROOT / "docker-compose.yml").read_text()
    command = re.search(r"^ExecStart=\S+/python (.+)$", unit.read_text(), re.MULTILINE)
    assert command is not None
    words = '", "'.join(["python", *command.group(1).split()])
    assert f'["{words}"]' in dockerfile_and_compose


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_takes_its_file(tmp_path: Path) -> None:
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=pictures.example",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    site = (FILES / "nginx.conf").read_text()
    site = re.sub(r"ssl_certificate .*;", f"ssl_certificate {tmp_path}/cert.pem;", site)
    site = re.sub(r"ssl_certificate_key .*;", f"ssl_certificate_key {tmp_path}/key.pem;", site)
    whole = tmp_path / "nginx.conf"
    whole.write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off;\n{site}\n}}\n"
    )
    done = subprocess.run(
        ["nginx", "-t", "-c", str(whole), "-p", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
