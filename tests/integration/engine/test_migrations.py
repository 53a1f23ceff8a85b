"""Bringing the schema up: once, twice, two at a time; and the messages of what cannot be brought up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from tradeloop.errors import DatabaseUnreachable, SettingInvalid
from tradeloop.store import migrations as module
from tradeloop.store.database import Database
from tradeloop.store.migrations import migrate, migrations


@pytest.fixture
def empty_url(servers: dict[str, str]) -> Iterator[str]:
    """A database without our schema."""
    base, _, _ = servers["database_url"].rpartition("/")
    name = f"empty_{uuid4().hex[:12]}"
    with psycopg.connect(servers["administrator_url"], autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" OWNER tradeloop'.encode())
    yield f"{base}/{name}"
    with psycopg.connect(servers["administrator_url"], autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def test_a_second_migration_has_nothing_to_do(empty_url: str) -> None:
    names = [f"{migration.version:04d}_{migration.name}" for migration in migrations()]
    assert migrate(empty_url) == names
    assert migrate(empty_url) == []


async def test_of_two_migrations_at_once_each_step_is_applied_by_one(empty_url: str) -> None:
    applied = await asyncio.gather(*(asyncio.to_thread(migrate, empty_url) for _ in range(3)))
    assert sorted(len(names) for names in applied) == [0, 0, len(migrations())]


def test_no_two_migrations_have_one_number() -> None:
    numbers = [migration.version for migration in migrations()]
    assert numbers == sorted(set(numbers))


def test_a_file_that_was_changed_after_it_was_applied_is_refused(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty_url)
    first, *others = migrations()
    monkeypatch.setattr(module, "migrations", lambda: [replace(first, sql=first.sql + "-- later"), *others])
    with pytest.raises(SettingInvalid, match="migration 1 was changed after it had been applied"):
        migrate(empty_url)


def test_a_step_that_fails_leaves_nothing_behind(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrations()
    broken = replace(known[0], version=known[-1].version + 1, name="broken", sql="CREATE TABLE half (); SELECT 1/0")
    monkeypatch.setattr(module, "migrations", lambda: [*known, broken])
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_url)
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("SELECT to_regclass('tradeloop.half')").fetchone() == (None,)
    monkeypatch.undo()
    assert migrate(empty_url) == []


def test_a_schema_of_a_newer_release_is_refused(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(empty_url)
    known = migrations()
    monkeypatch.setattr(module, "migrations", lambda: known[:-1])
    with pytest.raises(SettingInvalid, match=f"is of a newer release.*migration {known[-1].version}"):
        migrate(empty_url)


def test_a_server_that_is_too_old_is_told_from_one_that_is_not(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OLDEST_SERVER", 990_000)
    with pytest.raises(SettingInvalid, match=r"PostgreSQL 1\d is too old; 99 or newer is expected"):
        migrate(empty_url)


def test_a_server_that_does_not_answer_is_unreachable() -> None:
    with pytest.raises(DatabaseUnreachable, match=r"PostgreSQL at 127\.0\.0\.1:1 did not answer: Connection refused"):
        migrate("postgresql://nobody@127.0.0.1:1/none")


async def test_a_database_without_our_schema_says_what_to_do(empty_url: str) -> None:
    async with Database(empty_url, size=1) as database:
        with pytest.raises(SettingInvalid, match="schema is not that of this release") as caught:
            await database.rows("SELECT * FROM work")
    assert caught.value.hint == "tradeloop db migrate"


async def test_a_statement_that_takes_too_long_is_an_outage_and_no_defect(database_url: str) -> None:
    async with Database(database_url, size=1) as database:
        await database.rows("SET statement_timeout = 50")
        with pytest.raises(DatabaseUnreachable, match="statement timeout"):
            await database.rows("SELECT pg_sleep(5)")
