"""The whole demo: three batches, each followed all the way round, and the proof."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tradeloop.airflow.capture_audit import PENDING, CaptureReport, audit_capture
from tradeloop.demo.legs import Batch, Leg, LegBroken
from tradeloop.demo.road import RUN_PREFIX, Road, follow, open_road, put_aside, run_dag, wait_for_dags
from tradeloop.demo.screen import DemoScreen
from tradeloop.domain.runs import RunView
from tradeloop.settings import Settings
from tradeloop.store.captures import PostgresCaptureHistory
from tradeloop.store.database import Database


class _Journey:
    """One batch on its way; its legs are kept until it is their turn on the screen."""

    def __init__(self, batch: Batch, run_id: str) -> None:
        self.batch = batch
        self.run_id = run_id
        self.legs: asyncio.Queue[Leg | LegBroken | RunView] = asyncio.Queue()
        self.dag_ended = asyncio.Event()
        self.tasks: list[str] = []

    async def go(self, road: Road) -> None:
        try:
            self.legs.put_nowait(await run_dag(road, self.batch, self.run_id, self._note))
            self.dag_ended.set()
            self.legs.put_nowait(await follow(road, self.batch, self.run_id, self.legs.put_nowait))
        except LegBroken as problem:
            self.legs.put_nowait(problem)
        finally:
            self.dag_ended.set()

    def _note(self, task: str, state: str) -> None:
        self.tasks.append(f"{'✓' if state == 'success' else '✗'} {task}")


async def show(settings: Settings, screen: DemoScreen, batches: Sequence[Batch]) -> bool:
    """Drive the batches; True when the road went all the way round for each."""
    begun_at, begun = datetime.now(UTC), time.monotonic()
    stamp = begun_at.strftime("%Y%m%dT%H%M%S")
    async with open_road(settings) as road:
        await wait_for_dags(road, batches)
        await put_aside(road)
        journeys = [_Journey(batch, f"{RUN_PREFIX}{stamp}-{batch.name}") for batch in batches]
        driver = asyncio.create_task(_drive(road, journeys))
        try:
            seen = [await _tell(journey, screen) for journey in journeys]
        finally:
            driver.cancel()
            await asyncio.gather(driver, return_exceptions=True)
        report = await _prove(road, settings, begun_at)
    complete = report.is_complete and not report.pending
    _tell_proof(screen, report, complete=complete)
    views = [view for view in seen if view is not None]
    is_round = complete and len(views) == len(journeys)
    _tell_end(screen, settings, views, is_round=is_round, elapsed_s=time.monotonic() - begun)
    return is_round


async def _drive(road: Road, journeys: list[_Journey]) -> None:
    """The next DAG starts when the one before has ended; what follows from it goes on beside."""
    async with asyncio.TaskGroup() as group:
        for journey in journeys:
            group.create_task(journey.go(road))
            await journey.dag_ended.wait()


async def _tell(journey: _Journey, screen: DemoScreen) -> RunView | None:
    screen.batch(journey.batch)
    while True:
        try:
            async with asyncio.timeout(0.2):
                told = await journey.legs.get()
        except TimeoutError:
            screen.working(" ".join(journey.tasks) or f"waiting for {journey.batch.tasks[0]}")
            continue
        if isinstance(told, Leg):
            screen.leg(told)
        elif isinstance(told, LegBroken):
            screen.broken(journey.batch.name, told)
            return None
        else:
            return told


async def _prove(road: Road, settings: Settings, since: datetime) -> CaptureReport:
    async with Database.of(settings, size=1) as database:
        store = PostgresCaptureHistory(database)
        until = datetime.now(UTC) + PENDING + timedelta(seconds=1)
        return await audit_capture(road.airflow, store, settings.instance, since, until)


def _tell_proof(screen: DemoScreen, report: CaptureReport, *, complete: bool) -> None:
    screen.section("proof")
    lanes = ", ".join(f"{count} by the {lane} lane" for lane, count in sorted(report.by_lane.items()))
    words = (
        f"{'✓' if complete else '✗'} {report.in_airflow} events in Airflow, {report.accepted} in the inbox ({lanes}), "
        f"missing {len(report.missing)}, doubled {len(report.doubled)}, phantom {len(report.phantom)}"
    )
    screen.leg(Leg("", "capture", words, None, report.as_json()))


def _tell_end(
    screen: DemoScreen, settings: Settings, views: list[RunView], *, is_round: bool, elapsed_s: float
) -> None:
    times = [(v.finished_at - v.appended_at).total_seconds() * 1000 for v in views if v.finished_at]
    median_ms = round(statistics.median(times), 1) if times else None
    first = str(views[0].decision_id)[:8] if views else "ID"
    lines = [
        f"Look: {settings.airflow_url}   (user admin; its password: {settings.home}/airflow/passwords.json)",
        f"      {settings.api_url}   the page: sign in with a key of {settings.home}/keys"
        if settings.api_url
        else "      tradeloop api serves the page",
        f"      tradeloop runs show {first}     tradeloop runs list     tradeloop audit capture --since 1h",
        f"Event on Kafka to decision recorded: median {median_ms} ms.  "
        + (
            f"Everything worked, {elapsed_s:.1f} s.  Stop: tradeloop down" if is_round else "The road did not go round."
        ),
    ]
    screen.summary(
        {
            "round": is_round,
            "decision_ms_median": median_ms,
            "elapsed_s": round(elapsed_s, 2),
            "url": settings.airflow_url,
        },
        lines,
    )
