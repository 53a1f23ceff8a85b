"""The graph under chaos: some work, a decision, and an effect at a target that counts."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final  # Any: LangGraph's state

from tradeloop.domain.actions import Action
from tradeloop.domain.decisions import Decision
from tradeloop.workflow import Workflow

ASKED: Final = "chaos.asked"
FOLLOWUP: Final = "chaos_followup"
HOOK: Final = "hook"
DAG: Final = "dag"
TARGET: Final = "TRADELOOP_CHAOS_TARGET"
"""Variable with the name (or, for a design without names, the URL) of the target that counts."""


async def weigh(state: dict[str, Any]) -> dict[str, Any]:
    """Wait as a model would, so that a kill finds runs in hand."""
    data = state["event"]["payload"]["data"]
    await asyncio.sleep(data["work_ms"] / 1000)
    return {"facts": {"weighed": data["place"]}}


def decide(state: dict[str, Any]) -> dict[str, Any]:
    """Decide on the effect that the event asks for."""
    data = state["event"]["payload"]["data"]
    params = {"event_id": state["event"]["event_id"], "place": data["place"]}
    if data["effect"] == DAG:
        action = Action(kind="trigger_dag", target=FOLLOWUP, params=params)
    else:
        action = Action(kind="webhook", target=os.environ[TARGET], params=params)
    return {"decision": Decision(outcome="GO", action=action)}


workflow: Final = Workflow.chain(ASKED, weigh, decide, desk="chaos")
