"""The relay's loops: the outbox to Kafka, and the sweep of Airflow's history."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol
from uuid import uuid4

import structlog

from tradeloop.engine.tasks import end_tasks, until_set
from tradeloop.errors import CaptureGap, PublishFailed, TradeloopError
from tradeloop.ports import Outbox, OutboxRow, Publisher

log = structlog.get_logger()

OUTBOX_BATCH: Final = 500
LANE_LEASE_S: Final = 5.0
"""What a killed relay holds up; longer than any pause of a healthy one, which renews five times in it."""
STAND_BY_S: Final = 0.5
"""How often a relay without a lane asks for one: the lease of a dead one ends at any moment."""
IDLE_POLL_S: Final = 0.25
"""Fallback when no wake-up comes (pgbouncer in transaction mode has no LISTEN)."""
RETRY_S: Final = 1.0
BALLOTS_S: Final = 2.0
"""How often Airflow is asked for answers of people; it counts in how long an approval takes to act."""
SWEEP_LANE: Final = 0
"""The holder of this lane sweeps: one at a time, by the same lease."""


class Sweeping(Protocol):
    """One pass over Airflow's history."""

    async def tick(self) -> object:
        """Publish what is new; the cursor moves after the broker's acknowledgement."""
        ...


class Chore(Protocol):
    """Work that one process does for all, now and then."""

    async def tick(self) -> object:
        """One pass."""
        ...


class Sealing(Chore, Protocol):
    """Seals what is new in the audit."""

    @property
    def interval_s(self) -> float:
        """Time between two passes."""
        ...


class Relay:
    """Publishes the outbox in order per key; of several relays each holds lanes of its own."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        *,
        sweep: Sweeping | None = None,
        sweep_interval_s: float = 1.0,
        chore: Chore | None = None,
        chore_interval_s: float = 300.0,
        sealer: Sealing | None = None,
        ballots: Chore | None = None,
    ) -> None:
        """`ballots` takes answers over from Airflow's Required Actions."""
        self._outbox = outbox
        self._publisher = publisher
        self._sweep = sweep
        self._sweep_interval_s = sweep_interval_s
        self._chore = chore
        self._chore_interval_s = chore_interval_s
        self._sealer = sealer
        self._ballots = ballots
        self._owner = uuid4()
        self._lanes: list[int] = []
        self.outbox_wake = asyncio.Event()
        self.sweep_wake = asyncio.Event()
        self.published = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set."""
        log.info("relay_started", relay=str(self._owner), sweeps=self._sweep is not None)
        loops = [asyncio.create_task(self._hold_lanes()), asyncio.create_task(self._relay_outbox())]
        if self._sweep is not None:
            loops.append(asyncio.create_task(self._sweep_history(self._sweep)))
        if self._chore is not None:
            loops.append(asyncio.create_task(self._keep_house(self._chore)))
        if self._sealer is not None:
            loops.append(asyncio.create_task(self._seal_audit(self._sealer)))
        if self._ballots is not None:
            loops.append(asyncio.create_task(self._take_ballots(self._ballots)))
        stopped = asyncio.create_task(until_set(stop))
        done, _ = await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
        await end_tasks([stopped, *loops])
        await self._quietly_release()
        log.info("relay_stopped", relay=str(self._owner), published=self.published)
        for task in done - {stopped}:
            task.result()  # a loop that ended by itself is a defect: show it

    async def drain(self) -> int:
        """Publish what the outbox holds now; returns how many records."""
        before = self.published
        self._lanes = await self._outbox.hold(self._owner, LANE_LEASE_S)
        while await self._publish_batch():
            pass
        return self.published - before

    async def _quietly_release(self) -> None:
        try:
            await self._outbox.release(self._owner)
        except TradeloopError as problem:
            log.warning("lanes_not_returned", error=problem.message)

    async def _hold_lanes(self) -> None:
        told = False
        while True:
            try:
                lanes = await self._outbox.hold(self._owner, LANE_LEASE_S)
                if lanes != self._lanes:
                    log.info("lanes_held", lanes=lanes)
                self._lanes, told = lanes, False
            except TradeloopError as problem:
                self._lanes = []
                if not told:
                    log.warning("lanes_not_held", error=problem.message, retried=True)
                told = True
            await asyncio.sleep(LANE_LEASE_S / 5 if self._lanes else min(STAND_BY_S, LANE_LEASE_S / 5))

    async def _relay_outbox(self) -> None:
        while True:
            try:
                if await self._publish_batch():
                    continue
            except TradeloopError as problem:
                log.warning("outbox_not_published", error=problem.message, retried=True)
                await asyncio.sleep(RETRY_S)
            await _wait(self.outbox_wake, IDLE_POLL_S)

    async def _publish_batch(self) -> bool:
        rows = await self._outbox.pending(self._lanes, OUTBOX_BATCH) if self._lanes else []
        if not rows:
            return False
        try:
            await self._publisher.publish([row.record for row in rows])
        except PublishFailed as problem:
            await self._forget([rows[place] for place in sorted(problem.acknowledged)])
            raise
        await self._forget(rows)
        return True

    async def _forget(self, rows: Sequence[OutboxRow]) -> None:
        if rows:
            await self._outbox.remove([row.id for row in rows])
            self.published += len(rows)

    async def _sweep_history(self, sweep: Sweeping) -> None:
        delay_s, told = self._sweep_interval_s, False
        while True:
            if SWEEP_LANE in self._lanes:
                try:
                    await sweep.tick()
                    delay_s, told = self._sweep_interval_s, False
                except CaptureGap as problem:
                    log.error("capture_gap_found", error=problem.message, hint=problem.hint)
                    delay_s = 60.0
                except TradeloopError as problem:
                    if not told:
                        log.warning("sweep_failed", error=problem.message, retried=True)
                    delay_s, told = min(10.0, max(0.5, delay_s * 2)), True
                except Exception:
                    # The relay loop: a defect here must not stop the outbox; the window is read again.
                    log.exception("sweep_broke")
                    delay_s = 10.0
            await _wait(self.sweep_wake, delay_s)

    async def _keep_house(self, chore: Chore) -> None:
        while True:
            await asyncio.sleep(self._chore_interval_s)
            if SWEEP_LANE in self._lanes:
                try:
                    await chore.tick()
                except Exception:
                    # The relay loop: a defect here must not stop the outbox.
                    log.exception("housekeeping_broke")

    async def _seal_audit(self, sealer: Sealing) -> None:
        told = False
        while True:
            if SWEEP_LANE in self._lanes:
                try:
                    await sealer.tick()
                    told = False
                except TradeloopError as problem:
                    if not told:
                        log.warning("audit_not_sealed", error=problem.message, retried=True)
                    told = True
                except Exception:
                    # The relay loop: a defect here must not stop the outbox; the records wait.
                    log.exception("sealer_broke")
            await asyncio.sleep(sealer.interval_s)

    async def _take_ballots(self, ballots: Chore) -> None:
        delay_s, told = BALLOTS_S, False
        while True:
            await asyncio.sleep(delay_s)
            if SWEEP_LANE in self._lanes:
                try:
                    await ballots.tick()
                    delay_s, told = BALLOTS_S, False
                except TradeloopError as problem:
                    if not told:
                        log.warning("ballots_not_taken", error=problem.message, hint=problem.hint, retried=True)
                    delay_s, told = min(30.0, delay_s * 2), True
                except Exception:
                    # The relay loop: a defect here must not stop the outbox; every answer is still in Airflow.
                    log.exception("ballots_broke")
                    delay_s = 30.0


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
