"""The market-data desk's graph: load -> facts -> policy -> guard -> act."""

from __future__ import annotations

from pathlib import Path
from typing import Any  # LangGraph's own type parameters

from langgraph.graph import END, START, StateGraph

from tradeloop.desks.marketdata.batch import open_batch
from tradeloop.desks.marketdata.facts import gather
from tradeloop.desks.marketdata.findings import Facts
from tradeloop.desks.marketdata.policy import Policy
from tradeloop.desks.marketdata.verdict import BatchHeader, judge
from tradeloop.desks.marketdata.verdict import guard as released
from tradeloop.settings import load_settings
from tradeloop.workflow import GraphContext, GraphState, act, decision_of


def build(policy: Policy, reference_root: Path | None = None) -> StateGraph[Any, Any, Any, Any]:
    """The graph under this policy; its nodes are pure functions of the state and of the bytes a digest binds.

    Bars never enter the state: a checkpoint keeps the batch's header and digest, and `facts` reads the bars again.
    Batches by reference are read below `reference_root`, by default TRADELOOP_REFERENCE_ROOT.
    """

    def root() -> Path:
        return reference_root or load_settings().reference_root

    def load(state: GraphState) -> GraphState:
        """Read and check the batch; refuse one that cannot be judged at all."""
        batch, digest = open_batch(state["event"]["payload"]["data"], root())
        return {"facts": {"batch": BatchHeader.of(batch, digest).model_dump(mode="json")}}

    def facts(state: GraphState) -> GraphState:
        """Run every check on the bars."""
        batch, _ = open_batch(state["event"]["payload"]["data"], root())
        found = gather(batch, policy.thresholds)
        return {"facts": {**state["facts"], "found": found.model_dump(mode="json")}}

    def decide(state: GraphState) -> GraphState:
        """Answer by policy, without an action."""
        header, found = _known(state)
        return {"decision": judge(policy, header, found).model_dump(mode="json")}

    def guard(state: GraphState) -> GraphState:
        """Hold the decision against the policy and add the action that the policy allows."""
        header, found = _known(state)
        return {"decision": released(policy, header, found, decision_of(dict(state))).model_dump(mode="json")}

    builder = StateGraph(GraphState, context_schema=GraphContext)
    builder.add_node("load", load)
    builder.add_node("facts", facts)
    builder.add_node("policy", decide)
    builder.add_node("guard", guard)
    builder.add_node("act", act)
    names = ["load", "facts", "policy", "guard", "act"]
    for before, after in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(before, after)
    return builder


def _known(state: GraphState) -> tuple[BatchHeader, Facts]:
    kept = state["facts"]
    return BatchHeader.model_validate(kept["batch"]), Facts.model_validate(kept["found"])
