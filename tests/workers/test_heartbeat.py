"""A worker that lives touches a file; one that hangs, or is gone, does not."""

from __future__ import annotations

import os
import time
from pathlib import Path

from testing.patience import PATIENCE_S, Stopwatch
from workers.heartbeat import HEARTBEAT_FILE, Heartbeat, is_beating


def test_a_live_worker_is_told_from_one_that_hangs_or_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    assert not is_beating(file)

    heartbeat = Heartbeat(file, every_s=0.05)
    heartbeat.start()
    watch = Stopwatch()
    while not is_beating(file):
        assert not watch.is_over(PATIENCE_S)
        time.sleep(0.01)
    long_ago = time.time() - 3600
    os.utime(file, (long_ago, long_ago))
    while not is_beating(file):
        assert not watch.is_over(PATIENCE_S)
        time.sleep(0.01)

    heartbeat.stop()
    assert not is_beating(file)
    file.touch()
    os.utime(file, (long_ago, long_ago))
    assert not is_beating(file)


def test_a_heartbeat_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path / "no" / "such" / "folder", every_s=0.01)
    heartbeat.start()
    time.sleep(0.05)
    heartbeat.stop()


def test_a_file_that_may_not_be_removed_keeps_no_worker_from_ending(tmp_path: Path) -> None:
    # As another user's file in /tmp: it is there, and neither touched nor removed.
    file = tmp_path / "alive"
    (file / "in the way").mkdir(parents=True)
    heartbeat = Heartbeat(file, every_s=0.01)
    heartbeat.start()
    assert heartbeat.stop()


def test_the_file_is_of_this_user_alone() -> None:
    assert str(os.getuid()) in HEARTBEAT_FILE.name
