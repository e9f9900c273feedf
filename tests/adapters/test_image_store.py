"""The contract of an image store, run on every backend there is; and what only files can suffer."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirada.adapters.image_store.local import STAGING, LocalImageStore, _HashingWriter
from mirada.kernel.errors import InvalidInput, NotFound, StorageFull, Unavailable
from mirada.ports import ImageStore, StagedFile

KEY = "ab/cd/" + "0" * 64 + "-0123abcd.png"


@pytest.fixture(params=["local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    """A store that is empty."""
    return LocalImageStore(tmp_path / "images")


def staged(store: ImageStore, data: bytes = b"picture") -> StagedFile:
    file = store.stage()
    file.stream.write(data)
    return file


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# The contract


def test_the_hash_and_the_size_follow_every_write(store: ImageStore) -> None:
    file = store.stage()
    assert file.byte_size == 0
    assert file.sha256 == hashlib.sha256().hexdigest()
    for part in (b"one", bytes(3_000_000), memoryview(b"two")):
        assert file.stream.write(part) == len(part)
    data = b"one" + bytes(3_000_000) + b"two"
    assert file.byte_size == len(data)
    assert file.sha256 == hashlib.sha256(data).hexdigest()
    assert file.path.read_bytes() == data
    file.discard()


def test_what_is_committed_is_found_under_its_key(store: ImageStore) -> None:
    file = staged(store)
    store.commit(file, KEY)
    file.discard()
    assert store.path(KEY).read_bytes() == b"picture"


def test_a_key_never_changes_what_it_names(store: ImageStore) -> None:
    store.commit(staged(store), KEY)
    store.commit(staged(store, b"another"), KEY)
    assert store.path(KEY).read_bytes() == b"picture"


def test_what_is_discarded_is_gone(store: ImageStore) -> None:
    file = staged(store)
    path = file.path
    file.discard()
    file.discard()
    assert not path.exists()


def test_what_is_deleted_is_not_found_and_deleting_again_is_harmless(store: ImageStore) -> None:
    store.commit(staged(store), KEY)
    store.delete(KEY)
    store.delete(KEY)
    with pytest.raises(NotFound):
        store.path(KEY)


@pytest.mark.parametrize(
    "key",
    [
        *["", "/etc/passwd", "../a", "a/../b", "a//b", ".staging/x", "a/.b", "a\0b", "a\\b", "a/"],
        *["é", "a/" * 9 + "a", "x" * 300],
    ],
)
def test_a_key_cannot_leave_the_store(store: ImageStore, key: str) -> None:
    file = staged(store)
    for use in (store.path, store.delete, lambda key: store.commit(file, key)):
        with pytest.raises(InvalidInput, match="not the key"):
            use(key)
    file.discard()


def test_threads_that_commit_the_same_key_all_succeed(store: ImageStore) -> None:
    files = [staged(store) for _ in range(16)]
    threads = [threading.Thread(target=store.commit, args=(file, KEY)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.path(KEY).read_bytes() == b"picture"


def test_a_probe_leaves_nothing(store: ImageStore, tmp_path: Path) -> None:
    store.probe()
    assert files_below(tmp_path) == []


# Files


def test_nothing_stays_in_the_staging_folder(tmp_path: Path) -> None:
    store = LocalImageStore(tmp_path)
    store.commit(staged(store), KEY)
    store.commit(staged(store), KEY)
    staged(store).discard()
    assert files_below(tmp_path) == [KEY]


def test_what_a_crash_left_goes_after_a_day_and_not_earlier(tmp_path: Path) -> None:
    store = LocalImageStore(tmp_path)
    old, young = staged(store).path, staged(store).path
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    LocalImageStore(tmp_path)
    assert not old.exists()
    assert young.exists()


def test_the_file_and_its_folders_are_synced_before_commit_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    store = LocalImageStore(tmp_path)
    file = staged(store)
    path = str(file.path)
    monkeypatch.setattr(os, "fsync", noting)
    store.commit(file, KEY)
    assert synced[0] == path
    assert {str(tmp_path), str(tmp_path / "ab"), str(tmp_path / "ab/cd")} <= set(synced[1:])


def test_a_folder_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(Unavailable, match="file store"):
        LocalImageStore(blocked / "images")
    store = LocalImageStore(tmp_path / "images")
    (tmp_path / "images" / "ab").write_bytes(b"in the way")
    with pytest.raises(Unavailable):
        store.commit(staged(store), KEY)


def test_a_staging_folder_that_was_removed_comes_back(tmp_path: Path) -> None:
    store = LocalImageStore(tmp_path)
    (tmp_path / STAGING).rmdir()
    store.commit(staged(store), KEY)
    assert store.path(KEY).exists()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mounted)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode != 0:
        pytest.skip("only root may mount a small file system")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_a_full_disk_is_said_to_be_full_and_nothing_stays(full_disk: Path) -> None:
    store = LocalImageStore(full_disk)
    kept = staged(store)
    store.commit(kept, KEY)
    for size in (300_000, 5_000_000):
        file = store.stage()
        with pytest.raises(StorageFull, match="disk is full"):  # noqa: PT012
            for _ in range(size // 1_000):
                file.stream.write(bytes(1_000))
            # What still lay in the buffer shows only when it is needed.
            store.commit(file, KEY.replace("ab/", "ff/"))
        file.discard()
        assert files_below(full_disk) == [KEY]
    store.commit(staged(store), KEY.replace("ab/", "aa/"))
    assert store.path(KEY).read_bytes() == b"picture"


def test_a_limit_of_the_process_counts_as_a_full_disk(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from mirada.adapters.image_store.local import LocalImageStore\n"
        "from mirada.kernel.errors import StorageFull\n"
        f"store = LocalImageStore(Path({str(tmp_path)!r}))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "file = store.stage()\n"
        "try:\n"
        "    file.stream.write(bytes(200_000)); file.path\n"
        "except StorageFull:\n"
        "    file.discard(); store.probe(); print('full')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "full\n"
    assert files_below(tmp_path) == []


def test_a_writer_whose_file_could_not_be_opened_is_closed_without_trouble() -> None:
    # Python closes a stream whose __init__ raised; in its development mode it shows what that raises.
    half_made = _HashingWriter.__new__(_HashingWriter)

    half_made.close()

    assert half_made.closed
    with pytest.raises(OSError):
        _HashingWriter(Path("/nowhere/at/all"))
