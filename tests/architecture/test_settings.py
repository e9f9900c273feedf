"""Every setting is documented and exemplified, and every fault is told at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mirada.config import (
    NOT_BUILT,
    PROJECT_ROOT,
    SETTINGS_EXIT_CODE,
    InvalidSettings,
    Settings,
)

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


def test_the_documented_meanings_are_the_descriptions_in_the_code() -> None:
    text = (PROJECT_ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| .+ \| \S+ \| (.+) \|$", text, re.MULTILINE)
    documented = {name: re.sub(r"\[([^]]*)\]\([^)]*\)|`", r"\1", meaning) for name, meaning in rows}
    assert documented == {
        name.upper(): (field.description or "").replace("`", "")
        for name, field in Settings.model_fields.items()
    }


def test_no_setting_is_read_nowhere() -> None:
    sources = [
        path.read_text()
        for folder in ("console", "mirada", "webapp", "workers")
        for path in (PROJECT_ROOT / folder).rglob("*.py")
        if path.name != "config.py"
    ]
    sources.append((PROJECT_ROOT / "gunicorn.conf.py").read_text())
    config = (PROJECT_ROOT / "mirada" / "config.py").read_text()
    unread = {
        name
        for name in Settings.model_fields
        if not any(f"settings.{name}" in source for source in sources)
        and f"self.{name}" not in config
    }
    assert unread == set()


def test_three_faults_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=eighty\nDATABASE_URL=oracle://db/mirada\nADAPTIVE_ALPHA=2\n")
    monkeypatch.setenv("MIRADA_ENV_FILE", str(env_file))

    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env()

    message = str(caught.value)
    assert all(name in message for name in ("PORT", "DATABASE_URL", "ADAPTIVE_ALPHA"))
    assert "docs/configuration.md" in message


def test_a_file_of_settings_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "latin").write_bytes(b"DB_USER=Jos\xe9\n")
    reasons = {
        "not there": "No such file or directory",
        ".": "Is a directory",
        "latin": "it is not UTF-8 text",
    }
    for name, reason in reasons.items():
        monkeypatch.setenv("MIRADA_ENV_FILE", str(tmp_path / name))
        with pytest.raises(InvalidSettings, match=f"MIRADA_ENV_FILE: .* cannot be read: {reason}"):
            Settings.from_env()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("PORT=8000\n\nAUTH_MODE: keys\n", [3]),
        ("nonsense\n", [1]),
        ("# a comment\r\n\r\n  AUTH MODE=keys\r\nexport AUTH_MODE\r\n", [3, 4]),
        ("AUTH_MODE:=keys\n", [1]),
        ('JWT_ISSUER="a\nb"\nAUTH_MODE="keys\n', [3]),
        ("export PORT = 8000 # usual\nLOG_LEVEL='info'\nDB_NAME=\n# end", []),
    ],
)
def test_a_line_that_sets_nothing_is_told_with_the_other_faults(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    text: str,
    lines: list[int],
) -> None:
    env_file = tmp_path / "mirada.env"
    env_file.write_bytes(text.encode())
    monkeypatch.setenv("MIRADA_ENV_FILE", str(env_file))

    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env(adaptive_alpha=2)

    told = re.findall(rf"^  {env_file}, line (\d+): expected NAME=value", str(caught.value), re.M)
    assert [int(line) for line in told] == lines
    assert "ADAPTIVE_ALPHA" in str(caught.value)
    assert "keys" not in str(caught.value)
    # The reader of the file would warn as well, several times.
    assert caplog.records == []
    if lines:
        with pytest.raises(InvalidSettings, match="expected NAME=value"):
            Settings.from_env()


@pytest.mark.parametrize("name", ["DB_USER", "DB_PASSWORD", "DB_NAME"])
def test_a_database_s_user_without_its_host_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "sesame")
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env(adaptive_alpha=2)
    told = str(caught.value)
    assert "  DB_HOST: it is not set, and neither is DATABASE_URL" in told
    assert f"or remove {name}\n" in told
    assert "sesame" not in str(caught.value)
    assert "ADAPTIVE_ALPHA" in str(caught.value)

    # The URL wins, as it does in docker-compose.yml, which passes these along.
    assert Settings.from_env(database_url="mysql://u:p@h/d").url.host == "h"
    monkeypatch.setenv(name, "")
    assert Settings.from_env().is_embedded


def test_a_database_s_host_needs_its_companions() -> None:
    with pytest.raises(InvalidSettings, match="DB_HOST: it needs DB_USER and DB_NAME as well"):
        Settings.from_env(db_host="db")
    with pytest.raises(InvalidSettings, match="DB_HOST: it needs DB_NAME as well"):
        Settings.from_env(db_host="db", db_user="mirada")
    for wrong in ("db..example", "ana@db"):
        with pytest.raises(InvalidSettings, match=r"DB_HOST: .* a host"):
            Settings.from_env(db_host=wrong, db_user="mirada", db_name="mirada")


def test_a_fault_never_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "oracle://scott:tiger@db/mirada")
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env()
    assert "tiger" not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gallery.example"])
def test_an_open_administrator_is_not_served_to_a_network_unasked(host: str) -> None:
    with pytest.raises(
        InvalidSettings, match=r"AUTH_MODE: HOST=.* act as the local user"
    ) as caught:
        Settings.from_env(host=host, adaptive_alpha=2)
    assert "ADAPTIVE_ALPHA" in str(caught.value)

    assert Settings.from_env(host=host, auth_mode="open").is_open_to_a_network
    assert not Settings.from_env(host=host, auth_mode="keys").is_open_to_a_network
    mysql = Settings.from_env(host=host, db_host="db", db_user="mirada", db_name="mirada")
    assert not mysql.is_open_to_a_network
    with pytest.raises(InvalidSettings, match="AUTH_MODE"):
        Settings.from_env(host=host, database_url="sqlite:////tmp/mirada.db")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.1.1", "::1", "localhost"])
def test_this_machine_alone_needs_no_key(host: str) -> None:
    settings = Settings.from_env(host=host)
    assert settings.effective_auth_mode == "open"
    assert not settings.is_open_to_a_network


def test_a_folder_to_import_that_does_not_exist_is_told_with_the_other_faults(
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidSettings, match="IMPORT_DIR: there is no folder") as caught:
        Settings.from_env(import_dir=tmp_path / "not_there", port=0)
    assert "PORT" in str(caught.value)


@pytest.mark.parametrize("name", NOT_BUILT)
def test_a_setting_that_is_not_built_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    with monkeypatch.context() as environment:
        environment.setenv(name.lower(), "120/minute")
        with pytest.raises(InvalidSettings) as caught:
            Settings.from_env(port=0)
    assert f"  {name}: {NOT_BUILT[name]} Remove it." in str(caught.value)
    # With whatever else is at fault.
    assert "PORT" in str(caught.value)
    env_file = tmp_path / "mirada.env"
    env_file.write_text(f"{name}=7\n")
    monkeypatch.setenv("MIRADA_ENV_FILE", str(env_file))
    with pytest.raises(InvalidSettings, match=name):
        Settings.from_env()
    env_file.write_text(f"{name}=\n")
    Settings.from_env()


def test_what_is_not_built_is_listed_and_no_setting_is_in_both_lists() -> None:
    docs = (PROJECT_ROOT / "docs" / "configuration.md").read_text()
    listed = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|$", docs, re.MULTILINE))
    assert listed == NOT_BUILT
    assert not NAMES & set(NOT_BUILT)
    example = (PROJECT_ROOT / ".env.example").read_text().split("--- Not built yet")[1]
    assert all(name in example for name in NOT_BUILT)


@pytest.mark.parametrize("url", ["s3://bucket/pictures", "file://pictures", "/pictures"])
def test_storage_that_is_not_built_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings, match=r"STORAGE_URL: expected file:///.*not built yet"):
        Settings.from_env(storage_url=url)


def test_an_older_limit_is_accepted_and_said_to_limit_nothing() -> None:
    assert Settings.from_env().remarks == []
    (remark,) = Settings.from_env(similarity_scan_limit=3000).remarks
    assert remark.startswith("SIMILARITY_SCAN_LIMIT=3000 limits nothing any more")


def test_a_key_is_one_word_and_never_shown() -> None:
    key = Settings.from_env(openai_api_key=" sk-0123\n").openai_api_key
    assert key is not None
    assert key.get_secret_value() == "sk-0123"
    for wrong in ("sk-a b SECRET", "sk-SECRET\r\nX-Evil: 1", "sk-chavé-SECRET"):
        with pytest.raises(InvalidSettings, match="OPENAI_API_KEY") as caught:
            Settings.from_env(openai_api_key=wrong)
        assert "SECRET" not in str(caught.value)


def test_prices_are_added_to_the_built_in_ones() -> None:
    assert Settings.from_env().prices.of("gpt-4o-mini") is not None
    prices = Settings.from_env(llm_prices_usd='{"llava": [0, 0], "gpt-4o-mini": [1, 2]}').prices

    assert prices.of("llava") is not None
    assert prices.of("gpt-4.1-mini-2025-04-14") == prices.of("gpt-4.1-mini")
    mini = prices.of("gpt-4o-mini")
    assert mini is not None
    assert mini.cost_micros(100, 10) == 120


@pytest.mark.parametrize(
    "wrong",
    [
        "gpt-4o-mini=0.15",
        "[]",
        '{"m": 1}',
        '{"m": [1]}',
        '{"m": [1, -2]}',
        '{"m": ["1", 2]}',
        '{"m": [NaN, 2]}',
        '{"m": [true, 2]}',
        '{"m": {"per_picture": 1}}',
    ],
)
def test_prices_that_are_none_are_told_at_the_start(wrong: str) -> None:
    with pytest.raises(InvalidSettings, match="LLM_PRICES_USD"):
        Settings.from_env(llm_prices_usd=wrong)


def test_pages_tell_one_exit_code_for_settings_that_cannot_be_used() -> None:
    pages = [PROJECT_ROOT / "README.md", *sorted((PROJECT_ROOT / "docs").glob("*.md"))]
    told = [
        number
        for page in pages
        for number in re.findall(r"(?:exit code|ends with status) (\d+)", page.read_text())
    ]
    assert told
    assert set(told) == {str(SETTINGS_EXIT_CODE)}
