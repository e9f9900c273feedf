"""The process behind a lease token: another process of the same machine can tell when it has died."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

MACHINE_CHARS = 8
PID_CHARS = 8


def _machine() -> str:
    # Process ids mean something within one boot and one namespace only: a container that was started
    # again has other ones. Where neither can be read, nobody is ever taken for dead.
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return secrets.token_hex(MACHINE_CHARS // 2)
    return hashlib.sha256((boot_id + namespace).encode()).hexdigest()[:MACHINE_CHARS]


MACHINE = _machine()


def this_process() -> str:
    """Return 16 hex digits that begin every lease token of this process."""
    return f"{MACHINE}{os.getpid():0{PID_CHARS}x}"


def is_dead(token: str) -> bool:
    """Return whether the process behind a lease token cannot be alive any more.

    Only ever true for a process of this machine and boot. A process id that is in use again counts
    as alive; its leases then simply run out.
    """
    if not token.startswith(MACHINE) or len(token) < MACHINE_CHARS + PID_CHARS:
        return False
    try:
        os.kill(int(token[MACHINE_CHARS : MACHINE_CHARS + PID_CHARS], 16), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return False
