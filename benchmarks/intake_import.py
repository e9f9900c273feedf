"""The process of `benchmarks.intake` that imports a folder: ready first, then as it is told on its input."""

from __future__ import annotations

import sys
from pathlib import Path

from mirada.config import Settings
from mirada.people import users
from mirada.pictures.folder_import import import_folder
from mirada.runtime import Runtime
from workers import doorbell


def main() -> None:
    """Wait for a line, import, and stay until the input ends."""
    runtime = Runtime(Settings.from_env())
    runtime.migrate()
    doorbell.attach(runtime)
    with runtime.transaction() as session:
        owner_id = users.local_user(session).id
    print("ready", flush=True)
    sys.stdin.readline()
    outcome = import_folder(runtime, Path(sys.argv[1]), owner_id=owner_id, is_public=False)
    print(outcome.summary(), flush=True)
    sys.stdin.read()
    runtime.close()


if __name__ == "__main__":
    main()
