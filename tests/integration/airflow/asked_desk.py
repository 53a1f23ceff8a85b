"""A desk that answers what its question says, acts when it is told to, and puts the action before a person."""

from __future__ import annotations

from tradeloop import Action, Decision, Workflow
from tradeloop.workflow import GraphState


def decide(state: GraphState) -> GraphState:
    data = state["event"]["payload"]["data"]
    if data.get("breaks"):
        raise ValueError("the inputs make no sense")
    action = Action(kind="trigger_dag", target="edge_target", params={"by": data["acts"]}) if data.get("acts") else None
    answer = Decision(outcome=data["outcome"], reasons=["as it was asked"], action=action, asked=action is not None)
    return {"decision": answer.plain}


workflow = Workflow.chain("edge.question", decide, desk="edge")
