"""The connection to PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, LiteralString, Self, TypeVar  # Any: a row's columns have any type

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from tradeloop.errors import DatabaseUnreachable, SettingInvalid, TradeloopError

if TYPE_CHECKING:
    from tradeloop.settings import Settings
    from tradeloop.store.cipher import Cipher
    from tradeloop.store.line import Line

SCHEMA: Final = "tradeloop"
OPTIONS: Final = f"-c search_path={SCHEMA} -c idle_in_transaction_session_timeout=5000 -c statement_timeout=60000"
CONNECT_ARGUMENTS: Final[dict[str, Any]] = {
    "autocommit": True,
    "options": OPTIONS,
    "row_factory": dict_row,
    # A peer that vanished without a word is noticed within half a minute, not within hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
PASSING: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,  # a failover: the old primary refuses to write until it is gone
    psycopg.errors.IdleInTransactionSessionTimeout,
)
"""What a statement meets when the server, not the statement, is at fault."""
SCHEMA_MISSING: Final = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
)
TRANSACTION_CONFLICTS: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
CONFLICT_ATTEMPTS: Final = 5
IDLE_CHECK_S: Final = 1.0
"""A connection that was not used for so long is asked whether it lives: a server that was started again meanwhile
would otherwise cost the next call its answer."""
CHECK_S: Final = 5
HINT_S: Final = 1.0
"""How long the end waits for the last hint; who listens looks by itself."""

T = TypeVar("T")
Pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]


def unreachable(url: str, problem: psycopg.Error) -> DatabaseUnreachable:
    """The error for a connection that was not to be had: host, port and cause in one line, never the password."""
    known = psycopg.conninfo.conninfo_to_dict(url)
    place = f"{known.get('host', 'localhost')}:{known.get('port', 5432)}"
    cause = str(problem).strip().splitlines()[0].rpartition("failed: ")[2] if str(problem).strip() else "no answer"
    return DatabaseUnreachable(f"PostgreSQL at {place} did not answer: {cause}", hint="tradeloop doctor postgres")


def of_another_release(problem: psycopg.Error) -> SettingInvalid:
    """The error for a statement that finds no table, column or function of ours."""
    return SettingInvalid(
        f"the database's schema is not that of this release: {problem.diag.message_primary}",
        hint="tradeloop db migrate",
    )


async def asked(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer to one statement, sent again when it had to give way to others.

    Raises:
        DatabaseUnreachable: no connection, or it broke; whether the statement was committed is then unknown.
        SettingInvalid: the schema is not that of this release.
    """
    conflict: Exception | None = None
    for attempt in range(CONFLICT_ATTEMPTS):
        try:
            return await ask()
        except TRANSACTION_CONFLICTS as problem:
            conflict = problem
            await asyncio.sleep(random.uniform(0.005, 0.05) * 2**attempt)  # noqa: S311 - jitter, no secret
        except PASSING as problem:
            raise DatabaseUnreachable(f"PostgreSQL did not answer: {problem}") from problem
        except SCHEMA_MISSING as problem:
            raise of_another_release(problem) from problem
    raise DatabaseUnreachable(f"PostgreSQL gave way to others {CONFLICT_ATTEMPTS} times: {conflict}") from conflict


_USED_AT: Final = "tradeloop_used_at"


async def _check_idle(connection: psycopg.AsyncConnection[DictRow]) -> None:
    """Ask a connection whether it lives, unless it did a moment ago: a round trip before each statement is dear."""
    if time.monotonic() - getattr(connection, _USED_AT, 0.0) > IDLE_CHECK_S:
        await AsyncConnectionPool.check_connection(connection)


async def _note_use(connection: psycopg.AsyncConnection[DictRow]) -> None:
    setattr(connection, _USED_AT, time.monotonic())


class Database:
    """A pool of connections in which every statement is a transaction of its own.

    What must be one transaction is one statement or one function call: a process that is stopped at any instant
    then leaves no open transaction behind.
    """

    def __init__(self, url: str, *, size: int = 8, lock_timeout_ms: int = 0, cipher: Cipher | None = None) -> None:
        """`lock_timeout_ms`: how long a statement may wait for a lock, as others then wait behind it; 0: any time.

        `cipher`: encrypts what is kept of events, checkpoints and questions; None: nothing is.
        """
        self.url = url
        self._cipher = cipher
        self._lines: dict[str, Line] = {}
        self._hints: dict[str, asyncio.Task[None]] = {}
        self._hinted_again: set[str] = set()
        self.pool: Pool = AsyncConnectionPool(
            url,
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs=CONNECT_ARGUMENTS | {"options": f"{OPTIONS} -c lock_timeout={lock_timeout_ms}"},
            min_size=1,
            max_size=size,
            open=False,
            timeout=5,
            reconnect_timeout=5,
            check=_check_idle,
            reset=_note_use,
        )

    @classmethod
    def of(cls, settings: Settings, *, size: int = 8, lock_timeout_ms: int = 0) -> Self:
        """The database that the settings name, with its cipher.

        Raises:
            SettingInvalid: the file of keys cannot be used.
        """
        cipher = None
        if settings.encryption_key_file is not None:
            from tradeloop.store.cipher import Cipher

            cipher = Cipher.from_file(settings.encryption_key_file)
        return cls(settings.database_url, size=size, lock_timeout_ms=lock_timeout_ms, cipher=cipher)

    async def __aenter__(self) -> Self:
        await self.pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for line in self._lines.values():
            await line.close()
        if self._hints:
            await asyncio.wait(set(self._hints.values()), timeout=HINT_S)
        await self.pool.close()

    def hint(self, channel: str) -> None:
        """Notify those who listen on the channel, soon: what they wait for is committed; they look by themselves, too.

        A notification within a transaction makes every commit of the database wait for the one before, its write to
        the disk too (PostgreSQL keeps notifications in the order of commits).
        """
        if channel in self._hints:
            self._hinted_again.add(channel)
            return
        task = asyncio.get_running_loop().create_task(self._notify(channel))
        self._hints[channel] = task
        task.add_done_callback(lambda _: self._hints.pop(channel, None))

    async def _notify(self, channel: str) -> None:
        self._hinted_again.add(channel)
        while channel in self._hinted_again:
            self._hinted_again.discard(channel)
            with contextlib.suppress(TradeloopError, psycopg.Error):
                await self.rows("SELECT pg_notify(%s, '')", (channel,))

    @property
    def cipher(self) -> Cipher:
        """What closes and opens the bytes of events."""
        if self._cipher is None:
            from tradeloop.store.cipher import OPEN

            self._cipher = OPEN
        return self._cipher

    def line(self, name: str) -> Line:
        """The connection of its own that the busy statement `name` has."""
        from tradeloop.store.line import Line

        if name not in self._lines:
            self._lines[name] = Line(self.url)
        return self._lines[name]

    async def check(self) -> None:
        """Connect once, without the pool's patience.

        Raises:
            DatabaseUnreachable: no connection within 5 s; the message names host, port and cause.
        """
        try:
            connection = await psycopg.AsyncConnection.connect(self.url, connect_timeout=CHECK_S)
        except psycopg.OperationalError as problem:
            raise unreachable(self.url, problem) from problem
        await connection.close()

    async def rows(self, sql: LiteralString, arguments: Mapping[str, Any] | Sequence[Any] = ()) -> list[DictRow]:
        """Run one statement and return its rows.

        Raises:
            DatabaseUnreachable: no connection, or it broke; whether the statement was committed is then unknown.
            SettingInvalid: the schema is not that of this release.
        """

        async def ask() -> list[DictRow]:
            async with self.pool.connection() as connection:
                cursor = await connection.execute(sql, arguments)
                return await cursor.fetchall() if cursor.description else []

        return await asked(ask)

    async def row(self, sql: LiteralString, arguments: Mapping[str, Any] | Sequence[Any] = ()) -> DictRow | None:
        """Run one statement and return its first row."""
        found = await self.rows(sql, arguments)
        return found[0] if found else None
