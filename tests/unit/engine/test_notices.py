"""Waiting for the outbox's notices while no database answers."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from tradeloop.store import notices
from tradeloop.store.notices import OutboxNotices


async def test_a_database_that_is_away_is_told_once_however_often_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "RECONNECT_S", 0.01)
    structlog.reset_defaults()  # a command that an earlier test called may have chosen a level
    monkeypatch.setattr(notices, "log", structlog.get_logger())
    attempts, enough = 0, asyncio.Event()

    def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()
        if attempts >= 3:
            enough.set()

    server = await asyncio.start_server(break_off, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with capture_logs() as logs:
        async with server, OutboxNotices(f"postgresql://u@127.0.0.1:{port}/x", asyncio.Event()), asyncio.timeout(30):
            await enough.wait()
    assert [line["event"] for line in logs] == ["notices_lost"]
