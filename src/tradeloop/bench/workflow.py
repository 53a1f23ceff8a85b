"""The graphs that answer the benchmark's events: as cheap as a graph can be, so that the road is what is measured."""

from __future__ import annotations

from typing import Any, Final  # Any: LangGraph's state

from tradeloop.domain.actions import Action
from tradeloop.domain.decisions import Decision
from tradeloop.workflow import Workflow

NOTED: Final = "bench.noted"
ASKED: Final = "bench.asked"
FOLLOWUP: Final = "bench_followup"


def note(_: dict[str, Any]) -> dict[str, Any]:
    """Decide, and start nothing."""
    return {"decision": Decision(outcome="NOTED", reasons=["a benchmark's event"])}


def ask(_: dict[str, Any]) -> dict[str, Any]:
    """Decide that the follow-up DAG runs."""
    return {"decision": Decision(outcome="FOLLOW", action=Action(kind="trigger_dag", target=FOLLOWUP))}


workflows: Final = [Workflow.chain(NOTED, note, desk="bench"), Workflow.chain(ASKED, ask, desk="bench")]
