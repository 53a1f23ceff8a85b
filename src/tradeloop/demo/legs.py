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


@dataclass(frozen=True, slots=True)
class Batch:
    """One month of prices, what is done to it, and what must come of it."""

    name: str
    month: str
    about: str
    outcomes: frozenset[str]
    """The decisions that are right."""
    dag: str
    """The DAG that the decision starts; empty when a person decides."""
    conf: dict[str, Any] = field(default_factory=dict)

    @property
    def run_conf(self) -> dict[str, Any]:
        """The conf of the batch's DAG run."""
        return {"month": self.month, **self.conf}


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
