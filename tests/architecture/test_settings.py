"""Every setting is documented and exemplified, and every fault is told at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mirada.config import PROJECT_ROOT, InvalidSettings, Settings

NAMES = {name.upper() for name in Settings.model_fields}


def test_every_setting_is_documented_and_nothing_else_is() -> None:
    text = (PROJECT_ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (.+) \| (\S+) \| (.+) \|$", text, re.MULTILINE)
    assert sorted(name for name, *_ in rows) == sorted(NAMES)


def test_every_setting_is_in_the_example_file_and_nothing_else_is() -> None:
    text = (PROJECT_ROOT / ".env.example").read_text()
    assert sorted(re.findall(r"^# ([A-Z0-9_]+)=", text, re.MULTILINE)) == sorted(NAMES)


def test_the_example_file_holds_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT_ROOT)
    defaults = Settings.from_env()
    text = (PROJECT_ROOT / ".env.example").read_text()
    uncommented = re.sub(r"^# ([A-Z0-9_]+=)", r"\1", text, flags=re.MULTILINE)
    env_file = tmp_path / ".env"
    env_file.write_text(uncommented)
    monkeypatch.setenv("MIRADA_ENV_FILE", str(env_file))

    from_example = Settings.from_env()

    for name in Settings.model_fields:
        expected, found = getattr(defaults, name), getattr(from_example, name)
        if isinstance(expected, Path):
            found = found.resolve()
        assert found == expected, name


def test_the_documented_defaults_are_the_defaults() -> None:
    text = (PROJECT_ROOT / "docs" / "configuration.md").read_text()
    example = (PROJECT_ROOT / ".env.example").read_text()
    in_example = dict(re.findall(r"^# ([A-Z0-9_]+)=(.*)$", example, re.MULTILINE))
    in_docs = dict(
        re.findall(r"^\| `([A-Z0-9_]+)` \| .+? \| (`[^`]*`|unset) \| .+ \|$", text, re.MULTILINE)
    )
    assert {name: value.strip("`").replace("unset", "") for name, value in in_docs.items()} == (
        in_example
    )


def test_three_faults_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=eighty\nDATABASE_URL=oracle://db/mirada\nADAPTIVE_ALPHA=2\n")
    monkeypatch.setenv("MIRADA_ENV_FILE", str(env_file))

    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env()

    message = str(caught.value)
    assert all(name in message for name in ("PORT", "DATABASE_URL", "ADAPTIVE_ALPHA"))
    assert "docs/configuration.md" in message


def test_a_fault_never_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "oracle://scott:tiger@db/mirada")
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env()
    assert "tiger" not in str(caught.value)
