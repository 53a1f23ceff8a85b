"""Wake-ups from the database: the outbox has new rows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import psycopg
import structlog

from tradeloop.store.database import CONNECT_ARGUMENTS

log = structlog.get_logger()
RECONNECT_S: Final = 2.0


class OutboxNotices:
    """Sets an event whenever rows were committed to the outbox; a hint, never the truth."""

    def __init__(self, url: str, wake: asyncio.Event) -> None:
        self._url = url
        self._wake = wake
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        told = False
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(self._url, **CONNECT_ARGUMENTS)
                async with connection:
                    await connection.execute("LISTEN tradeloop_outbox")
                    told = False
                    self._wake.set()
                    async for _ in connection.notifies():
                        self._wake.set()
            except psycopg.Error as problem:
                if not told:  # one clear line, not one an attempt
                    log.info("notices_lost", error=str(problem), retried=True)
                told = True
            await asyncio.sleep(RECONNECT_S)
