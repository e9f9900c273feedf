"""What the C library is told about freed memory, and that it does as it is told."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from weakref import WeakSet

import pytest

from mirada.config import PROJECT_ROOT
from mirada.kernel import heap

FREED = """
import ctypes, sys
from mirada.kernel.heap import give_memory_back, settle
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def blocks(count, size):
    made = [libc.malloc(size) for _ in range(count)]
    for place in made:
        ctypes.memset(place, 1, size)
    return made

if sys.argv[1] == "told":
    give_memory_back()
# Whoever frees a large block teaches the library to keep blocks of that size.
for place in blocks(1, 30 * 2**20):
    libc.free(place)
before = resident_mb()
made, last = blocks(20, 2 * 2**20), blocks(1, 1000)
for place in made:
    libc.free(place)
print(resident_mb() - before)
"""


def _kept_mb(how: str, **environment: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", FREED, how],
        cwd=PROJECT_ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT_ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is not glibc")
def test_freed_blocks_go_back_to_the_system() -> None:
    assert _kept_mb("untold") > 30
    assert _kept_mb("told") < 3


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is not glibc")
def test_whoever_has_set_a_variable_of_the_library_has_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(heap, "_function", lambda name: lambda *of: asked.append(of))
    for name in heap.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    heap.give_memory_back()
    assert asked == [
        (heap.M_ARENA_MAX, 2),
        (heap.M_TRIM_THRESHOLD, 2**20),
        (heap.M_MMAP_THRESHOLD, 2**20),
    ]
    asked.clear()
    monkeypatch.setenv("MALLOC_ARENA_MAX", "8")
    heap.give_memory_back()
    assert (heap.M_ARENA_MAX, 2) not in asked


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert heap._function("no_such_function") is None
    monkeypatch.setattr(heap, "_function", lambda name: None)
    heap.give_memory_back()
    heap.settle()


def test_what_is_loaded_is_looked_through_no_more() -> None:
    # What earlier tests have left would be counted otherwise.
    gc.collect()
    gc.freeze()
    before = gc.get_freeze_count()
    kept = [[] for _ in range(100_000)]  # type: ignore[var-annotated]
    assert any(each is kept for each in gc.get_objects())
    heap.settle()
    # Threads of earlier tests let go of some that were counted before.
    assert gc.get_freeze_count() >= before + len(kept) // 2
    assert not any(each is kept for each in gc.get_objects())


class Hoard:
    def __init__(self) -> None:
        self.asked = 0

    def give_back(self) -> None:
        self.asked += 1


def test_models_may_be_loaded_while_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set that grows while it is gone through ends the thread that goes through it."""
    hoarders = Watched()
    monkeypatch.setattr(heap, "_hoarders", hoarders)
    kept = [Hoard() for _ in range(3)]
    for each in kept:
        heap.may_hoard(each)
    late = Hoard()
    loading = threading.Thread(target=heap.may_hoard, args=(late,))
    hoarders.during = lambda: (loading.start(), loading.join(0.2))
    heap.give_back_now()
    loading.join()
    assert [each.asked for each in kept] == [1, 1, 1]
    heap.give_back_now()
    assert late.asked == 1


class Watched(WeakSet[Hoard]):
    """Does something else between its first element and its second, as another thread would."""

    during: Callable[[], object] | None = None

    def __iter__(self) -> Iterator[Hoard]:
        for each in super().__iter__():
            yield each
            if self.during is not None:
                during, self.during = self.during, None
                during()
