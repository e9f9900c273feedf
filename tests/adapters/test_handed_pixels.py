"""Pixels wait in files for a worker: once, of the size it wants, few, and not for long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from mirada.adapters.image_store import handed
from mirada.adapters.image_store.handed import MOST_BYTES, OLD_AFTER_S, WANTED, HandedPixels
from mirada.kernel.images import RgbImage

KEY = "ab/cd/abcd-1234.jpg"


@pytest.fixture
def pixels() -> RgbImage:
    return np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.fixture
def waiting(tmp_path: Path) -> HandedPixels:
    made = HandedPixels(tmp_path / "handed")
    made.want(32)
    return made


def files(waiting: HandedPixels) -> list[Path]:
    return [path for path in waiting._root.iterdir() if path.name != WANTED]


def test_what_is_left_is_taken_once(waiting: HandedPixels, pixels: RgbImage) -> None:
    assert waiting.put(KEY, 32, pixels)
    other = HandedPixels(waiting._root)  # as another process has it
    taken = other.take(KEY, 32)
    assert taken is not None
    assert np.array_equal(taken, pixels)
    assert other.take(KEY, 32) is None
    assert not files(waiting)


def test_pixels_for_another_encoder_are_not_taken_for_ours(
    waiting: HandedPixels, pixels: RgbImage
) -> None:
    assert waiting.put(KEY, 32, pixels)
    assert waiting.take(KEY, 64) is None
    assert not files(waiting)


@pytest.mark.parametrize("damage", [b"", b"RGB1", b"x" * 121])
def test_a_file_that_is_not_whole_is_nothing(
    waiting: HandedPixels, pixels: RgbImage, damage: bytes
) -> None:
    assert waiting.put(KEY, 32, pixels)
    (path,) = files(waiting)
    path.write_bytes(damage)
    assert waiting.take(KEY, 32) is None


def test_a_file_that_was_cut_off_is_nothing(waiting: HandedPixels, pixels: RgbImage) -> None:
    assert waiting.put(KEY, 32, pixels)
    (path,) = files(waiting)
    path.write_bytes(path.read_bytes()[:-1])
    assert waiting.take(KEY, 32) is None


def test_a_file_that_has_its_size_and_not_its_pixels_is_nothing(
    waiting: HandedPixels, pixels: RgbImage
) -> None:
    """As a power cut leaves one; its vector would be that of a black picture, for good."""
    assert waiting.put(KEY, 32, pixels)
    (path,) = files(waiting)
    content = path.read_bytes()
    path.write_bytes(content[: handed.HEAD.size] + bytes(len(content) - handed.HEAD.size))
    assert waiting.take(KEY, 32) is None


def test_large_pictures_are_not_kept(waiting: HandedPixels) -> None:
    assert not waiting.put(KEY, 32, np.zeros((1, MOST_BYTES // 3 + 1, 3), np.uint8))
    assert not files(waiting)


def test_few_wait_at_once_and_old_ones_make_room(
    waiting: HandedPixels, pixels: RgbImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed, "MOST_FILES", 2)
    assert waiting.put("a.jpg", 32, pixels)
    assert waiting.put("b.jpg", 32, pixels)
    assert not waiting.put("c.jpg", 32, pixels)
    long_ago = time.time() - OLD_AFTER_S - 1
    os.utime(waiting._root / "a.jpg.rgb", (long_ago, long_ago))
    assert waiting.put("c.jpg", 32, pixels)
    assert waiting.take("a.jpg", 32) is None
    assert waiting.take("b.jpg", 32) is not None


def test_old_ones_are_forgotten_and_what_workers_want_is_not(
    waiting: HandedPixels, pixels: RgbImage
) -> None:
    assert waiting.put("a.jpg", 32, pixels)
    assert waiting.put("b.jpg", 32, pixels)
    long_ago = time.time() - OLD_AFTER_S - 1
    for name in ("a.jpg.rgb", WANTED):
        os.utime(waiting._root / name, (long_ago, long_ago))
    assert waiting.forget_old() == 1
    assert [path.name for path in files(waiting)] == ["b.jpg.rgb"]
    assert waiting.wanted_side_px() == 32


def test_who_deletes_a_picture_removes_its_pixels(waiting: HandedPixels, pixels: RgbImage) -> None:
    assert waiting.put(KEY, 32, pixels)
    waiting.drop(KEY)
    waiting.drop(KEY)
    assert not files(waiting)


def test_without_a_worker_nothing_is_wanted(tmp_path: Path, pixels: RgbImage) -> None:
    waiting = HandedPixels(tmp_path / "none")
    assert waiting.wanted_side_px() is None
    assert not waiting.put(KEY, 32, pixels)
    assert waiting.take(KEY, 32) is None
    assert waiting.forget_old() == 0
    waiting.drop(KEY)


def test_the_last_worker_says_what_is_wanted(waiting: HandedPixels) -> None:
    other = HandedPixels(waiting._root)
    other.want(64)
    assert waiting.wanted_side_px() == 64
    (waiting._root / WANTED).write_bytes(b"?")
    assert waiting.wanted_side_px() is None


def test_a_folder_that_cannot_be_made_costs_a_second_decoding_alone(
    tmp_path: Path, pixels: RgbImage
) -> None:
    (tmp_path / "handed").write_bytes(b"a file")
    waiting = HandedPixels(tmp_path / "handed")
    waiting.want(32)
    assert waiting.wanted_side_px() is None
    assert not waiting.put(KEY, 32, pixels)
