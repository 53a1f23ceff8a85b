"""Asking the database until it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar  # Any: what a coroutine sends and receives

import structlog

from tradeloop.errors import DatabaseUnreachable

log = structlog.get_logger()
T = TypeVar("T")
FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 5.0
"""Longer would leave a database that is back without work."""


class Persistence:
    """Tries a call of the store until the database answers: every statement of ours is idempotent or fenced."""

    def __init__(self) -> None:
        self.outages = 0
        """Calls whose answer was lost so far: what they did is not known."""

    async def insist(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer to `call`, which is made again while the database is away."""
        delay_s, told = FIRST_DELAY_S, False
        while True:
            try:
                return await call()
            except DatabaseUnreachable as problem:
                self.outages += 1
                if not told:
                    log.warning("database_did_not_answer", error=problem.message, retried=True)
                    told = True
                await asyncio.sleep(delay_s)
                delay_s = min(LONGEST_DELAY_S, delay_s * 2)
