"""A call again, when its failure may pass: after a growing, jittered wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tradeloop.errors import ModelFailed

FIRST_S: Final = 0.25
LONGEST_S: Final = 8.0
T = TypeVar("T")


async def retried(call: Callable[[], Awaitable[T]], retries: int) -> T:
    """The answer of the first call that gives one, of `retries` + 1.

    Raises:
        ModelFailed: the last one, or the first that will not pass.
    """
    for attempt in range(retries):
        try:
            return await call()
        except ModelFailed as problem:
            if not problem.passing:
                raise
            await asyncio.sleep(wait_s(attempt, problem.after_s))
    return await call()


def wait_s(attempt: int, after_s: float = 0.0) -> float:
    """Between half of a doubling wait and all of it; never less than the server asked for."""
    longest = min(LONGEST_S, FIRST_S * 2**attempt)
    return max(after_s, random.uniform(longest / 2, longest))  # noqa: S311 - jitter, no secret
