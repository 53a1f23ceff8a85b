"""Roles and databases on a PostgreSQL server: ours and Airflow's, each with its own password."""

from __future__ import annotations

from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tradeloop.errors import DatabaseUnreachable, PrerequisiteMissing
from tradeloop.stack.ports import LOOPBACK

OLDEST_SERVER = 150_000
"""PostgreSQL 15: older ones lack what the queries use (UNIQUE NULLS NOT DISTINCT, MERGE)."""


def url(user: str, password: str, port: int, database: str) -> str:
    return f"postgresql://{user}:{password}@{LOOPBACK}:{port}/{database}"


def server_answers(address: str) -> bool:
    """Whether the server takes this account now."""
    try:
        with psycopg.connect(address, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def ensure_database(address: str, role: str, password: str) -> None:
    """Make a role and its database of the same name, unless both are there; `address` is a superuser's."""
    with psycopg.connect(address, autocommit=True) as connection:
        name = sql.Identifier(role)
        if not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(password)))
        if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", role):
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))


def check_own_server(address: str) -> str:
    """The version of a server from the settings, such as "16.4".

    Raises:
        DatabaseUnreachable: it does not answer, or not to this account.
        PrerequisiteMissing: it is older than PostgreSQL 15.
    """
    try:
        with psycopg.connect(address, connect_timeout=5) as connection:
            number = connection.info.server_version
    except psycopg.OperationalError as problem:
        raise DatabaseUnreachable(
            f"PostgreSQL at {_without_password(address)} did not answer: {str(problem).strip().splitlines()[-1]}.",
            where="read from TRADELOOP_DATABASE_URL",
        ) from problem
    version = f"{number // 10_000}.{number % 10_000}"
    if number < OLDEST_SERVER:
        raise PrerequisiteMissing(
            f"PostgreSQL at {_without_password(address)} is {version}; 15 or newer is needed.",
            where="read from TRADELOOP_DATABASE_URL",
            hint="leave the setting out, and tradeloop up starts its own",
        )
    return version


def ensure_sibling(address: str, suffix: str) -> str:
    """Make a second database beside that of `address`, owned by the same account; its address.

    Raises:
        PrerequisiteMissing: the account may not make databases; the hint is the statement for one who may.
    """
    parts = urlsplit(address)
    own = parts.path.lstrip("/") or (parts.username or "postgres")
    name = f"{own}_{suffix}"
    with psycopg.connect(address, autocommit=True) as connection:
        if not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", name):
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            except psycopg.errors.InsufficientPrivilege as problem:
                raise PrerequisiteMissing(
                    f"Airflow needs the database {name} on your PostgreSQL, and your account may not make it.",
                    hint=f"as its administrator: CREATE DATABASE {name} OWNER {parts.username}",
                ) from problem
    return urlunsplit(parts._replace(path=f"/{name}"))


def stored_head(address: str) -> str:
    """The revision that Alembic recorded in a database; empty when there is none."""
    with psycopg.connect(address, connect_timeout=5) as connection:
        if not _exists(connection, "SELECT 1 FROM pg_tables WHERE tablename = %s", "alembic_version"):
            return ""
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def _exists(connection: psycopg.Connection, query: LiteralString, value: str) -> bool:
    return connection.execute(query, (value,)).fetchone() is not None


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.hostname or 'localhost'}:{parts.port or 5432}"
