"""A hub client that asks again at once, for processes whose hub is away on purpose."""

from __future__ import annotations

import time
from types import SimpleNamespace


def ask_again_at_once() -> None:
    """Let the hub's client count its attempts, but not rest between them: 1, 2, 4, 8 and 8 seconds."""
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    hurried = SimpleNamespace(**{**vars(time), "sleep": lambda _: None})
    for module in (_http, file_download):
        module.time = hurried  # type: ignore[assignment]
