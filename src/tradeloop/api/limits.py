"""How often somebody may ask: token buckets in this process, by principal and, for failures, by address."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from tradeloop.api.problems import Refusal

BURST: Final = 4.0
"""Seconds of the rate that may come at once: a page with sixteen windows that opens is no attack."""
FAILURES: Final = (5.0, 100.0)
"""Wrong credentials of one address: a second, and at once. Guessing is hopeless; this keeps it from costing queries."""
BUCKETS: Final = 20_000
"""Buckets kept; the one that rested longest goes, and it was full."""


class Buckets:
    """Token buckets by name."""

    def __init__(self, rate: float, size: float, now: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._size, self._now = rate, size, now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, count: float = 1.0) -> float:
        """Take a token; returns 0, or in how many seconds there is one. With `count` 0 only looks."""
        now = self._now()
        left, at = self._left.pop(name, (self._size, now))
        left = min(self._size, left + (now - at) * self._rate)
        is_there = left >= 1.0
        self._left[name] = (left - count if is_there else left, now)
        if len(self._left) > BUCKETS:
            self._left.popitem(last=False)
        return 0.0 if is_there else (1.0 - left) / self._rate


class Limits:
    """The limits of one process."""

    def __init__(self, rate: float) -> None:
        """`rate`: requests a second of one principal; 0: no limits at all."""
        self._requests = Buckets(rate, rate * BURST) if rate else None
        self._failures = Buckets(*FAILURES) if rate else None

    def check(self, principal: str) -> None:
        """Count a request.

        Raises:
            Refusal: 429, with Retry-After.
        """
        if self._requests and (wait_s := self._requests.take(principal)):
            raise _too_many("too many requests", wait_s)

    def check_address(self, address: str) -> None:
        """Turn down an address that sent too many wrong credentials.

        Raises:
            Refusal: 429, with Retry-After.
        """
        if self._failures and (wait_s := self._failures.take(address, 0.0)):
            raise _too_many("too many wrong keys or tokens from this address", wait_s)

    def note_failure(self, address: str) -> None:
        """Count wrong credentials."""
        if self._failures:
            self._failures.take(address)


def _too_many(what: str, wait_s: float) -> Refusal:
    seconds = max(1, math.ceil(wait_s))
    return Refusal(429, "too_many", f"{what}; try again in {seconds} s.", headers={"Retry-After": str(seconds)})
