"""VECTOR_BACKEND chooses what searches; auto takes pgvector where it can be had and FAISS elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from unittest.mock import MagicMock

import psycopg
import pytest
from sqlalchemy import TextClause
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from mirada.config import InvalidSettings, Settings, VectorBackend
from mirada.db.pgvector.tables import why_not
from mirada.embedding.index_rebuild import graph_is_due
from mirada.kernel.errors import DatabaseRefused
from mirada.ports import IndexStatus
from mirada.runtime import Runtime
from testing.servers.postgresql import PostgreSqlServer
from testing.vector_library import Library, random_vectors

MakeRuntime = Callable[..., Runtime]


@pytest.fixture
def owners_url(pgvector: PostgreSqlServer) -> Iterator[str]:
    """URL of an empty database whose owner may make tables and no extension."""
    with pgvector.new_database() as name:
        pgvector.execute("DROP ROLE IF EXISTS plain_owner")
        pgvector.execute("CREATE ROLE plain_owner LOGIN")
        pgvector.execute(f"ALTER DATABASE {name} OWNER TO plain_owner")
        yield str(make_url(pgvector.url(name)).set(username="plain_owner"))


def test_auto_is_faiss_on_sqlite_and_others_are_as_told(make_runtime: MakeRuntime) -> None:
    for chosen, kind in (("auto", "faiss"), ("faiss", "faiss"), ("exact", "exact")):
        runtime = make_runtime(vector_backend=chosen)
        library = Library.create(runtime.database)
        assert runtime.index(library.space_id).status().backend == kind


def test_pgvector_without_postgresql_is_refused_with_the_settings() -> None:
    with pytest.raises(InvalidSettings, match="VECTOR_BACKEND: pgvector needs a DATABASE_URL"):
        Settings.from_env(vector_backend="pgvector")
    with pytest.raises(InvalidSettings, match="VECTOR_BACKEND"):
        Settings.from_env(vector_backend="milvus")


@pytest.mark.parametrize("chosen", ["auto", "pgvector"])
def test_on_postgresql_with_the_extension_it_is_pgvector(
    make_runtime: MakeRuntime, pgvector_url: str, chosen: str
) -> None:
    runtime = make_runtime(database_url=pgvector_url, vector_backend=chosen)
    library = Library.create(runtime.database)
    index = runtime.index(library.space_id)
    assert index.status().backend == "pgvector"
    # What commits from now on is found, by this process and by others, and tables stay the models'.
    library.add(random_vectors(5))
    assert index.status().live_count == 5
    assert runtime.schema_differences() == []
    told = make_runtime(database_url=pgvector_url, vector_backend="faiss")
    assert told.index(library.space_id).status().backend == "faiss"
    library.add(random_vectors(2))
    assert index.search(random_vectors(1), 9, scope_of_all())[0].permitted_count == 7


def scope_of_all() -> object:
    from testing.scopes import seen_by

    return seen_by(None)


def test_a_database_without_the_right_to_it_migrates_and_is_searched_by_faiss(
    make_runtime: MakeRuntime, owners_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    runtime = make_runtime(database_url=owners_url)
    library = Library.create(runtime.database)
    ids = library.add(random_vectors(4))
    assert runtime.index(library.space_id).status().backend == "faiss"
    assert "CREATE EXTENSION vector" in caplog.text
    runtime.close()
    refused = make_runtime(database_url=owners_url, vector_backend="pgvector")
    with pytest.raises(DatabaseRefused, match=r"VECTOR_BACKEND=pgvector cannot be kept.*EXTENSION"):
        refused.index(library.space_id)
    # An administrator makes it: the next start finds it, and copies what is there.
    administrator = make_url(owners_url).set(drivername="postgresql", username="postgres")
    with psycopg.connect(administrator.render_as_string(), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    again = make_runtime(database_url=owners_url)
    index = again.index(library.space_id)
    assert index.status().backend == "pgvector"
    [answer] = index.search(random_vectors(4)[2:3], 1, scope_of_all())
    assert [match.id for match in answer.matches] == [ids[2]]


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_server_that_goes_away_is_no_missing_right(is_gone: bool) -> None:
    connection = MagicMock()
    connection.dialect.name = "postgresql"

    def execute(statement: TextClause) -> MagicMock:
        if "CREATE EXTENSION" in statement.text:
            why = Exception("server closed the connection" if is_gone else "permission denied")
            raise OperationalError(statement.text, {}, why, connection_invalidated=is_gone)
        return MagicMock(**{"scalar_one_or_none.return_value": None, "first.return_value": (1,)})

    connection.execute = execute
    connection.begin_nested.return_value.__exit__.return_value = False
    if is_gone:
        with pytest.raises(OperationalError):
            why_not(connection)
    else:
        assert "permission denied" in str(why_not(connection))


def test_spaces_in_use_are_copied_when_the_program_starts(
    make_runtime: MakeRuntime, pgvector_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = make_runtime(database_url=pgvector_url, vector_backend="faiss")
    library = Library.create(runtime.database)
    library.add(random_vectors(30))
    pin(runtime, library)
    caplog.set_level(logging.INFO)
    again = make_runtime(database_url=pgvector_url)
    assert "30 vectors of the image space were copied for pgvector" in caplog.text
    assert again.backend(library.space_id) is VectorBackend.PGVECTOR


def pin(runtime: Runtime, library: Library) -> None:
    """Make a library's space the one that the installation searches."""
    from sqlalchemy import update

    from mirada.db.models import Installation

    with runtime.transaction() as session:
        session.execute(update(Installation).values(image_space_id=library.space_id))


@pytest.mark.parametrize(
    ("kind", "live", "changed", "said"),
    [
        ("none", 19_999, 0, None),
        ("none", 20_000, 0, "20000 vectors and no graph"),
        ("hnsw", 50_000, 20_000, None),
        ("hnsw", 50_000, 20_001, "20001 vectors changed since the graph was measured"),
    ],
)
def test_a_graph_is_due_at_size_and_after_many_changes(
    kind: str, live: int, changed: int, said: str | None
) -> None:
    status = IndexStatus("pgvector", 1, live, 0, changed, None, None, kind, {}, {})
    assert graph_is_due(status) == said
