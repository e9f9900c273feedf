"""Three of the demo's stickers in a runtime with the bundled encoder, for commands to work on."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from mirada.db.models import Job
from mirada.people import users
from mirada.pictures.folder_import import import_folder
from mirada.runtime import Runtime
from testing.deployment import ROOT
from workers.runner import JobRunner

STICKERS = ("cat-face.png", "avocado.png", "boar.png")


class Shelf:
    """Three of the demo's stickers, embedded; they are bea's own."""

    def __init__(self, runtime: Runtime, folder: Path) -> None:
        self.runtime = runtime
        for name in STICKERS:
            (folder / name).write_bytes((ROOT / "demo" / "stickers" / name).read_bytes())
        with runtime.transaction() as session:
            self.bea = users.create_user(session, "bea").id
        import_folder(runtime, folder, owner_id=self.bea, is_public=False)
        runner = JobRunner(runtime)
        while (job_id := self._due()) is not None:
            runner.run(job_id)

    def _due(self) -> int | None:
        with self.runtime.reading() as session:
            query = select(Job.id).where(Job.state == "queued").order_by(Job.id).limit(1)
            return session.execute(query).scalar_one_or_none()
