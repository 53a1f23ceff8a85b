"""A PostgreSQL of the user's own: what is asked of it, and what is said when it cannot serve."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from tradeloop.errors import DatabaseUnreachable, PrerequisiteMissing
from tradeloop.stack import databases
from tradeloop.stack.databases import check_own_server, ensure_database, ensure_sibling, server_answers, stored_head

NOWHERE = "postgresql://me:secret@127.0.0.1:9/prices"


@pytest.fixture
def account(servers: dict[str, str]) -> Iterator[str]:
    """An account that may make nothing, with a database of its own; its address."""
    name = f"own_{uuid4().hex[:8]}"
    administrator = servers["administrator_url"]
    ensure_database(administrator, name, "secret")
    ensure_database(administrator, name, "secret")  # changes nothing
    yield administrator.rpartition("/")[0].rpartition("@")[2].join([f"postgresql://{name}:secret@", f"/{name}"])
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}_airflow WITH (FORCE)".encode())
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        connection.execute(f"DROP ROLE {name}".encode())


def test_a_server_that_is_there_tells_its_version(account: str) -> None:
    assert server_answers(account)
    assert int(check_own_server(account).partition(".")[0]) >= 15


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    assert not server_answers(NOWHERE)
    with pytest.raises(DatabaseUnreachable, match=r"PostgreSQL at 127\.0\.0\.1:9 did not answer") as refused:
        check_own_server(NOWHERE)
    assert "secret" not in f"{refused.value.message} {refused.value.where} {refused.value.hint}"


def test_a_server_that_is_too_old_is_refused(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "OLDEST_SERVER", 990_000)
    with pytest.raises(PrerequisiteMissing, match="15 or newer is needed"):
        check_own_server(account)


def test_airflows_database_is_made_beside_ours_or_asked_for(account: str, servers: dict[str, str]) -> None:
    with pytest.raises(PrerequisiteMissing, match="your account may not make it") as refused:
        ensure_sibling(account, "airflow")
    name = account.rpartition("/")[2]
    assert refused.value.hint == f"as its administrator: CREATE DATABASE {name}_airflow OWNER {name}"

    with psycopg.connect(servers["administrator_url"], autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {name} CREATEDB".encode())
    made = ensure_sibling(account, "airflow")
    assert made == ensure_sibling(account, "airflow") == f"{account}_airflow"
    assert server_answers(made)


def test_the_revision_that_alembic_recorded_is_read(account: str) -> None:
    assert stored_head(account) == ""
    with psycopg.connect(account, autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
        assert stored_head(account) == ""
        connection.execute("INSERT INTO alembic_version VALUES ('1b2c')")
    assert stored_head(account) == "1b2c"
