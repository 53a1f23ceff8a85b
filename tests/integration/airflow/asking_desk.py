"""A desk whose decision starts the DAG that its event names."""

from __future__ import annotations

from tradeloop import Action, Decision, Workflow
from tradeloop.workflow import GraphState


def decide(state: GraphState) -> GraphState:
    action = Action(kind="trigger_dag", target=state["event"]["payload"]["data"]["dag_id"])
    return {"decision": Decision(outcome="START", reasons=["it was asked for"], action=action).plain}


workflow = Workflow.chain("edge.asked_to_start", decide, desk="asking")
