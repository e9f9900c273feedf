"""Ctrl-C while a process still imports: it ends at once, without the traceback of an import.

`python -m mirada.kernel.starting MODULE ARGUMENTS` runs a module as `python -m` does, guarded so until it
handles the signal itself.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from types import FrameType

INTERRUPTED_EXIT_CODE = 130


def leave_at_once_on_ctrl_c() -> None:
    """End the process with exit code 130 at Ctrl-C; where the signal is ignored, it stays so."""
    # Not by an exception: one that is raised in the middle of an import may be swallowed there.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def raise_on_ctrl_c() -> None:
    """Undo `leave_at_once_on_ctrl_c`: what is open is closed again."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED_EXIT_CODE)


def main() -> None:
    """Run the module that the arguments name."""
    leave_at_once_on_ctrl_c()
    module, *sys.argv[1:] = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
