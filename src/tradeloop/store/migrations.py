"""Numbered SQL files, applied once, in order, under one lock."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg.rows import DictRow, dict_row

from tradeloop.errors import SettingInvalid
from tradeloop.store.database import OPTIONS, SCHEMA, unreachable

LOCK: Final = 0x74726164656C6F70
"""Two processes that migrate at once wait for each other by this advisory lock ("tradelop")."""
LOCK_POLL_S: Final = 0.1
OLDEST_SERVER: Final = 150_000
"""PostgreSQL 15: UNIQUE NULLS NOT DISTINCT does not exist before."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `store/sql`."""

    version: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """sha256 of the text; a file that was applied never changes."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations of this release, in order."""
    found = []
    for file in sorted(files("tradeloop.store").joinpath("sql").iterdir(), key=lambda f: f.name):
        number, _, name = file.name.removesuffix(".sql").partition("_")
        found.append(Migration(int(number), name, file.read_text()))
    return found


def migrate(database_url: str) -> list[str]:
    """Bring the schema up to this release; returns the names of what was applied.

    Raises:
        DatabaseUnreachable: no answer.
        SettingInvalid: the server is too old, the schema too new, or an applied file was changed afterwards.
    """
    try:
        with psycopg.connect(database_url, autocommit=True, options=OPTIONS, row_factory=dict_row) as connection:
            return _migrate(connection)
    except psycopg.OperationalError as problem:
        raise unreachable(database_url, problem) from problem


def _migrate(connection: psycopg.Connection[DictRow]) -> list[str]:
    if refusal := _refusal(connection.info.server_version, {}):
        raise SettingInvalid(refusal)
    connection.execute("SET statement_timeout = 0")  # an index on a large table takes what it takes
    # Not pg_advisory_lock: whoever waits in it holds a snapshot, for whose end LangGraph's CREATE INDEX CONCURRENTLY
    # in the other process waits in turn, and PostgreSQL ends one of the two as a deadlock.
    while connection.execute("SELECT pg_try_advisory_lock(%s) AS held", (LOCK,)).fetchone() != {"held": True}:
        time.sleep(LOCK_POLL_S)
    try:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}".encode())
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY, name text NOT NULL, "
            "digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = connection.execute("SELECT version, digest FROM schema_migrations").fetchall()
        applied = {row["version"]: row["digest"] for row in rows}
        if refusal := _refusal(connection.info.server_version, applied):
            raise SettingInvalid(refusal, hint="run the release that migrated this database, or a newer one")
        names = []
        for migration in migrations():
            if migration.version in applied:
                continue
            with connection.transaction():
                connection.execute(migration.sql.encode())
                connection.execute(
                    "INSERT INTO schema_migrations (version, name, digest) VALUES (%s, %s, %s)",
                    (migration.version, migration.name, migration.digest),
                )
            names.append(f"{migration.version:04d}_{migration.name}")
        PostgresSaver(connection).setup()  # LangGraph's own tables, in our schema
        return names
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """What a database has of this release's migrations."""

    server: str
    applied: list[str]
    pending: list[str]
    refusal: str = ""
    """Why `migrate` would do nothing at all; empty when it would go ahead."""


def status(database_url: str) -> SchemaStatus:
    """Which migrations were applied and which wait; changes nothing.

    Raises:
        DatabaseUnreachable: no answer.
    """
    try:
        with psycopg.connect(database_url, autocommit=True, options=OPTIONS, row_factory=dict_row) as connection:
            exists = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL AS found").fetchone()
            query = "SELECT version, digest FROM schema_migrations"
            rows = connection.execute(query).fetchall() if exists and exists["found"] else []
            number = connection.info.server_version
    except psycopg.OperationalError as problem:
        raise unreachable(database_url, problem) from problem
    done = {row["version"]: row["digest"] for row in rows}
    names = {m.version: f"{m.version:04d}_{m.name}" for m in migrations()}
    return SchemaStatus(
        server=f"PostgreSQL {number // 10_000}.{number % 10_000}",
        applied=[name for version, name in names.items() if version in done],
        pending=[name for version, name in names.items() if version not in done],
        refusal=_refusal(number, done),
    )


def _refusal(server_version: int, applied: dict[int, str]) -> str:
    """Why this release keeps its hands off a database; empty when it does not."""
    if server_version < OLDEST_SERVER:
        return f"PostgreSQL {server_version // 10_000} is too old; {OLDEST_SERVER // 10_000} or newer is expected"
    newest = max((migration.version for migration in migrations()), default=0)
    if ahead := [version for version in applied if version > newest]:
        return f"the schema is of a newer release: it has migration {max(ahead)}, this release has {newest}"
    for migration in migrations():
        if applied.get(migration.version, migration.digest) != migration.digest:
            return f"migration {migration.version} was changed after it had been applied"
    return ""
