"""The decoder's child process: requests on stdin, replies on stdout, limits on memory and time.

It is run as `python -m mirada.adapters.image_decoder.child LIMITS_AS_JSON`. It ends when its stdin is
closed, so it never outlives its parent. A frame is a 4-byte big-endian length and so many bytes of
JSON. The JSON of a reply has the length of the payload that follows it.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

LENGTH = struct.Struct(">I")
"""The length of a frame's JSON in bytes."""
Reply = tuple[dict[str, Any], bytes]
"""(the JSON object of a reply, its payload)."""


def main() -> None:
    """Set the limits of this process, send an empty reply, then answer requests until stdin ends."""
    # Ctrl-C and a service manager's stop reach the whole process group, but the parent decides
    # when this process ends: it closes the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    options = json.loads(sys.argv[1])
    _limit(options["memory_bytes"])
    # A library that prints to stdout must not write between the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    answer = _answerer(options)
    _write(replies, {"ok": True}, b"")
    while (frame := requests.read(LENGTH.size)) and len(frame) == LENGTH.size:
        request = json.loads(requests.read(LENGTH.unpack(frame)[0]))
        _allow_cpu(options["cpu_s"])
        try:
            _write(replies, *answer(request))
        except BrokenPipeError:
            return


def _answerer(options: dict[str, Any]) -> Callable[[dict[str, Any]], Reply]:
    # Imported after the limits are set, because the picture library is the part not to be trusted.
    from mirada.adapters.image_decoder import animation, opening, pixels

    limits = opening.Limits(
        options["max_pixels"], options["max_side_px"], tuple(options["background"])
    )
    pixels.prepare(limits)

    def answer(request: dict[str, Any]) -> Reply:
        try:
            facts, payload = _work(request, limits)
            return {"ok": True, **facts}, payload
        except opening.Refused as error:
            return _refusal(error.kind, error.detail)
        except animation.StaysStill as error:
            return {"ok": True, "still": str(error)}, b""
        except pixels.TOO_MANY_PIXELS:
            return answer_too_large
        except FileNotFoundError:
            return _refusal("missing", "The picture's file is gone.")
        except MemoryError:
            return _refusal("corrupt", "The picture crashed its decoder or exceeded its limits.")
        except Exception as error:
            # Broken pictures make Pillow raise any error: struct.error, ValueError, KeyError and more.
            return _refusal("corrupt", f"The picture is truncated or damaged ({_reason(error)}).")

    refused = opening.too_large(limits)
    answer_too_large = _refusal(refused.kind, refused.detail)
    return answer


def _work(request: dict[str, Any], limits: Any) -> Reply:
    from mirada.adapters.image_decoder import animation, pixels, stickers
    from mirada.kernel.stickers import StickerForm

    path = request["path"]
    if request["verb"] == "inspect":
        found, generation, seen = pixels.inspect(path, limits, request["side_px"])
        said = b"" if generation is None else json.dumps(generation.to_json()).encode()
        return {**found, "parts": [len(said), len(seen)]}, said + seen
    if request["verb"] == "decode":
        return pixels.decode(path, request["side_px"], limits)
    if request["verb"] == "see":
        return pixels.see(path, request["side_px"], request["sides_px"][0], limits)
    if request["verb"] == "animation":
        return {}, animation.copied(path, limits)
    if request["verb"] == "sticker":
        return {}, stickers.made(path, StickerForm.from_json(request["form"]), limits)
    made = pixels.thumbnails(path, request["sides_px"], limits)
    return {"parts": [len(webp) for webp in made]}, b"".join(made)


def _refusal(kind: str, detail: str) -> Reply:
    return {"ok": False, "kind": kind, "detail": detail}, b""


def _reason(error: Exception) -> str:
    # Pillow puts the path of the file into some messages, which a client must not see.
    return type(error).__name__ if "/" in str(error) else str(error)[:200] or type(error).__name__


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The process writes no file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _allow_cpu(cpu_s: float) -> None:
    # The limit counts CPU time since the process began; SIGXCPU ends the process.
    soft = math.ceil(time.process_time() + cpu_s)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _write(replies: BinaryIO, header: dict[str, Any], payload: bytes) -> None:
    frame = json.dumps({**header, "payload_bytes": len(payload)}).encode()
    replies.write(LENGTH.pack(len(frame)) + frame)
    replies.write(payload)
    replies.flush()


if __name__ == "__main__":
    main()
