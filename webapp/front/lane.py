"""A thread that moves bytes of many connections at once, each for as long as its task allows."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Protocol

logger = logging.getLogger(__name__)

TICK_S = 0.5
"""How late a deadline may be noticed."""


class Task(Protocol):
    """What is to be done with one connection; every method is called by the lane's thread."""

    raw: socket.socket
    events: int

    def step(self) -> bool:
        """Move some bytes, and return whether that was all. Raises OSError."""
        ...

    def is_late(self, now_s: float) -> bool:
        """Return whether its time is over."""
        ...

    def hurry(self, until_s: float) -> None:
        """End at this monotonic time at the latest."""
        ...

    def end(self, *, is_done: bool) -> None:
        """Go on elsewhere: all is done, or it failed or came too late."""
        ...


class Lane:
    """The thread and its tasks."""

    def __init__(self) -> None:
        """Prepare; `start` begins."""
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._new: deque[Task] = deque()
        self._tasks: set[Task] = set()
        self._hurry_s = float("inf")
        self._thread = threading.Thread(target=self._run, name="front-lane", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def add(self, task: Task) -> None:
        """Take a task over; from any thread."""
        self._new.append(task)
        self._wake()

    def hurry(self, until_s: float) -> None:
        """End every task, also later ones, at this monotonic time at the latest."""
        self._hurry_s = until_s
        self._wake()

    def _wake(self) -> None:
        # A full pipe wakes as well.
        with suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def _run(self) -> None:
        next_tick_s = 0.0
        while True:
            for key, _ in self._selector.select(TICK_S):
                if key.data is None:
                    self._take_new()
                else:
                    self._step(key.data)
            now_s = time.monotonic()
            if now_s >= next_tick_s:
                next_tick_s = now_s + TICK_S
                self._end_late(now_s)

    def _take_new(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        while self._new:
            task = self._new.popleft()
            try:
                self._selector.register(task.raw, task.events, task)
            except (OSError, ValueError, KeyError):
                task.end(is_done=False)
                continue
            self._tasks.add(task)

    def _step(self, task: Task) -> None:
        try:
            is_done = task.step()
        except BlockingIOError:
            return
        except OSError:
            self._end(task, is_done=False)
            return
        except Exception:
            # The edge of the thread: one task must not end those of everybody else.
            logger.exception("A connection was given up")
            self._end(task, is_done=False)
            return
        if is_done:
            self._end(task, is_done=True)

    def _end_late(self, now_s: float) -> None:
        for task in list(self._tasks):
            if self._hurry_s < float("inf"):
                task.hurry(self._hurry_s)
            if task.is_late(now_s):
                self._end(task, is_done=False)

    def _end(self, task: Task, *, is_done: bool) -> None:
        self._tasks.discard(task)
        with suppress(OSError, ValueError, KeyError):
            self._selector.unregister(task.raw)
        task.end(is_done=is_done)
