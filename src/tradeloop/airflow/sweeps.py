"""Both sweeps of Airflow's history in the relay's one loop."""

from __future__ import annotations

import time
from typing import Final, Protocol

import structlog

from tradeloop.errors import TradeloopError

log = structlog.get_logger()

SHORTEST_REST_S: Final = 1.0
LONGEST_REST_S: Final = 60.0
"""After failures in a row; a permission that is missing is not asked for every second."""


class Ticking(Protocol):
    """A sweep: engine.relay.Sweeping."""

    async def tick(self) -> object:
        """Publish what is new."""
        ...


class Sweeps:
    """Business events first, then lifecycle events; neither is kept from its work by the other's failure.

    Of the first one's failures the relay tells, and rests; the second one's are told and rested here.
    """

    def __init__(self, business: Ticking, lifecycle: Ticking) -> None:
        self._business = business
        self._lifecycle = lifecycle
        self._rest_s = 0.0
        self._rests_until = 0.0

    async def tick(self) -> None:
        """Let each look once.

        Raises:
            TradeloopError: the business events' sweep failed; the other one has had its turn.
        """
        try:
            await self._business.tick()
        finally:
            if time.monotonic() >= self._rests_until:
                await self._tick_lifecycle()

    async def _tick_lifecycle(self) -> None:
        try:
            await self._lifecycle.tick()
        except TradeloopError as problem:
            if not self._rest_s:
                log.warning("lifecycle_sweep_failed", error=problem.message, retried=True)
            self._rest()
        except Exception:
            # The relay loop: a defect here must stop neither the outbox nor the other sweep; the window is read again.
            log.exception("lifecycle_sweep_broke")
            self._rest()
        else:
            self._rest_s = 0.0

    def _rest(self) -> None:
        self._rest_s = min(LONGEST_REST_S, max(SHORTEST_REST_S, self._rest_s * 2))
        self._rests_until = time.monotonic() + self._rest_s
