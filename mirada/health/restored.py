"""The work after a backup was restored by hand: ids and numbers that were given since are not given again.

Clients, caches and index files remember ids and change numbers of the time between the backup and the end.
The restored database knows nothing of them, and would give them to other pictures.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Connection,
    Table,
    column,
    delete,
    func,
    insert,
    inspect,
    select,
    table,
    text,
    update,
)

from mirada.db.memory_models import TextEmbedding
from mirada.db.models import (
    Base,
    ChangeCounter,
    Embedding,
    IndexSnapshot,
    Installation,
    Job,
    JobState,
    Lease,
)
from mirada.db.session import driver_errors_told, now_ms
from mirada.jobs import leases
from mirada.runtime import Runtime

RESTORATION = "restored"
"""The kind of the job that stands for the restoration where jobs cannot be numbered otherwise."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The database's new beginnings.

    Attributes:
        db_epoch: its identity from now on.
        above: ids and change numbers are higher than this.
    """

    db_epoch: str
    above: int


def go_on_after_backup(runtime: Runtime) -> Restored:
    """Give a restored database a new identity, and let its ids and change numbers go on above all before.

    They go on from the clock in milliseconds. So a second restoration, even of the same backup, begins above
    what was given after the first, unless a thousand a second were. JavaScript counts exactly to 9 x 10**15,
    which is five thousand times as much.

    Index snapshots of before are forgotten, and sessions end. It may be run again at any time; where it is
    cut short it has to be. No server may run meanwhile.

    Raises:
        Unavailable: the database cannot be reached, or its tables cannot be changed.
    """
    runtime.migrate()
    engine = runtime.database.engine
    with driver_errors_told(engine), engine.connect() as connection:
        above = _above_all(connection)
        # Read and done with: SQLite refuses at once to write on where others wrote since a reading began.
        connection.commit()
        for each in Base.metadata.sorted_tables:
            if "id" in each.columns and each.columns["id"].autoincrement is not False:
                _number_from(connection, each, above + 1)
        connection.commit()
    epoch = str(uuid.uuid4())
    with runtime.transaction() as session:
        session.execute(select(ChangeCounter.v).with_for_update())
        session.execute(update(ChangeCounter).values(v=above))
        session.execute(update(Installation).values(db_epoch=epoch))
        # Their files were made of another time's vectors; followers begin afresh without them.
        session.execute(delete(IndexSnapshot))
        if runtime.database.engine.dialect.name == "sqlite":
            session.execute(insert(Job).values(_restoration(above, epoch)))
    return Restored(epoch, above)


def is_in_use(runtime: Runtime) -> bool:
    """Return whether the database shows that a server or a worker is running on it.

    Each of them that works jobs sweeps, or waits to; one that was killed seems to run for half a minute. A
    dump that was made a moment ago shows the process of then. Raises Unavailable.
    """
    engine = runtime.database.engine
    with driver_errors_told(engine), engine.connect() as connection:
        has_leases = inspect(connection).has_table(Lease.__tablename__)
    if not has_leases:
        return False
    with runtime.reading() as session:
        running = select(Job.id).where(
            Job.state == JobState.RUNNING, Job.lease_until_ms >= now_ms()
        )
        return (
            leases.is_held(session, leases.SWEEPER) or session.scalar(running.limit(1)) is not None
        )


def _above_all(connection: Connection) -> int:
    """Return the time in milliseconds, or the largest number in use where a clock was ahead."""
    numbers = [
        *(each.columns["id"] for each in Base.metadata.sorted_tables if "id" in each.columns),
        ChangeCounter.v,
        Embedding.change_seq,
        TextEmbedding.change_seq,
    ]
    largest = (connection.execute(select(func.max(number))).scalar() or 0 for number in numbers)
    return max(int(connection.execute(select(now_ms())).scalar_one()), *largest)


def _number_from(connection: Connection, numbered: Table, first: int) -> None:
    """Let a table give this id to its next row; SQLite's only where it remembers what it has given."""
    match connection.dialect.name:
        case "sqlite":
            if numbered.dialect_options["sqlite"]["autoincrement"]:
                given = table("sqlite_sequence", column("name"), column("seq", BigInteger))
                connection.execute(delete(given).where(given.c.name == numbered.name))
                connection.execute(insert(given).values(name=numbered.name, seq=first - 1))
        case "postgresql":
            sequence = func.pg_get_serial_sequence(numbered.name, "id")
            connection.execute(select(func.setval(sequence, first, False)))
        case _:
            connection.execute(text(f"ALTER TABLE `{numbered.name}` AUTO_INCREMENT = {first}"))


def _restoration(above: int, epoch: str) -> dict[str, object]:
    # SQLite numbers jobs on from the largest one, and clients keep the addresses of jobs.
    return {
        "id": above + 1,
        "kind": RESTORATION,
        "same_work": f"{RESTORATION}:{epoch}",
        "arguments": {},
        "state": JobState.DONE,
        "next_run_at_ms": now_ms(),
        "finished_at_ms": now_ms(),
    }
