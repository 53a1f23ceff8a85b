"""A lane: puts in, one batch in flight, acknowledged after its commit."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import psycopg
import structlog

from tradeloop.errors import DatabaseUnreachable, StaleFence, TradeloopError
from tradeloop.store.database import PASSING, SCHEMA_MISSING, TRANSACTION_CONFLICTS, of_another_release
from tradeloop.store.puts import Put, arguments, without_superseded
from tradeloop.store.wire import Wire

BATCH_ITEMS: Final = 512
BATCH_BYTES: Final = 4_000_000
"""Larger batches commit no more a second, and make the first of a batch wait for the last."""
QUEUE_ITEMS: Final = 4096
QUEUE_BYTES: Final = 32_000_000
"""What a lane holds at most while the database is slow; callers wait beyond it, before they encode."""
GATHER_TICKS: Final = 4
"""Turns of the event loop that task writes wait for the checkpoint of their step, which follows at once."""
CUT_CLASSES: Final = ("21", "22", "23", "54")
"""SQLSTATE classes of errors that one row makes: bad data, a constraint, a limit."""

log = structlog.get_logger()


class Lane:
    """Commits puts in the order in which they came, as many at once as came while the last batch was committed.

    Two batches are never in flight together, so a batch that is sent again after a lost connection cannot overtake a
    newer one.
    """

    def __init__(self, connect: Callable[[], Awaitable[Wire]], *, patience_s: float, elide: bool) -> None:
        """`patience_s`: how long a batch is sent again before its callers hear that the database is away."""
        self._connect = connect
        self._patience_s = patience_s
        self._elide = elide
        self._wire: Wire | None = None
        self._queue: deque[Put] = deque()
        self._queued_bytes = 0
        self._flight: Sequence[Put] = ()
        self._line: deque[asyncio.Future[None]] = deque()
        self._readers: list[tuple[Put, asyncio.Future[None]]] = []
        self._wake: asyncio.Future[None] | None = None
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def crowded(self) -> bool:
        """Whether a put has to wait for its turn, in `room`, before it is encoded."""
        return self._closed or bool(self._line) or len(self._queue) >= QUEUE_ITEMS or self._queued_bytes >= QUEUE_BYTES

    async def room(self) -> None:
        """Wait until the lane takes a put; first come, first served.

        Raises:
            DatabaseUnreachable: the lane is closed, or gave up.
        """
        self._refuse_when_closed()
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        finally:
            with suppress(ValueError):
                self._line.remove(turn)
            self._let_in()

    def add(self, put: Put) -> None:
        """Queue a put; its future tells the rest."""
        self._refuse_when_closed()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._supervised())
        self._queue.append(put)
        self._queued_bytes += put.size_bytes
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def settled(self, thread: str | None) -> None:
        """Wait until what was put for the thread (None: for any) is committed or has failed."""
        for put in (*reversed(self._queue), *reversed(self._flight)):
            if thread in (None, put.thread):
                reader = asyncio.get_running_loop().create_future()
                self._readers.append((put, reader))
                await reader
                return

    async def close(self, within_s: float) -> None:
        """Refuse new puts, commit the queued ones within the time given, fail the rest."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.settled(None)
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._fail_all(DatabaseUnreachable("the process ends: this checkpoint was not stored"))
        await self._hang_up()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise DatabaseUnreachable("the process ends: checkpoints are stored no more")

    async def _supervised(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception as problem:  # a lane that died silently would let every run hang
                log.exception("checkpoint_lane_restarted")
                self._fail_all(DatabaseUnreachable(f"the checkpoint lane broke: {problem}"))
                await self._hang_up()

    async def _serve(self) -> None:
        while True:
            if not self._queue:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
                self._wake = None
                await self._gather()
            self._flight = self._cut()
            try:
                await self._commit(self._flight)
            except TradeloopError as problem:
                self._fail_all(problem)
            self._flight = ()
            self._tell_readers()
            self._let_in()

    async def _gather(self) -> None:
        """Let the puts of one turn of the loop go together, and task writes with the checkpoint of their step."""
        for _ in range(GATHER_TICKS):
            await asyncio.sleep(0)
            if any(put.checkpoint for put in self._queue):
                return

    def _cut(self) -> list[Put]:
        batch: list[Put] = []
        size_bytes = 0
        keys: set[tuple[str, ...]] = set()
        while self._queue and len(batch) < BATCH_ITEMS:
            put = self._queue[0]
            # The same key twice in one upsert is error 21000; the second goes with the next batch.
            if batch and (size_bytes + put.size_bytes > BATCH_BYTES or not keys.isdisjoint(put.keys)):
                break
            batch.append(self._queue.popleft())
            size_bytes += put.size_bytes
            keys.update(put.keys)
        self._queued_bytes -= size_bytes
        return batch

    async def _commit(self, batch: Sequence[Put]) -> None:
        """Commit the batch; a row that cannot be stored is found by halving, and fails alone."""
        try:
            lost = await self._send(batch)
        except SCHEMA_MISSING as problem:
            raise of_another_release(problem) from problem
        except psycopg.Error as problem:
            if len(batch) == 1:
                _fail(batch[0], problem)
                return
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
            return
        if lost:
            kept = []
            for put in batch:
                if put.fence is not None and str(put.fence.run_id) in lost:
                    _fail(put, StaleFence())
                else:
                    kept.append(put)
            if kept:
                await self._commit(kept)
            return
        for put in batch:
            if not put.done.done():
                put.done.set_result(None)

    async def _send(self, batch: Sequence[Put]) -> frozenset[str]:
        """Send the batch until it is known what became of it; returns the runs that others hold.

        A connection that is lost in a commit leaves its outcome unknown: all rows are keyed, so the same batch again
        is the missing write or changes nothing.
        """
        encoded = arguments(without_superseded(batch) if self._elide else batch)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        pause_s = 0.02
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    if self._wire is None:
                        self._wire = await self._connect()
                    lost = await self._wire.call(encoded)
                return frozenset(lost.strip("{}").split(",")) if lost != "{}" else frozenset()
            except (*PASSING, *TRANSACTION_CONFLICTS, TimeoutError) as problem:
                if (getattr(problem, "sqlstate", None) or "")[:2] in CUT_CLASSES:
                    raise
                if not isinstance(problem, TRANSACTION_CONFLICTS):
                    await self._hang_up()
                if loop.time() + pause_s >= deadline:
                    raise DatabaseUnreachable(f"PostgreSQL did not answer: {problem}") from problem
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - jitter, no secret
            pause_s = min(pause_s * 2, 1.0)

    async def _hang_up(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    def _let_in(self) -> None:
        """The head of the line, when there is room; it lets the next one in."""
        has_room = len(self._queue) < QUEUE_ITEMS and self._queued_bytes < QUEUE_BYTES
        if self._line and has_room and not self._line[0].done():
            self._line[0].set_result(None)

    def _tell_readers(self) -> None:
        if not self._readers:
            return
        waiting = {id(put) for put in self._queue}
        kept = []
        for put, reader in self._readers:
            if id(put) in waiting:
                kept.append((put, reader))
            elif not reader.done():
                reader.set_result(None)
        self._readers = kept

    def _fail_all(self, problem: TradeloopError) -> None:
        for put in (*self._flight, *self._queue):
            _fail(put, problem)
        for turn in self._line:
            if not turn.done():
                turn.set_exception(problem)
        self._flight = ()
        self._queue.clear()
        self._queued_bytes = 0
        self._tell_readers()


def _fail(put: Put, problem: Exception) -> None:
    # Cancelled waiters, too: their put was committed or not as if they had stayed.
    if not put.done.done():
        put.done.set_exception(problem)
