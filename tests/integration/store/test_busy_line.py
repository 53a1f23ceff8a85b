"""A connection of its own for one busy statement, on real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest

from tradeloop.errors import DatabaseUnreachable, SettingInvalid
from tradeloop.store import arrays
from tradeloop.store import database as database_module
from tradeloop.store.database import Database
from tradeloop.store.line import Line, positional

ONE, TWO = UUID(int=1), UUID(int=2)


@pytest.fixture
async def line(database_url: str) -> AsyncIterator[Line]:
    made = Line(database_url)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("argument", "kind", "told"),
    [
        (arrays.uuids([ONE, None, TWO]), "uuid[]", f"{{{ONE},NULL,{TWO}}}"),
        (arrays.texts(["a", 'b "quoted", \\', ""]), "text[]", '{a,"b \\"quoted\\", \\\\",""}'),
        (arrays.integers([-1, 2**31 - 1]), "integer[]", "{-1,2147483647}"),
        (arrays.bigints([-(2**63), 7]), "bigint[]", "{-9223372036854775808,7}"),
        (arrays.blobs([b"\x00\xff", None]), "bytea[]", '{"\\\\x00ff",NULL}'),
        (arrays.documents(['{"a": 1}', b"[2]", None]), "jsonb[]", '{"{\\"a\\": 1}",[2],NULL}'),
        (
            arrays.moments([datetime(1999, 12, 31, 23, 59, 59, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]),
            "timestamptz[]",
            '{"1999-12-31 23:59:59.000001+00","9999-12-31 00:00:00+00"}',
        ),
        (arrays.texts([]), "text[]", "{}"),
        (arrays.uuid(ONE), "uuid", str(ONE)),
        (arrays.text("é"), "text", "é"),
        (arrays.integer(-5), "integer", "-5"),
    ],
)
async def test_an_argument_means_to_postgres_what_was_written(
    line: Line, argument: arrays.Argument, kind: str, told: str
) -> None:
    await line.call(b"SET timezone = 'UTC'", [])
    rows = await line.call(f"SELECT ($1::{kind})::text".encode(), [argument])
    assert rows == [[told.encode()]]


async def test_answers_are_read_as_they_were_meant(line: Line) -> None:
    ((uuids, none, number, one),) = await line.call(
        b"SELECT $1::uuid[], '{}'::uuid[], 7::integer, $2::uuid", [arrays.uuids([ONE, TWO]), arrays.uuid(TWO)]
    )
    assert uuids is not None
    assert none is not None
    assert number is not None
    assert one is not None
    assert (arrays.read_uuids(uuids), arrays.read_uuids(none)) == ([ONE, TWO], [])
    assert (arrays.read_integer(number), arrays.read_uuid(one)) == (7, TWO)


async def test_named_arguments_become_numbers_in_the_order_of_their_first_use() -> None:
    assert positional("SELECT %(b)s, %(a)s, %(b)s") == (b"SELECT $1, $2, $1", ("b", "a"))


async def test_an_error_of_the_statement_is_postgres_own_and_the_line_goes_on(line: Line) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        await line.call(b"SELECT 1/0", [])
    assert await line.call(b"SELECT 'on'", []) == [[b"on"]]


async def test_a_missing_table_says_that_the_schema_is_of_another_release(line: Line) -> None:
    with pytest.raises(SettingInvalid, match="schema"):
        await line.call(b"SELECT * FROM no_such_table", [])


async def test_a_connection_that_broke_is_told_once_and_opened_again(line: Line, database_url: str) -> None:
    ((pid,),) = await line.call(b"SELECT pg_backend_pid()", [])
    async with Database(database_url, size=1) as database:
        await database.rows("SELECT pg_terminate_backend(%s)", (arrays.read_integer(pid or b""),))
    with pytest.raises(DatabaseUnreachable):
        await line.call(b"SELECT pg_sleep(1)", [])
    assert await line.call(b"SELECT 'back'", []) == [[b"back"]]


async def test_a_connection_that_broke_while_nobody_used_it_costs_no_call(
    line: Line, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradeloop.store.line.IDLE_CHECK_S", 0.0)
    ((pid,),) = await line.call(b"SELECT pg_backend_pid()", [])
    async with Database(database_url, size=1) as database:
        await database.rows("SELECT pg_terminate_backend(%s)", (arrays.read_integer(pid or b""),))
    assert await line.call(b"SELECT 'back'", []) == [[b"back"]]


async def test_a_caller_that_is_cancelled_leaves_no_answer_to_the_next(line: Line) -> None:
    slow = asyncio.create_task(line.call(b"SELECT 'late' FROM pg_sleep(5)", []))
    while not (line._wire and line._turn.locked()):
        await asyncio.sleep(0.01)
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    assert await line.call(b"SELECT 'next'", []) == [[b"next"]]


async def test_calls_at_once_take_turns(line: Line) -> None:
    rows = await asyncio.gather(*(line.call(b"SELECT $1::integer", [arrays.integer(n)]) for n in range(20)))
    assert [arrays.read_integer(found[0][0] or b"") for found in rows] == list(range(20))


async def test_nobody_listens_is_database_unreachable() -> None:
    with pytest.raises(DatabaseUnreachable):
        await Line("postgresql://nobody@127.0.0.1:1/none").call(b"SELECT 1", [])


async def test_a_pool_asks_only_connections_that_were_idle(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "IDLE_CHECK_S", 0.0)
    async with Database(database_url, size=2) as database:
        row = await database.row("SELECT pg_backend_pid() AS pid")
        assert row is not None
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (row["pid"],))
        assert await database.row("SELECT 1 AS n") == {"n": 1}
