"""`mirada doctor`: what it says, its exit codes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from mirada.db.models import utc_now
from mirada.doctor import examination, kinds
from mirada.embedding.index_rebuild import REBUILD_INDEX
from mirada.jobs import ledger
from mirada.kept_folders import QUARANTINE
from testing.console import run_command
from testing.worksite import Site
from workers.runner import run_job
from workers.sweeper import Sweeper

ORPHANS = [f"ab/ab/{'ab' * 32}-{number:08x}.png" for number in range(12)]


@pytest.fixture
def library(make_site: Callable[..., Site]) -> Site:
    site = make_site()
    job_id = site.upload(1).job_id
    assert job_id is not None
    run_job(site.runtime, job_id)
    return site


def doctor(site: Site, *options: str) -> Result:
    return run_command(site.runtime, "doctor", "--no-models", *options)


def words(result: Result) -> str:
    return " ".join(result.output.split())


def plant(site: Site, count: int = 1) -> list[Path]:
    planted = [site.runtime.settings.image_dir / name for name in ORPHANS[:count]]
    for path in planted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left")
    return planted


def test_all_is_well(library: Site) -> None:
    for options in ([], ["--deep"], ["--repair"]):
        found = doctor(library, *options)
        assert (found.exit_code, found.output) == (0, "All is well.\n")


def test_what_is_found_is_said_with_what_to_do(library: Site) -> None:
    planted = plant(library, 12)
    with library.runtime.transaction() as session:
        ledger.enqueue(session, REBUILD_INDEX, space_id=3).next_run_at_ms = 1

    found = doctor(library, "--min-age", "0")

    assert found.exit_code == 1
    said = words(found)
    assert f"orphan-original (12): {kinds.ORPHAN.means}" in said
    assert f"- images/{ORPHANS[0]}: 4 bytes" in said
    assert "and 2 more; all of them: bin/mirada doctor --json" in said
    assert "To move it into the quarantine: bin/mirada doctor --repair" in said
    assert "job-not-begun (1)" in said
    assert "All is well" not in said
    assert all(path.exists() for path in planted)


def test_a_repair_says_what_it_did_and_the_quarantine_is_emptied_by_a_second_command(
    library: Site,
) -> None:
    (planted,) = plant(library)

    repaired = doctor(library, "--repair", "--min-age", "0")

    assert repaired.exit_code == 0, repaired.output
    said = words(repaired)
    assert "orphan-original (1, 1 put right)" in said
    assert kinds.ORPHAN.done is not None
    assert kinds.ORPHAN.done in said
    assert "The quarantine holds 1 files (0.0 MB)." in said
    assert said.endswith("bin/mirada doctor --empty-quarantine All is put right.")
    day = utc_now().date().isoformat()
    aside = library.runtime.settings.image_dir / QUARANTINE / day / ORPHANS[0]
    assert (planted.exists(), aside.read_bytes()) == (False, b"left")

    # Nobody answers here, which is no yes.
    asked = doctor(library, "--empty-quarantine")
    assert (asked.exit_code, aside.exists()) == (1, True)
    assert "Erase 1 files (0.0 MB) for good?" in asked.output
    emptied = doctor(library, "--empty-quarantine", "--yes")
    assert (emptied.exit_code, aside.exists()) == (0, False)
    assert doctor(library, "--empty-quarantine").output == "The quarantine is empty.\n"
    assert library.statuses() == {"READY": 1}


def test_a_line_of_json_for_each_finding(library: Site) -> None:
    plant(library, 12)
    (library.runtime.settings.image_dir / "README").write_text("mine")

    def told(*options: str) -> tuple[int, list[dict[str, Any]]]:
        result = doctor(library, "--json", "--min-age", "0", *options)
        return result.exit_code, [json.loads(line) for line in result.output.splitlines()]

    code, (*found, summary) = told()
    assert code == 1
    assert sorted(each["subject"] for each in found) == sorted(
        ["images/README", *(f"images/{name}" for name in ORPHANS)]
    )
    first = next(each for each in found if each["kind"] == "orphan-original")
    assert first["detail"] == "4 bytes"
    assert (first["is_mended"], first["is_note"]) == (False, False)
    assert summary == {
        "found": {"foreign-file": 1, "orphan-original": 12},
        "mended": {},
        "is_well": False,
        "quarantine": {"files": 0, "bytes": 0},
    }
    code, (*_, summary) = told("--repair")
    assert code == 0
    assert summary["mended"] == {"orphan-original": 12}
    assert summary["quarantine"] == {"files": 12, "bytes": 48}
    code, (note, summary) = told()
    assert (code, note["kind"], note["is_note"], summary["is_well"]) == (
        0,
        "foreign-file",
        True,
        True,
    )


def test_so_much_that_the_settings_are_wrong_is_not_repaired(
    library: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "FEW", 2)
    planted = plant(library, 3)

    refused = doctor(library, "--repair", "--min-age", "0")

    assert refused.exit_code == 3
    assert "More than 2 files have no row in the database" in words(refused)
    assert "Where both are right, add --yes." in words(refused)
    assert all(path.exists() for path in planted)
    sure = doctor(library, "--repair", "--min-age", "0", "--yes")
    assert sure.exit_code == 0, sure.output
    assert not any(path.exists() for path in planted)


def test_pictures_are_not_marked_as_lost_while_a_volume_is_away(
    library: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "FEW", 0)
    images = library.runtime.settings.image_dir
    images.rename(images.with_name("elsewhere"))
    away = doctor(library, "--repair")
    assert away.exit_code == 1
    assert "The file store is not there; is its volume mounted?" in words(away)
    # Every process that starts makes its folder in the empty one that is there instead.
    (images / ".staging").mkdir(parents=True)

    refused = doctor(library, "--repair")

    assert refused.exit_code == 3
    assert "pictures have no file" in words(refused)
    assert library.statuses() == {"READY": 1}


def test_young_files_are_not_moved_beside_a_running_server(library: Site) -> None:
    (planted,) = plant(library)
    sweeper = Sweeper(library.runtime)
    sweeper.sweep()

    refused = doctor(library, "--repair", "--min-age", "0.5")

    assert refused.exit_code == 3
    assert "files that are younger than an hour may be at work" in words(refused)
    assert doctor(library, "--min-age", "0.5").exit_code == 0, "it may look"
    assert doctor(library, "--repair").exit_code == 0
    assert planted.exists()
    sweeper.stop()
    assert doctor(library, "--repair", "--min-age", "0").exit_code == 0
    assert not planted.exists()
