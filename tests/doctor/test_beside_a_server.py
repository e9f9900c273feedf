"""What is needed after all stays, or goes back: servers write while the doctor looks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from mirada import kept_folders
from mirada.doctor import kinds, originals
from mirada.doctor.examination import examine, forget_expired, require_plausible
from mirada.doctor.visit import Finding, Visit
from mirada.kept_folders import KEPT_DAYS, QUARANTINE, FoundFile, files_of, found_file
from testing.worksite import Site
from workers.sweeper import Sweeper

TODAY = datetime.now(UTC).date()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


def move(
    site: Site, root: Path, name: str, answers: Sequence[set[str]]
) -> tuple[list[Finding], FoundFile]:
    """Set a file aside while the database gives these answers to whether it is needed."""
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b"bytes")
    found = found_file(root, name)
    assert found is not None
    left = list(answers)
    visit = Visit.now(site.runtime, min_age_s=0, repairs=True)
    return list(visit.set_aside(root, kinds.ORPHAN, [found], lambda _: left.pop(0))), found


def test_what_is_needed_by_now_is_not_moved(site: Site, tmp_path: Path) -> None:
    findings, _ = move(site, tmp_path / "files", "a", [{"a"}, set()])

    assert findings == []
    assert (tmp_path / "files/a").read_bytes() == b"bytes"
    assert not (tmp_path / "files" / QUARANTINE).exists()


def test_what_is_needed_once_it_was_moved_goes_back(site: Site, tmp_path: Path) -> None:
    findings, _ = move(site, tmp_path / "files", "a", [set(), {"a"}])

    assert findings == []
    assert (tmp_path / "files/a").read_bytes() == b"bytes"
    assert kept_folders.quarantined(tmp_path / "files") == (0, 0)


def test_what_is_another_file_by_now_is_not_moved(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    found = found_file(tmp_path, "a")
    assert found is not None
    (tmp_path / "b").write_bytes(b"another")
    (tmp_path / "b").rename(tmp_path / "a")

    assert kept_folders.set_aside(tmp_path, found, TODAY) is None
    (tmp_path / "a").unlink()
    assert kept_folders.set_aside(tmp_path, found, TODAY) is None
    assert not (tmp_path / QUARANTINE).exists()


def test_two_files_of_one_name_are_both_kept(tmp_path: Path) -> None:
    places = []
    for content in (b"first", b"second"):
        (tmp_path / "a").write_bytes(content)
        found = found_file(tmp_path, "a")
        assert found is not None
        place = kept_folders.set_aside(tmp_path, found, TODAY)
        assert place is not None
        places.append(place.read_bytes())

    assert places == [b"first", b"second"]
    assert kept_folders.quarantined(tmp_path) == (2, 11)


def test_the_look_before_a_repair_reads_no_original(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.upload(1)
    read: list[Path] = []
    monkeypatch.setattr(originals, "_damage", lambda path, *_: read.append(path))
    deep = Visit.now(site.runtime, min_age_s=3600, repairs=True, is_deep=True)

    require_plausible(deep)
    assert read == []
    list(examine(deep))
    assert len(read) == 1


def test_uploads_beside_repairs_lose_nothing(site: Site) -> None:
    """Pictures come in while the doctor repairs again and again, with the age that it allows."""
    uploaded = threading.Event()
    visits: list[Finding] = []

    def repair() -> None:
        while not uploaded.is_set():
            visits.extend(examine(Visit.now(site.runtime, min_age_s=3600, repairs=True)))

    doctor = threading.Thread(target=repair)
    doctor.start()
    try:
        ids = [site.upload(seed).image_id for seed in range(12)]
    finally:
        uploaded.set()
        doctor.join()

    assert len(set(ids)) == 12
    assert not any(each.kind is kinds.MISSING for each in visits)
    found = list(examine(Visit.now(site.runtime, min_age_s=-3600, is_deep=True)))
    assert found == []


def test_only_one_folder_is_listed_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        folder = tmp_path / f"{number:02}" / "00"
        folder.mkdir(parents=True)
        (folder / "file").touch()
    listed: list[str] = []
    scandir = os.scandir

    def counted(path: Path) -> object:
        listed.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    files = files_of(tmp_path)

    assert next(files).name == "00/00/file"
    assert len(listed) == 3
    assert len(list(files)) == 39


def test_a_folder_that_cannot_be_read_is_told_and_the_others_are_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = site.runtime.settings.image_dir
    for name in ("aa", "bb"):
        (images / name).mkdir(parents=True)
        (images / name / "file.txt").touch()
    scandir = os.scandir

    def refused(path: Path) -> object:
        if str(path).endswith("/aa"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)

    found = list(examine(Visit.now(site.runtime, min_age_s=0)))

    assert [(each.kind, each.subject) for each in found] == [
        (kinds.FOREIGN, "images/bb/file.txt"),
        (kinds.UNREADABLE, "images/aa"),
    ]
    assert found[1].detail == "Permission denied."


def test_what_cannot_be_moved_is_told_and_stays(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(kept_folders, "set_aside", refused)
    findings, _ = move(site, tmp_path / "files", "a", [set(), set()])

    assert [(each.is_open, each.detail) for each in findings] == [
        (True, "It cannot be moved: Permission denied.")
    ]
    assert (tmp_path / "files/a").exists()


def test_the_quarantine_is_erased_after_its_days(site: Site) -> None:
    images = site.runtime.settings.image_dir

    def lies_since(days: int) -> Path:
        day: date = TODAY - timedelta(days=days)
        path = images / QUARANTINE / day.isoformat() / "ab" / "file"
        path.parent.mkdir(parents=True)
        path.touch()
        return path

    old, young = lies_since(KEPT_DAYS), lies_since(KEPT_DAYS - 1)
    other = images / QUARANTINE / "notes"
    other.mkdir()

    forget_expired(site.runtime)

    assert (old.exists(), young.exists(), other.exists()) == (False, True, True)


def test_a_worker_erases_it_once_a_day(site: Site) -> None:
    path = site.runtime.settings.data_dir / QUARANTINE / "2001-01-01" / "rows.jsonl"
    path.parent.mkdir(parents=True)
    path.touch()
    sweeper = Sweeper(site.runtime)
    sweeper._next_housekeeping = 0

    sweeper.sweep()
    sweeper.stop()

    assert not path.exists()
