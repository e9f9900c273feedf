"""What people write for DATABASE_URL in other programs, as the URL that our drivers take."""

from __future__ import annotations

import re

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

EXAMPLE = "mysql+pymysql://user:password@host/database"
DRIVERS = {
    "mysql": "mysql+pymysql",
    "mysql2": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "pgsql": "postgresql+psycopg",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
}
"""The driver of ours for each name of a database, whatever driver stands behind a "+"."""
PYMYSQL_PARAMETERS = frozenset(
    {
        "bind_address",
        "charset",
        "read_default_file",
        "read_default_group",
        "server_public_key",
        "ssl_ca",
        "ssl_capath",
        "ssl_cert",
        "ssl_check_hostname",
        "ssl_cipher",
        "ssl_disabled",
        "ssl_key",
        "ssl_verify_cert",
        "ssl_verify_identity",
        "unix_socket",
    }
)
"""What may stand behind the "?"; time-outs and the first statement of a connection are ours."""
POSTGRESQL_TLS = {"true": "require", "false": "disable", "1": "require", "0": "disable"}
"""Values of asyncpg's and node's `ssl` as those of libpq's `sslmode`."""


def parse_database_url(written: str) -> URL:
    """Return the URL with a driver of ours.

    Args:
        written: such as "postgres://u:p@h/d", "mysql+aiomysql://..." or "sqlite:////data/x.db".

    Raises:
        ValueError: it cannot be used; the message says why and what to write, without the password.
    """
    try:
        url = make_url(written.strip())
        _ = url.port
        check_host(url.host or "")
    except (ArgumentError, ValueError) as error:
        raise ValueError(
            f"not a database URL; expected e.g. {EXAMPLE}. Write @ : / # % in a password as %40 %3A "
            "%2F %23 %25"
        ) from error
    driver = DRIVERS.get(url.drivername.partition("+")[0].lower())
    if driver is None:
        raise ValueError(
            f"{url.drivername}:// is none of the databases that are supported: MySQL, MariaDB "
            f"(mysql://), PostgreSQL (postgresql://) and SQLite (sqlite:///path)"
        )
    url = url.set(drivername=driver)
    if driver == "sqlite":
        return url
    if not url.database:
        raise ValueError(f"the URL names no database; expected e.g. {EXAMPLE}")
    return _with_our_parameters(url)


def check_host(name: str) -> None:
    """Raise ValueError for what the drivers could not even look up; an address is a host as well."""
    # What follows an @ of a password is read as the host, and no name has one.
    if "@" in name:
        raise ValueError("no name of a host has an @")
    try:
        name.encode("idna")
    except UnicodeError as error:
        raise ValueError("not the name of a host") from error


def _with_our_parameters(url: URL) -> URL:
    if url.get_backend_name() == "postgresql":
        tls = url.query.get("ssl")
        if tls is None:
            return url
        kept = {name: value for name, value in url.query.items() if name != "ssl"}
        mode = POSTGRESQL_TLS.get(str(tls).lower(), str(tls))
        return url.set(query={**kept, "sslmode": mode})
    unknown = sorted(url.query.keys() - PYMYSQL_PARAMETERS)
    if any(re.fullmatch(r"(use)?ssl[-_]?(mode|accept)?", name.lower()) for name in unknown):
        raise ValueError(
            f"the parameter {unknown[0]} belongs to another driver; for TLS write "
            "?ssl_ca=/path/to/the/authority.pem"
        )
    if unknown:
        raise ValueError(
            f"the parameter {unknown[0]} is not known for MySQL and MariaDB; known are "
            f"{', '.join(sorted(PYMYSQL_PARAMETERS))}"
        )
    return url
