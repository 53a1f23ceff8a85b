"""A connection of its own for one busy statement: no pool, no check before each call, binary both ways."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from tradeloop.store.arrays import Argument
from tradeloop.store.database import IDLE_CHECK_S, PASSING, asked
from tradeloop.store.wire import Wire


def positional(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """The statement with $1, $2 ... for %(name)s, and the names in that order."""
    names = tuple(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
    return re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", sql).encode(), names


class Line:
    """Calls one after the other on a connection that is opened at the first of them, and again when it is lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._wire: Wire | None = None
        self._turn = asyncio.Lock()
        self._used_at = 0.0

    async def call(self, sql: bytes, arguments: Sequence[Argument]) -> list[list[bytes | None]]:
        """The rows of one statement, each value in binary form.

        Raises:
            DatabaseUnreachable: no connection, or it broke; whether the statement was committed is then unknown.
            SettingInvalid: the schema is not that of this release.
        """

        async def ask() -> list[list[bytes | None]]:
            async with self._turn:
                return await self._ask(sql, arguments)

        return await asked(ask)

    async def close(self) -> None:
        """End the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def _ask(self, sql: bytes, arguments: Sequence[Argument]) -> list[list[bytes | None]]:
        wire = await self._open()
        try:
            result = await wire.ask(
                sql, [data for _, data in arguments], [oid for oid, _ in arguments], pq.Format.BINARY
            )
        except BaseException:
            # Also when the caller was cancelled: the answer would be taken for that of the next call.
            await self.close()
            raise
        self._used_at = asyncio.get_running_loop().time()
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            problem = error_from_result(result)
            if isinstance(problem, PASSING):
                await self.close()
            raise problem
        return [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]

    async def _open(self) -> Wire:
        idle_s = asyncio.get_running_loop().time() - self._used_at
        if self._wire is not None and idle_s > IDLE_CHECK_S:
            try:
                await self._wire.ask(b"", [], [], pq.Format.BINARY)
            except psycopg.Error:
                await self.close()
        if self._wire is None:
            self._wire = await Wire.open(self._url)
        return self._wire
