"""A process dies, or stops past its lease, at every boundary between an event and its decision; others finish."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from crash_cases import Case, Found, Zygote
from crash_points import CHECKPOINTS, MODES, NEEDS, OFF_THE_ROAD, PORTS, Point, methods_of, points

AT_ONCE = 8
"""Cases at a time: most of each is waiting for a lease to end."""
OUTWARD = {"AirflowApi.trigger_dag", "Publisher.publish", "Runs.record", "EffectLedger.begin", "Inbox.accept"}
"""Calls that others see: here a kill behind the call is another case than one before the next."""
POINTS = [
    point
    for point in points()
    if os.environ.get("CRASH_POINTS") == "all"
    or (point.mode == MODES[0] and (point.when == "before" or point.method in OUTWARD))
]
"""The short form; `make crash-points` kills behind every call, too, and stops processes past their lease."""


@pytest.fixture(scope="module")
async def found(
    request: pytest.FixtureRequest, template: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[Point, tuple[Case, asyncio.Task[Found]]]]:
    """Every selected case, under way together."""
    wanted = [
        item.callspec.params["point"]
        for item in request.session.items
        if hasattr(item, "callspec") and "point" in item.callspec.params
    ]
    base, _, origin = template["database_url"].rpartition("/")
    zygote, slots = Zygote(), asyncio.Semaphore(AT_ONCE)
    making = asyncio.Lock()

    async def run(case: Case, name: str) -> Found:
        async with slots:
            async with making:
                await asyncio.to_thread(_make_database, template["administrator_url"], name, origin)
            try:
                return await case.run()
            finally:
                await asyncio.to_thread(_drop_database, template["administrator_url"], name)

    cases = {}
    for number, point in enumerate(wanted):
        name = f"crash_{number:03}"
        case = Case(point, zygote, tmp_path_factory.mktemp("crash"), template["kafka_bootstrap"], f"{base}/{name}")
        cases[point] = case, asyncio.create_task(run(case, name))
    yield cases
    for _, task in cases.values():
        task.cancel()
    await asyncio.gather(*(task for _, task in cases.values()), return_exceptions=True)
    zygote.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", POINTS, ids=str)
async def test_a_crash_at_any_boundary_loses_nothing_and_doubles_nothing(
    found: dict[Point, tuple[Case, asyncio.Task[Found]]], point: Point
) -> None:
    case, task = found[point]
    _is_whole(case, await task)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("clock_s", [3600.0, -3600.0])
async def test_a_clock_that_is_off_by_an_hour_changes_nothing(
    template: dict[str, str], database_url: str, tmp_path: Path, clock_s: float
) -> None:
    zygote, point = Zygote(), Point("Runs.record", "before", 1, "killed")
    try:
        case = Case(point, zygote, tmp_path, template["kafka_bootstrap"], database_url, clock_s)
        _is_whole(case, await case.run())
    finally:
        zygote.close()


@pytest.mark.timeout(900)
async def test_a_run_that_kills_every_worker_ends_as_a_crash_loop_and_its_subject_goes_on(
    template: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    zygote, point = Zygote(), Point("Runs.record", "before", 1, "killed", needs="kills")
    try:
        ended = await Case(point, zygote, tmp_path, template["kafka_bootstrap"], database_url).run_with_new_workers()
    finally:
        zygote.close()
    assert [(run["state"], run["error_class"]) for run in ended] == [
        ("failed", "CrashLoop"),
        ("done", None),
        ("done", None),
    ]


def test_every_method_of_every_port_on_the_road_is_a_crash_point_or_is_excused() -> None:
    every = {
        f"{name}.{method}" for name, (port, _) in PORTS.items() if name != "Checkpoints" for method in methods_of(port)
    }
    covered = {point.method for point in POINTS if not point.method.startswith("Checkpoints.")}
    assert covered | set(OFF_THE_ROAD) == every
    assert not covered & set(OFF_THE_ROAD)
    assert set(NEEDS) <= covered
    assert {point.method for point in POINTS if point.method.startswith("Checkpoints.")} == {
        f"Checkpoints.{method}" for method in CHECKPOINTS
    }


def _is_whole(case: Case, rest: Found) -> None:
    first, second, other = (str(event.event_id) for event in case.events)
    assert rest.reached, f"the road does not pass {case.point}: see OFF_THE_ROAD, NEEDS"
    assert rest.runs == ["done"] * 3, rest.logs
    assert rest.effects == Counter([first, second, other]), rest.logs
    assert rest.ledger == ["executed"] * 3, rest.logs
    assert sorted(rest.decided) == sorted([first, second, other]), rest.logs
    assert rest.decided.index(first) < rest.decided.index(second), rest.logs
    assert not any(rest.left.values()), (rest.left, rest.logs)


def _make_database(administrator_url: str, name: str, origin: str) -> None:
    with psycopg.connect(administrator_url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{origin}" OWNER tradeloop'.encode())


def _drop_database(administrator_url: str, name: str) -> None:
    with psycopg.connect(administrator_url, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
