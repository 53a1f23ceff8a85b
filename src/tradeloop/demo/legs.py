"""What the demo shows: batches, and the legs of the road as they were observed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final  # Any: JSON for --json

from tradeloop.errors import TradeloopError


class LegBroken(TradeloopError):
    """A leg of the road did not come through."""

    def __init__(self, leg: str, message: str, *, log: str) -> None:
        super().__init__(message, where=f"log: {log}", hint="tradeloop status; tradeloop runs list")
        self.leg = leg


ETL: Final = "example_etl_dag"
ETL_TASKS: Final = ("extract", "transform", "validate", "load", "publish_completion")
DESK_TASKS: Final = ("load", "check", "publish")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one DAG run delivers, and what must come of it: a month of prices, or the example of another desk."""

    name: str
    month: str
    """Empty when the DAG takes none."""
    about: str
    outcomes: frozenset[str]
    """The decisions that are right."""
    dag: str
    """The DAG that the decision starts; empty when a person decides."""
    conf: dict[str, Any] = field(default_factory=dict)
    source: str = ETL
    """The DAG that delivers it."""
    tasks: tuple[str, ...] = ETL_TASKS

    @property
    def run_conf(self) -> dict[str, Any]:
        """The conf of the batch's DAG run."""
        return {"month": self.month, **self.conf} if self.month else dict(self.conf)


BATCHES: Final = (
    Batch("A", "2009-07", "clean", frozenset({"ACCEPT"}), "publish_batch"),
    Batch(
        "B",
        "2009-08",
        "one bar × 100",
        frozenset({"REFETCH"}),
        "refetch_batch",
        {"scale": {"date": "2009-08-14", "factor": 100}},
    ),
    Batch("C", "2008-10", "true and extreme", frozenset({"ESCALATE", "ACCEPT_WITH_NOTE"}), ""),
)
OTHER_DESKS: Final = (
    Batch(
        "reconciliation",
        "",
        "a price differs by a hundredth of a cent",
        frozenset({"AUTO_RESOLVE"}),
        "post_adjustment",
        source="reconciliation_batch",
        tasks=DESK_TASKS,
    ),
    Batch(
        "limits",
        "",
        "one position beyond its share",
        frozenset({"REQUEST_APPROVAL"}),
        "limits_case",
        source="limits_check",
        tasks=DESK_TASKS,
    ),
    Batch(
        "settlement",
        "",
        "a counterparty is short of securities",
        frozenset({"CHASE_COUNTERPARTY"}),
        "chase_counterparty",
        source="settlement_status",
        tasks=DESK_TASKS,
    ),
)
"""With `--desks`: the examples that the DAGs of the other desks bring along."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg, observed: an offset, a row, an answer."""

    batch: str
    name: str
    """dag, event, graph, decision or back."""
    words: str
    elapsed_s: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {"batch": self.batch, "leg": self.name, "elapsed_s": self.elapsed_s, **self.facts}
