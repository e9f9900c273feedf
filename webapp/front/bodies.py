"""Bodies of requests on their way in: in memory while they are small, in a file without a name after."""

from __future__ import annotations

import re
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

from webapp.front.refused import Refused

IN_MEMORY_BYTES = 64 * 1024
"""What one body may hold in memory: a thousand connections then hold 64 MB."""
MAX_SPOOLED_BYTES = 2 * 1024**3
"""What all bodies and replies of a process may hold in files, should nobody take them away."""
MAX_SIZE_LINE_BYTES = 256
MAX_TRAILER_BYTES = 8 * 1024
FREE_FRAMING_BYTES = 64 * 1024
MAX_FRAMING_RATIO = 4
"""Chunks of single bytes cost six times what they bring; RFC 9112 (7.1.1) asks for such a limit."""
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t -~\x80-\xff]*)?")


class Budget:
    """Counts the bytes in files of all connections of a process. Thread-safe."""

    def __init__(self, folder: Path | None = None, most_bytes: int = MAX_SPOOLED_BYTES) -> None:
        """Keep the folder of the files (None: the system's own) and the most bytes in them."""
        self.folder = folder
        self._left_bytes = most_bytes
        self._lock = threading.Lock()

    def take(self, byte_count: int) -> None:
        """Take room for bytes. Raises Refused (503) when there is none."""
        with self._lock:
            if byte_count > self._left_bytes:
                raise Refused(503, "Too many large requests are on their way; try again shortly.")
            self._left_bytes -= byte_count

    def give_back(self, byte_count: int) -> None:
        """Give room back."""
        with self._lock:
            self._left_bytes += byte_count


class Spool:
    """Bytes that are first written and then read, once; see the module."""

    def __init__(self, budget: Budget) -> None:
        """Begin empty."""
        self._budget = budget
        self._memory: bytearray | None = bytearray()
        self._file: IO[bytes] | None = None
        self._taken_bytes = 0
        self._read_to = 0
        self.byte_size = 0

    def write(self, data: bytes) -> None:
        """Add bytes. Raises Refused (503) when a file would take too much room, or the disk is full."""
        self.byte_size += len(data)
        if self._memory is not None:
            self._memory += data
            if len(self._memory) <= IN_MEMORY_BYTES:
                return
            data, self._memory = bytes(self._memory), None
        self._budget.take(len(data))
        self._taken_bytes += len(data)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._budget.folder)  # noqa: SIM115
            self._file.write(data)
        except OSError as error:
            raise _no_room() from error

    def rewind(self) -> None:
        """Begin to read. Raises Refused (503) when the disk turns out to be full."""
        try:
            if self._file is not None:
                self._file.seek(0)
        except OSError as error:
            raise _no_room() from error

    def read(self, most_bytes: int) -> bytes:
        """Return the next bytes, b"" at the end."""
        if self._file is not None:
            return self._file.read(most_bytes)
        assert self._memory is not None
        data = bytes(self._memory[self._read_to : self._read_to + most_bytes])
        self._read_to += len(data)
        return data

    def close(self) -> None:
        """Let go of memory and file; harmless to repeat."""
        if self._file is not None:
            # Closing writes what is still held back, and the disk may be full.
            with suppress(OSError):
                self._file.close()
        self._file, self._memory = None, bytearray()
        self._budget.give_back(self._taken_bytes)
        self._taken_bytes = 0


class Plain:
    """A body of known length."""

    def __init__(self, byte_count: int, into: Spool) -> None:
        """Expect `byte_count` bytes."""
        self._left_bytes = byte_count
        self._into = into

    @property
    def is_whole(self) -> bool:
        """Whether all of it is here."""
        return self._left_bytes == 0

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to the body, and return the rest."""
        mine = data[: self._left_bytes]
        self._into.write(mine)
        self._left_bytes -= len(mine)
        return data[len(mine) :]


class Chunked:
    """A body in chunks (RFC 9112, 7.1), taken apart; extensions and trailers are dropped."""

    def __init__(self, into: Spool, most_bytes: int) -> None:
        """Keep at most `most_bytes` + 1 bytes of it: enough for the application to refuse it."""
        self._into = into
        self._most_bytes = most_bytes
        self._buffer = b""
        self._at = 0
        self._chunk_left = 0
        self._needs_line_end = False
        self._in_trailers = False
        self._framing_bytes = 0
        self.is_whole = False
        self.is_cut = False

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to the body, and return the rest. Raises Refused (400)."""
        self._buffer, self._at = self._buffer[self._at :] + data, 0
        while not (self.is_whole or self.is_cut) and self._step():
            pass
        return self._buffer[self._at :] if self.is_whole else b""

    def _step(self) -> bool:
        """Return whether the next piece was there."""
        if self._at == len(self._buffer):
            return False
        if self._chunk_left:
            return self._take_data()
        return self._take_line_end() if self._needs_line_end else self._take_line()

    def _take_data(self) -> bool:
        piece = self._buffer[self._at : self._at + self._chunk_left]
        room = self._most_bytes + 1 - self._into.byte_size
        self._into.write(piece[:room])
        self.is_cut = len(piece) >= room
        self._at += len(piece)
        self._chunk_left -= len(piece)
        self._needs_line_end = self._chunk_left == 0
        return True

    def _take_line_end(self) -> bool:
        found = self._buffer[self._at : self._at + 2]
        if found == b"\r":
            return False
        if found != b"\r\n":
            raise _malformed("a chunk is longer than its size says")
        self._at += 2
        self._count_framing(2)
        self._needs_line_end = False
        return True

    def _take_line(self) -> bool:
        """Take a size line, or a line after the last chunk."""
        most = MAX_TRAILER_BYTES if self._in_trailers else MAX_SIZE_LINE_BYTES
        end = self._buffer.find(b"\r\n", self._at, self._at + most)
        line = self._buffer[self._at : self._at + most if end < 0 else end]
        if b"\n" in line or len(line) == most:
            raise _malformed("a line of its framing is too long or ends without CR LF")
        if end < 0:
            return False
        self._count_framing(len(line) + 2)
        self._at = end + 2
        if self._in_trailers:
            self.is_whole = not line
            return True
        found = _SIZE_LINE.fullmatch(line)
        if found is None:
            raise _malformed("a chunk has no hexadecimal size")
        self._chunk_left = int(found[1], 16)
        self._in_trailers = self._chunk_left == 0
        return True

    def _count_framing(self, byte_count: int) -> None:
        self._framing_bytes += byte_count
        if self._framing_bytes > FREE_FRAMING_BYTES + MAX_FRAMING_RATIO * self._into.byte_size:
            raise _malformed("its chunks are too small; send larger ones")


def _no_room() -> Refused:
    return Refused(503, "The disk has no room for this request; make room and try again.")


def _malformed(what: str) -> Refused:
    return Refused(
        400,
        f"The body is not valid chunked transfer coding (RFC 9112, 7.1): {what}. Nothing was done.",
    )
