"""The boundaries at which a process can die: every method of every port on the road, generated, and who passes them."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import isfunction
from typing import Final

from langgraph.checkpoint.base import BaseCheckpointSaver

from tradeloop import ports
from tradeloop.engine.workload import Source

PORTS: Final[dict[str, tuple[type, str]]] = {
    "Source": (Source, "tradeloop.kafka.consumer:KafkaSource"),
    "Inbox": (ports.Inbox, "tradeloop.store.inbox:PostgresInbox"),
    "Runs": (ports.Runs, "tradeloop.store.runs:PostgresRuns"),
    "EffectLedger": (ports.EffectLedger, "tradeloop.store.effects:PostgresEffects"),
    "AirflowApi": (ports.AirflowApi, "tradeloop.airflow.client:AirflowClient"),
    "Checkpoints": (BaseCheckpointSaver, "tradeloop.store.checkpoints:CheckpointStore"),
    "Outbox": (ports.Outbox, "tradeloop.store.outbox:PostgresOutbox"),
    "Publisher": (ports.Publisher, "tradeloop.kafka.producer:KafkaPublisher"),
}
"""Ports that worker and relay pass between an event and its decision, and the classes that stand there."""

OF_THE_RELAY: Final = frozenset({"Outbox", "Publisher"})

OFF_THE_ROAD: Final[dict[str, str]] = {
    "Runs.owned": "asked only after an answer was lost: the mode `unanswered` of the claims passes it",
    "Runs.suspend": "of targets that honour no key; `test_effect_ledger.py` holds it on PostgreSQL",
    "EffectLedger.doubt": "the same",
    "EffectLedger.resolve": "a person's",
    "EffectLedger.refuse": "of what people refuse: `test_a_no_that_was_written_down_before_a_crash_stays_a_no`",
    "EffectLedger.stopped": "asked by the guard of a desk; it writes nothing",
    "Outbox.append": "of the effect `publish_event`",
    "AirflowApi.asset_events": "of the sweep, which has tests of its own",
    "AirflowApi.oldest_asset_event_at": "of the sweep",
    "AirflowApi.holds_back_rows": "of the sweep",
    "AirflowApi.missing_permissions": "of the doctor",
    "AirflowApi.visible_dags": "of the doctor",
}
"""Methods that the road does not pass, and why."""

CHECKPOINTS: Final = {"aput": 5, "aput_writes": 4}
"""Methods of LangGraph's saver that write, and how often a run of three nodes passes them."""

NEEDS: Final[dict[str, str]] = {
    "Runs.retry": "fails",
    "Runs.renew": "waits",
    "Runs.take_over": "waits",
    "Runs.cancellable": "waits",
    "Runs.backlog": "waits",
    "Runs.retire": "stops",
    "Outbox.release": "stops",
    "EffectLedger.block": "blocked",
    "AirflowApi.dag_run": "unclear",
}
"""What must happen beside the plain road, so that a method is passed."""

MODES: Final = ("killed", "stopped")


@dataclass(frozen=True, slots=True)
class Point:
    """Where a process dies, and how."""

    method: str
    """Port and method."""
    when: str
    """before or after."""
    nth: int
    mode: str
    needs: str = ""

    def __str__(self) -> str:
        count = f" {self.nth}" if self.nth > 1 else ""
        return f"{self.mode} {self.when} {self.method}{count}"

    @property
    def of_the_relay(self) -> bool:
        return self.method.partition(".")[0] in OF_THE_RELAY

    @property
    def target(self) -> str:
        """The class and method as `module:class.method`."""
        port, _, method = self.method.partition(".")
        return f"{PORTS[port][1]}.{method}"


def methods_of(port: type) -> list[str]:
    """The methods that a port asks of whoever stands there."""
    return [name for name, member in vars(port).items() if isfunction(member) and not name.startswith("_")]


def road() -> list[tuple[str, int]]:
    """Port and method, and the how-manieth call: in the order of the ports."""
    found = []
    for name, (port, _) in PORTS.items():
        if name == "Checkpoints":
            found += [(f"{name}.{method}", n + 1) for method, count in CHECKPOINTS.items() for n in range(count)]
        else:
            found += [(f"{name}.{method}", 1) for method in methods_of(port)]
    return [(method, nth) for method, nth in found if method not in OFF_THE_ROAD]


def points() -> list[Point]:
    """Before and after each call, by kill -9 and by a stop that outlives the lease."""
    return [
        Point(method, when, nth, mode, NEEDS.get(method, ""))
        for mode in MODES
        for method, nth in road()
        for when in ("before", "after")
    ]
