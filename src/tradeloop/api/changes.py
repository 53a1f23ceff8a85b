"""What changes, told to whoever listens: one look at the database for all, at most four times a second."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Final, Self

import structlog

from tradeloop.api.problems import Refusal
from tradeloop.domain.letters import DEAD_LETTER_STREAM
from tradeloop.errors import TradeloopError
from tradeloop.store.changes import ChangeFeed, Entry

log = structlog.get_logger()
DEBOUNCE_S: Final = 0.25
"""After a notice: what else changes in that time is told with it."""
LOOK_S: Final = 1.0
"""Without a notice, while anybody listens: not everything that changes sends one."""
IDS: Final = 100
"""Of one kind that are told; beyond, a listener is told to load all again."""
SEEN: Final = 4000
PER_PRINCIPAL: Final = 64
"""Streams of one person: sixteen windows on four machines."""
KINDS: Final = {
    "run_": "runs",
    "approval_": "approvals",
    "effect_": "effects",
    "dead_letter_": "letters",
    "switch_": "switches",
    "principal_": "people",
    "key_": "people",
}


class Listener:
    """One who listens: what changed since it was last asked, folded together, so that it never grows."""

    def __init__(self) -> None:
        self._changed: dict[str, set[str]] = {}
        self._wake = asyncio.Event()
        self.is_over = False

    def tell(self, kind: str, ids: set[str]) -> None:
        """Add what changed."""
        kept = self._changed.setdefault(kind, set())
        kept |= ids
        if len(kept) > IDS:
            self._changed[kind] = {"*"}
        self._wake.set()

    def end(self) -> None:
        """Nothing more will come."""
        self.is_over = True
        self._wake.set()

    async def next(self, within_s: float) -> dict[str, set[str]]:
        """What changed, by kind, with ids (`*`: too many); empty when nothing did in that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._wake.wait()
        self._wake.clear()
        changed, self._changed = self._changed, {}
        if self.is_over:
            self._wake.set()
        return changed


class Changes:
    """One feed for a whole process. Idle while nobody listens."""

    def __init__(self, feed: ChangeFeed, most: int) -> None:
        self._feed = feed
        self._most = most
        self._listeners: dict[Listener, str] = {}
        self._notice = asyncio.Event()
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._newest = -1
        self._live: dict[str, int] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False

    async def __aenter__(self) -> Self:
        self._is_over = False
        self._tasks = [
            asyncio.create_task(self._feed.listen(self._notice.set), name="notices"),
            asyncio.create_task(self._run(), name="changes"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def count(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def end(self) -> None:
        """Let every listener go, so that a server that drains is not held up."""
        self._is_over = True
        for listener in self._listeners:
            listener.end()

    def check(self, principal: str) -> None:
        """Whether one more may listen.

        Raises:
            Refusal: 429, too many do already.
        """
        mine = sum(name == principal for name in self._listeners.values())
        if self.count >= self._most or mine >= PER_PRINCIPAL:
            raise Refusal(429, "too_many", "too many event streams are open; close some.", headers={"Retry-After": "5"})

    @asynccontextmanager
    async def listening(self, principal: str) -> AsyncIterator[Listener]:
        """Listen for as long as the context lasts.

        Raises:
            Refusal: 429, too many listen already.
        """
        self.check(principal)
        listener = Listener()
        if self._is_over:
            listener.end()
        self._listeners[listener] = principal
        self._notice.set()
        try:
            yield listener
        finally:
            del self._listeners[listener]

    async def _run(self) -> None:
        told = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._notice.wait()
            self._notice.clear()
            if not self._listeners:
                self._newest = -1
                continue
            try:
                await self._look()
                told = False
            except TradeloopError as problem:
                if not told:
                    log.info("changes_not_read", error_class=type(problem).__name__, retried=True)
                told = True
            await asyncio.sleep(DEBOUNCE_S)

    async def _look(self) -> None:
        if self._newest < 0:
            self._newest = await self._feed.newest()
            self._seen = OrderedDict((entry.number, None) for entry in await self._feed.since(self._newest))
            self._live = await self._feed.live()
            self._tell({"refresh": set()})
            return
        entries = [entry for entry in await self._feed.since(self._newest) if entry.number not in self._seen]
        live = await self._feed.live()
        changed: dict[str, set[str]] = {}
        for entry in entries:
            self._seen[entry.number] = None
            changed.setdefault(kind_of(entry), set()).add(entry.stream)
        if live != self._live:
            changed.setdefault("backlog", set())
        self._live = live
        self._newest = max([self._newest, *(entry.number for entry in entries)])
        while len(self._seen) > SEEN:
            self._seen.popitem(last=False)
        self._tell(changed)

    def _tell(self, changed: dict[str, set[str]]) -> None:
        for listener in self._listeners:
            for kind, ids in changed.items():
                listener.tell(kind, ids)


def kind_of(entry: Entry) -> str:
    """What an audit record is about."""
    if entry.stream == str(DEAD_LETTER_STREAM):
        return "letters"
    return next((kind for beginning, kind in KINDS.items() if entry.kind.startswith(beginning)), "audit")
