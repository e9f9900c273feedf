"""One child process of the decoder, as its parent handles it: start, ask with a deadline, kill."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import mirada

LENGTH = struct.Struct(">I")
"""The length of a frame's JSON in bytes; see `mirada.adapters.image_decoder.child`."""
PACKAGE_ROOT = Path(mirada.__file__).resolve().parent.parent
START_S = 30.0
"""Seconds until a child is ready: importing Pillow takes 0.1 s, much longer while a machine swaps."""
PIPE_BYTES = 1024 * 1024
"""Linux permits an unprivileged process this pipe size (pipe(7)); a picture needs fewer writes."""
FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit statuses after a signal by an administrator, a service manager or the kernel out of memory.
The child's own limits end it with others."""
MAX_HEADER_BYTES = 64 * 1024
"""Bytes of a reply's JSON, whose longest value is a sentence; a bound against a corrupted child."""
MAX_PAYLOAD_BYTES = 3 * 50_000_000
"""Bytes of the largest picture that is accepted, as RGB; a bound against a corrupted child."""


class ChildFailed(Exception):
    """The child died, was too slow, or sent a malformed reply."""


class ChildEnded(ChildFailed):
    """The child was ended from outside, so nothing is known about its picture."""


class DecoderProcess:
    """A running child process. One caller at a time; `kill` may be called from any thread."""

    def __init__(self, options: str) -> None:
        """Start the child and wait until it is ready.

        Args:
            options: the limits as JSON; see `mirada.adapters.image_decoder.child`.

        Raises:
            OSError, ChildFailed: it cannot be started.
        """
        self.answered = 0
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mirada.adapters.image_decoder.child", options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The environment is not inherited, because it holds passwords. The child stays in this
            # process group, so that killing the group kills it too.
            env={"PYTHONPATH": str(PACKAGE_ROOT), "PATH": os.defpath, "LANG": "C.UTF-8"},
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests = self._process.stdin.fileno()
        self._replies = self._process.stdout.fileno()
        self._is_broken = False
        # Where the user's quota of pipe memory is used up, the pipe keeps the usual 64 KiB.
        with suppress(OSError):
            fcntl.fcntl(self._replies, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            self._reply(time.monotonic() + START_S)
        except BaseException:
            self.kill()
            self.close_pipes()
            raise

    def is_usable(self) -> bool:
        """Return whether the child lives and has answered every request."""
        return not self._is_broken and self._process.poll() is None

    def ask(self, request: dict[str, Any], wall_s: float) -> tuple[dict[str, Any], bytearray]:
        """Send a request and return the reply's JSON object and its payload.

        Raises:
            ChildFailed: no answer within `wall_s` seconds, or the child died.
        """
        frame = json.dumps(request).encode()
        # An interruption leaves half a message in the pipe.
        self._is_broken = True
        try:
            os.write(self._requests, LENGTH.pack(len(frame)) + frame)
        except OSError as error:
            raise ChildEnded(f"it was gone ({error.strerror})") from error
        reply = self._reply(time.monotonic() + wall_s)
        self._is_broken = False
        self.answered += 1
        return reply

    def kill(self) -> None:
        """Kill the child and wait for its end; harmless to repeat."""
        self._is_broken = True
        self._process.kill()
        self._process.wait()

    def close_pipes(self) -> None:
        """Close the pipes; call it when no thread reads them any more."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _reply(self, deadline: float) -> tuple[dict[str, Any], bytearray]:
        length = LENGTH.unpack(self._read(LENGTH.size, deadline))[0]
        if length > MAX_HEADER_BYTES:
            raise ChildFailed("it answered nonsense")
        header = json.loads(self._read(length, deadline))
        count = int(header["payload_bytes"])
        if not 0 <= count <= MAX_PAYLOAD_BYTES:
            raise ChildFailed("it answered nonsense")
        return header, self._read(count, deadline)

    def _read(self, count: int, deadline: float) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        position = 0
        while position < count:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                raise ChildFailed("it took too long")
            read = os.readv(self._replies, [view[position:]])
            if read == 0:
                self.kill()
                status = self._process.returncode
                raise (ChildEnded if status in FROM_OUTSIDE else ChildFailed)(
                    f"it died with status {status}"
                )
            position += read
        return data
