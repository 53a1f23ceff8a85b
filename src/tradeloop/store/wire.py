"""One connection whose statements have arguments that are encoded already."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result
from psycopg.rows import DictRow

from tradeloop.store.database import CONNECT_ARGUMENTS, SCHEMA
from tradeloop.store.puts import ARGUMENT_TYPES

CONNECT_S: Final = 5
CALL: Final = (
    f"SELECT {SCHEMA}.put_checkpoints({', '.join(f'${n}' for n in range(1, len(ARGUMENT_TYPES) + 1))})".encode()
)
GOOD: Final = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class Wire:
    """libpq's asynchronous calls on the event loop: a flush costs three callbacks, whatever its size.

    No prepared statement and no state of the session: a pooler in transaction mode may stand between.
    """

    def __init__(self, connection: psycopg.AsyncConnection[DictRow]) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[pq.abc.PGresult] | None = None
        self._result: pq.abc.PGresult | None = None
        self._room: asyncio.Future[None] | None = None
        self._pg.nonblocking = 1
        self._socket = self._pg.socket
        self._loop.add_reader(self._socket, self._readable)

    @classmethod
    async def open(cls, url: str) -> Wire:
        """Connect.

        Raises:
            psycopg.OperationalError: no answer.
        """
        arguments = {**CONNECT_ARGUMENTS, "connect_timeout": CONNECT_S}
        return cls(await psycopg.AsyncConnection[DictRow].connect(url, **arguments))

    async def call(self, arguments: Sequence[bytes]) -> str:
        """Commit a batch, or learn which runs another owner holds: an array of run ids, as text.

        Raises:
            psycopg.Error: nothing was committed; but after an OperationalError that is not known.
        """
        result = await self.ask(CALL, arguments, ARGUMENT_TYPES, pq.Format.TEXT)
        if result.status not in GOOD:
            raise error_from_result(result)
        return (result.get_value(0, 0) or b"").decode()

    async def ask(
        self, sql: bytes, arguments: Sequence[bytes], types: Sequence[int], answer_as: pq.Format
    ) -> pq.abc.PGresult:
        """The server's answer to one statement, good or bad; one call at a time.

        Raises:
            psycopg.OperationalError: the connection broke.
        """
        self._answer = self._loop.create_future()
        formats = [pq.Format.BINARY] * len(arguments)
        self._pg.send_query_params(sql, arguments, types, formats, answer_as)
        while self._pg.flush():
            await self._drained()
        return await self._answer

    async def close(self) -> None:
        """End the connection; what it is doing is not waited for."""
        self._forget()
        await self._connection.close()

    async def _drained(self) -> None:
        self._room = self._loop.create_future()
        self._loop.add_writer(self._socket, self._writable)
        await self._room

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _readable(self) -> None:
        try:
            self._pg.consume_input()
            while not self._pg.is_busy():
                result = self._pg.get_result()
                if result is None:
                    break
                self._result = result
            else:
                return
        except psycopg.OperationalError as problem:
            self._forget()
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(problem)
                self._answer.exception()  # a call that fails before it waits for its answer does not miss it
            return
        answer, result = self._answer, self._result
        self._answer = self._result = None
        if answer is not None and result is not None and not answer.done():
            answer.set_result(result)

    def _forget(self) -> None:
        # Once only: libpq has closed the socket of a lost connection, and its number may be another's by now.
        if self._socket >= 0:
            self._loop.remove_reader(self._socket)
            self._writable()
            self._socket = -1
