"""Tasks that are told to end, and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

CANCEL_AGAIN_S: Final = 1.0
"""How long a task that was told to end may take before it is told again."""


async def until_set(event: asyncio.Event) -> None:
    """Return once the event is set."""
    await event.wait()


async def end_tasks(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: on Python 3.11 `asyncio.wait_for`, which the pool uses, can swallow one cancel."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
