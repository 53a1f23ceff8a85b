"""`Database.hint`: who waits for new rows hears of them after the commit, in as few notifications as it takes."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import psycopg
import pytest

from tradeloop.domain.records import Record
from tradeloop.store.database import Database
from tradeloop.store.triggers import Triggers


async def heard(url: str, within_s: float) -> list[str]:
    """Notifications on the outbox's channel, until none has come for a while."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection:
        await connection.execute("LISTEN tradeloop_outbox")
        LISTENING.set()
        return [notice.channel async for notice in connection.notifies(timeout=within_s)]


LISTENING = asyncio.Event()


@pytest.fixture(autouse=True)
def _not_listening() -> None:
    LISTENING.clear()


async def test_a_thousand_hints_are_few_notifications(database: Database) -> None:
    listener = asyncio.create_task(heard(database.url, 3.0))
    await LISTENING.wait()
    for _ in range(1_000):
        database.hint("tradeloop_outbox")
    found = await listener
    assert 1 <= len(found) <= 2


async def test_a_hint_during_a_notification_is_followed_by_one_more(database: Database) -> None:
    listener = asyncio.create_task(heard(database.url, 3.0))
    await LISTENING.wait()
    database.hint("tradeloop_outbox")
    await asyncio.sleep(0)
    database.hint("tradeloop_outbox")
    assert len(await listener) == 2


async def test_a_trigger_wakes_the_relay(database: Database) -> None:
    listener = asyncio.create_task(heard(database.url, 3.0))
    await LISTENING.wait()
    record = Record("workflow-events", b"k", b"v")
    triggered = await Triggers(database).trigger(uuid4(), record, digest="d", principal="ann", event_type="a.b")
    assert triggered.is_first
    assert await listener == ["tradeloop_outbox"]


async def test_the_last_hint_is_given_before_the_database_is_closed(database: Database) -> None:
    listener = asyncio.create_task(heard(database.url, 3.0))
    await LISTENING.wait()
    async with Database(database.url, size=1) as other:
        other.hint("tradeloop_outbox")
    assert await listener == ["tradeloop_outbox"]


async def test_a_hint_to_nobody_and_without_a_server_is_no_error() -> None:
    async with Database("postgresql://nobody@127.0.0.1:1/none", size=1) as away:
        away.hint("tradeloop_outbox")
