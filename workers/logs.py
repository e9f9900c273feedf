"""The log of every process of Mirada: one line per record, with the request or job it belongs to."""

from __future__ import annotations

import logging
import os
import stat
import sys
import time
import warnings
from typing import Any

import structlog

from mirada.config import Settings

OURS = ("mirada", "webapp", "workers", "gunicorn")
"""Loggers that LOG_LEVEL applies to; libraries, and what they log on the root, speak from WARNING on."""
REPEAT_AFTER_S = 60.0


class OncePerMinute(logging.Filter):
    """Lets a library repeat the same complaint once a minute only; ours pass."""

    def __init__(self, prefix: str) -> None:
        """Apply to loggers whose name begins with `prefix`."""
        super().__init__()
        self._prefix = prefix
        self._passed_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        if not record.name.startswith(self._prefix):
            return True
        key = (record.name, str(record.msg))
        now = time.monotonic()
        if now - self._passed_at.get(key, float("-inf")) < REPEAT_AFTER_S:
            return False
        self._passed_at[key] = now
        return True


def configure(settings: Settings) -> None:
    """Set up logging for this process; harmless to repeat.

    Records of the standard library and of structlog come out alike, on standard error, with the
    values bound in `structlog.contextvars`: request_id, job_id, kind.
    """
    as_json = settings.log_format == "json" or (
        settings.log_format == "auto" and not is_read_by_a_person()
    )
    shared = _adding(as_json)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_rendering(as_json),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(OncePerMinute("dramatiq"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
    for name in OURS:
        logging.getLogger(name).setLevel(settings.log_level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    logging.captureWarnings(True)
    # Their authors' notes to each other; nothing an operator could act on.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(timm|open_clip|torch)\.")


def _adding(as_json: bool) -> list[Any]:
    """Return what adds its fields to every record."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True)
        if as_json
        else structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.processors.StackInfoRenderer(),
    ]


def is_read_by_a_person() -> bool:
    """Return whether the log goes to a terminal, or through a pipe of a command typed at one.

    A file is read by programs, and so is the pipe of a supervisor, which types nothing.
    """
    if sys.stderr.isatty():
        return True
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(sys.stderr.fileno()).st_mode)
        return is_pipe and os.isatty(0)
    except (OSError, ValueError):
        return False


def _for_a_person(_logger: Any, _method: str, event: Any) -> Any:
    """Leave out what a person at a terminal does not look for, and tell a request in one phrase."""
    if event["event"] == "request":
        words = (event.get(name) for name in ("method", "path", "status"))
        phrase = f"{' '.join(map(str, words))} in {event.get('duration_ms', 0):.0f} ms"
        return {"timestamp": event["timestamp"], "event": phrase}
    event.pop("logger", None)
    if event.get("level") in {"info", "debug"}:
        del event["level"]
        event.pop("request_id", None)
    return event


def _rendering(as_json: bool) -> list[Any]:
    if as_json:
        return [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    return [
        _for_a_person,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=0,
            # The default shows local variables, and with them settings and keys.
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]
