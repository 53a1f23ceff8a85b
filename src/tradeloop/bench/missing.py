"""Leg (d): nothing missing after the broker was away for longer than the fast lane remembers."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tradeloop.airflow.capture_audit import CaptureReport, audit_capture
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import Stage, say, wait_for
from tradeloop.errors import TradeloopError
from tradeloop.kafka.fastlane import MESSAGE_TIMEOUT_MS
from tradeloop.store.captures import PostgresCaptureHistory
from tradeloop.store.database import Database

DAG_ID: Final = "bench_burst"
AWAY_S: Final = MESSAGE_TIMEOUT_MS / 1000 + 10
"""So long the broker does not answer after the first event: what was offered in the first 10 s expires before it does
again."""
EVERY_S: Final = 2.0
SETTLED_WITHIN_S: Final = 180.0
BEFORE_THE_KILL: Final = 4
"""Runs that are started together right before the API server is killed, so that tasks are at work then."""


def measure(home: Path, *, away_s: float = AWAY_S) -> Leg:
    """Stop the broker while DAG runs emit events; once kill the API server with -9 meanwhile. Then audit.

    With less than `AWAY_S` the fast lane may bring everything, and the sweep nothing.
    """
    leg = Leg("missing", "(d) nothing missing: the broker away for longer than the producer's message time-out")
    leg.notes.append(
        f"Broker stopped (SIGSTOP) for {away_s:.0f} s, message time-out {MESSAGE_TIMEOUT_MS / 1000:.0f} s, "
        "a run with 3 events in one task every 2 s. Seen by both: arrived by both lanes, the second one dropped."
    )
    with Stage(home) as stage:
        _measure_one(leg, stage, "broker stopped", away_s, kill=False)
        _measure_one(leg, stage, "broker stopped, API server killed with -9", away_s, kill=True)
    return leg


def _measure_one(leg: Leg, stage: Stage, case: str, away_s: float, *, kill: bool) -> None:
    say(f"missing: {case}, for {away_s:.0f} s")
    since = datetime.now(UTC)
    with stage.stopped("kafka"):
        first = stage.trigger(DAG_ID)
        stage.wait_until_ended(DAG_ID, first)  # its events are the fast lane's now: the time that counts begins
        runs = [first, *_emit(stage, away_s / 2)]
        runs += _kill_api_server(stage) if kill else []
        runs += _emit(stage, away_s / 2)
    say("missing: the broker is back; waiting for the runs and for the sweep")
    states = [stage.wait_until_ended(DAG_ID, run_id).state for run_id in runs]
    begun = time.monotonic()
    report = wait_for(lambda: _settled(stage, since, begun), SETTLED_WITHIN_S + 30, "the audit")
    fast, sweep = report.by_lane.get("fast", 0), report.by_lane.get("sweep", 0)
    leg.add(
        case,
        {
            "runs": len(runs),
            "runs_failed": states.count("failed"),
            "in_airflow": report.in_airflow,
            "accepted": report.accepted,
            "missing": len(report.missing) + report.pending,
            "phantom": len(report.phantom),
            "doubled": len(report.doubled),
            "by_fast_lane": fast,
            "by_sweep": sweep,
            "seen_by_both": report.seen_by_both,
            "worst_delay_s": report.worst_delay_s,
        },
    )
    whole = report.is_complete and report.pending == 0 and report.in_airflow > 0
    counts = f"missing {len(report.missing)}, phantom {len(report.phantom)}, doubled {len(report.doubled)}"
    leg.aim(f"{case}: {counts} of {report.in_airflow}, all 0", met=whole)
    leg.aim(f"{case}: {fast} by the fast lane, {sweep} by the sweep, at least 1 by the sweep", met=sweep >= 1)


def _emit(stage: Stage, for_s: float) -> list[str]:
    """Start a run every now and then, for so long."""
    begun = time.monotonic()
    runs: list[str] = []
    while time.monotonic() - begun < for_s:
        runs.append(stage.trigger(DAG_ID))
        time.sleep(EVERY_S)
    return runs


def _kill_api_server(stage: Stage) -> list[str]:
    """Kill it while tasks are at work and events wait in its memory, and start it again; the runs that it met."""
    runs = [stage.trigger(DAG_ID) for _ in range(BEFORE_THE_KILL)]
    wait_for(lambda: _at_work(stage, runs), 60, "the start of a task")
    stage.stack.signal("api-server", signal.SIGKILL)
    stage.stack.restart("api-server")
    return runs


def _at_work(stage: Stage, runs: list[str]) -> bool | None:
    found = stage.airflow_rows(
        "SELECT 1 AS one FROM task_instance WHERE state = 'running' AND run_id = ANY(%(runs)s) LIMIT 1", {"runs": runs}
    )
    return True if found else None


def _settled(stage: Stage, since: datetime, begun: float) -> CaptureReport | None:
    """The audit once it finds nothing open, or when there was time enough."""
    try:
        report = stage.run(_audit(stage, since))
    except TradeloopError as problem:
        say(f"missing: {problem.message}")
        return None
    open_ones = len(report.missing) + report.pending
    return report if not open_ones or time.monotonic() - begun > SETTLED_WITHIN_S else None


async def _audit(stage: Stage, since: datetime) -> CaptureReport:
    settings = stage.settings
    async with Database(settings.database_url, size=2) as database:
        return await audit_capture(
            stage.airflow, PostgresCaptureHistory(database), settings.instance, since, datetime.now(UTC)
        )
