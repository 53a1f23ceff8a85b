"""Leg (e): from the commit of a task's success to the event on Kafka, to the decision and to the run that follows."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final  # Any: columns of foreign tables

from tradeloop.bench.figures import spread
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import Stage, say, wait_for
from tradeloop.bench.workflow import FOLLOWUP
from tradeloop.kafka.administration import configure_topic

DAG_ID: Final = "bench_ask"
FAST: Final = "fast lane, sweep off"
SWEEP: Final = "sweep lane, fast lane off"
SWEEP_INTERVAL_S: Final = 0.5
WARM_UP: Final = 3

COMMITTED: Final = """
SELECT event ->> 'id' AS event_id, pg_xact_commit_timestamp(e.xmin) AS committed_at
FROM asset_event e CROSS JOIN LATERAL json_array_elements(e.extra -> 'events') AS event
WHERE e.source_dag_id = %(dag)s AND e.source_run_id = ANY(%(runs)s)
"""
DECIDED: Final = """
SELECT i.event_id::text AS event_id, i.lane, i.appended_at, i.received_at, e.prepared_at,
       pg_xact_commit_timestamp(r.xmin) AS decided_at, r.decision_id::text AS decision_id
FROM tradeloop.inbox i JOIN tradeloop.runs r ON r.run_id = i.run_id JOIN tradeloop.effects e ON e.run_id = i.run_id
WHERE i.event_id::text = ANY(%(events)s)
"""
FOLLOWED: Final = """
SELECT run_id AS decision_id, queued_at, start_date, end_date FROM dag_run
WHERE dag_id = %(dag)s AND run_id = ANY(%(runs)s) AND state = 'success'
"""
ENDED: Final = "SELECT count(*) AS n FROM dag_run WHERE dag_id = %(dag)s AND state = 'success'"
LEGS: Final = {
    "event on Kafka": "appended_at",
    "event in the inbox": "received_at",
    "decision made": "prepared_at",
    "decision recorded": "decided_at",
    "follow-up run queued": "queued_at",
    "follow-up run started": "start_date",
    "follow-up run's success": "end_date",
}


def measure(home: Path, *, events: int) -> Leg:
    """One event at a time on an idle stack; each time is read from what was stored, none is asked for."""
    leg = Leg("latency", "(e) time from the commit of the task's success")
    leg.notes += [
        "Commit: pg_xact_commit_timestamp of the asset event's row. Kafka: the broker's append time, whole "
        "milliseconds rounded down, so that the first can be up to 1 ms too small. Made: the action is in the ledger, "
        "before Airflow is called. Recorded: commit of the run's row, after Airflow has answered.",
        f"Sweep: interval {SWEEP_INTERVAL_S} s, no grace for the fast lane.",
    ]
    with Stage(home) as stage:
        topic = stage.settings.events_topic
        configure_topic(stage.settings.kafka_bootstrap, topic, "message.timestamp.type", "LogAppendTime")
        stage.stack.restart("relay", environment={"TRADELOOP_SWEEP": "False"})
        _add(leg, FAST, "fast", _chains(stage, FAST, events))
        stage.capture(on=False)
        stage.stack.restart(
            "relay",
            environment={
                "TRADELOOP_SWEEP": "True",
                "TRADELOOP_SWEEP_GRACE_S": "0",
                "TRADELOOP_SWEEP_INTERVAL_S": str(SWEEP_INTERVAL_S),
            },
        )
        _add(leg, SWEEP, "sweep", _chains(stage, SWEEP, events))
    return leg


def _chains(stage: Stage, case: str, events: int) -> list[dict[str, Any]]:
    """Every chain's rows, the first ones not among them: they find servers that have just started."""
    runs: list[str] = []
    for number in range(events + WARM_UP):
        if number % 10 == 0:
            say(f"latency: {case}, {number} of {events + WARM_UP}")
        known = _followups(stage)
        runs.append(stage.trigger(DAG_ID))
        wait_for(partial(_more_followups, stage, known), 120, "the follow-up run")
    chains = [wait_for(partial(_chain, stage, run_id), 30, "the end of a chain") for run_id in runs]
    return chains[WARM_UP:]


def _followups(stage: Stage) -> int:
    """Asked of the database: a question to the API server would delay the very calls that are measured."""
    return int(stage.airflow_rows(ENDED, {"dag": FOLLOWUP})[0]["n"])


def _more_followups(stage: Stage, known: int) -> bool | None:
    return True if _followups(stage) > known else None


def _chain(stage: Stage, run_id: str) -> dict[str, Any] | None:
    """One event from its commit to the follow-up's end; None while the end is not there."""
    committed = stage.airflow_rows(COMMITTED, {"dag": DAG_ID, "runs": [run_id]})
    decided = stage.rows(DECIDED, {"events": [row["event_id"] for row in committed]}) if committed else []
    followed = (
        stage.airflow_rows(FOLLOWED, {"dag": FOLLOWUP, "runs": [row["decision_id"] for row in decided]})
        if decided
        else []
    )
    return {**committed[0], **decided[0], **followed[0]} if followed else None


def _add(leg: Leg, case: str, lane: str, chains: list[dict[str, Any]]) -> None:
    for name, column in LEGS.items():
        times = [_ms(chain["committed_at"], chain[column]) for chain in chains]
        leg.add(f"{case}: {name}", spread(times, "ms"))
    others = sum(chain["lane"] != lane for chain in chains)
    leg.aim(f"{case}: {len(chains) - others} of {len(chains)} events came by this lane", met=not others)


def _ms(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000
