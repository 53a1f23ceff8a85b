"""The graph of every desk: load, facts, policy, specialists side by side, decider, guard, act."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, Final  # Any: JSON and LangGraph's own type parameters
from uuid import UUID, uuid5

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from tradeloop.desks.desk import Desk, Json, Specialist, Verdict
from tradeloop.domain.canonical import canonical_json, sha256_hex
from tradeloop.domain.decisions import Decision
from tradeloop.errors import ModelUnavailable
from tradeloop.gate.lattice import guarded
from tradeloop.ports import Agents, Answer, Question
from tradeloop.settings import load_settings
from tradeloop.workflow import GraphContext, GraphState, Workflow, act, context_of

NO_MODEL: Final = "no model is configured: policy decides alone"
DECIDER: Final = (
    "Weigh the specialists' opinions against the facts. Propose one outcome. Cite the ids of the facts that carry it. "
    "When the facts do not carry a less cautious outcome, propose policy's own."
)
NAMESPACE: Final = UUID("6f0f2a4e-6c43-5a0c-9a52-0b0b4f3a6c11")


class DeskState(GraphState, total=False):
    """The state of a desk's graph."""

    header: dict[str, Any]
    consults: bool
    """Whether agents are asked."""
    opinions: Annotated[list[dict[str, Any]], operator.add]
    """Of each specialist: role, findings of its tool, outcome, cited, rationale, model; or `failed`.
    `told`: digests of what tools from outside said, which is quoted to the specialist and kept nowhere."""
    proposal: dict[str, Any] | None
    """The decider's, as a decision; None when no agent gave a sensible answer."""


def workflow_of(desk: Desk, *, timeout_s: float = 300.0) -> Workflow:
    """The desk as a workflow; its version changes with policy, prompts, allow-list and the graph's code."""
    prompts = [[one.name, one.instructions] for one in desk.specialists]
    lists = [[one.kind, one.target, one.params.model_json_schema(), one.asked] for one in desk.allowed]
    meaning = canonical_json([desk.policy.digest, list(desk.lattice.outcomes), prompts, DECIDER, lists])
    return Workflow(
        event_type=desk.event_type,
        desk=desk.name,
        graph=build(desk),
        policy_hash=sha256_hex(meaning),
        timeout_s=timeout_s,
        allowed=desk.allowed,
        warm=desk.warm,
    )


def build(desk: Desk, reference_root: Path | None = None) -> StateGraph[Any, Any, Any, Any]:
    """The desk's graph. What is asked of a model can make the answer more cautious, or cite its way through what
    policy left open; the guard computes policy's answer anew and lets nothing else pass, and every action is the
    desk's own, made of typed facts.

    Batches by reference are read below `reference_root`, by default TRADELOOP_REFERENCE_ROOT.
    """
    nodes = _Nodes(desk, reference_root)
    builder = StateGraph(DeskState, context_schema=GraphContext)
    builder.add_node("load", nodes.load)
    builder.add_node("facts", nodes.facts)
    builder.add_node("policy", nodes.policy)
    builder.add_node("guard", nodes.guard)
    builder.add_node("act", act)
    for before, after in ((START, "load"), ("load", "facts"), ("facts", "policy"), ("guard", "act"), ("act", END)):
        builder.add_edge(before, after)
    if not desk.specialists:
        builder.add_edge("policy", "guard")
        return builder
    builder.add_node("specialist", nodes.specialist)
    builder.add_node("decider", nodes.decider)
    builder.add_conditional_edges("policy", nodes.consulted, ["specialist", "guard"])
    builder.add_edge("specialist", "decider")
    builder.add_edge("decider", "guard")
    return builder


class _Nodes:
    def __init__(self, desk: Desk, reference_root: Path | None) -> None:
        self._desk = desk
        self._reference_root = reference_root

    @property
    def _root(self) -> Path:
        return self._reference_root or load_settings().reference_root

    def load(self, state: DeskState) -> Json:
        """Read and check what the event is about; refuse what cannot be judged at all."""
        return {"header": self._desk.load(_data(state), self._root)}

    def facts(self, state: DeskState) -> Json:
        """Run every check."""
        return {"facts": self._desk.facts(_data(state), self._root)}

    def policy(self, state: DeskState, runtime: Runtime[GraphContext]) -> Json:
        """Answer by policy, without an action."""
        verdict = self._desk.judge(state["header"], state["facts"])
        decision, wanted = verdict.decision, verdict.asks and bool(self._desk.specialists)
        if wanted and context_of(runtime).agents is None:
            decision = decision.model_copy(update={"reasons": [*decision.reasons, NO_MODEL]})
        consults = wanted and context_of(runtime).agents is not None
        return {"decision": decision.model_dump(mode="json"), "consults": consults}

    def consulted(self, state: DeskState) -> list[Send] | str:
        """Whom to ask."""
        if not state.get("consults"):
            return "guard"
        return [Send("specialist", {**state, "role": one.name}) for one in self._desk.specialists]

    async def specialist(self, state: dict[str, Any], runtime: Runtime[GraphContext]) -> Json:
        """One specialist: its tool's further facts, and what its model makes of them."""
        one = next(each for each in self._desk.specialists if each.name == state["role"])
        findings = one.tool(state["header"], state["facts"], self._root).get("findings", [])
        opinion: Json = {"role": one.name, "findings": findings}
        question = self._question(state, one, findings)
        told = await self._told_by_tools(state, one, runtime)
        if told:
            opinion["told"] = {name: sha256_hex(text.encode("utf-8", "surrogatepass")) for name, text in told.items()}
            question = question.model_copy(update={"quoted": question.quoted | told})
        answer = await self._asked(question, runtime)
        return {"opinions": [opinion | (answer.model_dump(mode="json") if answer else {"failed": True})]}

    async def decider(self, state: DeskState, runtime: Runtime[GraphContext]) -> Json:
        """Weigh the opinions; propose."""
        opinions = sorted(state.get("opinions", []), key=lambda opinion: str(opinion["role"]))
        if all(opinion.get("failed") for opinion in opinions):
            return {"proposal": None}
        told = {"facts": state["facts"], "opinions": _without_words(opinions), "policy": state["decision"]}
        base = self._base(state)
        question = base.model_copy(
            update={
                "role": "decider",
                "instructions": DECIDER,
                "facts": told,
                "quoted": base.quoted | _words_of(opinions),
                "fact_ids": _ids(state),
            }
        )
        answer = await self._asked(question, runtime)
        return {"proposal": _as_decision(answer) if answer else None}

    async def guard(self, state: DeskState, runtime: Runtime[GraphContext]) -> Json:
        """Hold the decision against policy and add the action that policy allows; rest while the desk is stopped."""
        await context_of(runtime).acting.admit()
        verdict = self._desk.judge(state["header"], state["facts"])
        if state.get("consults"):
            proposal = state.get("proposal")
            decision = guarded(
                self._desk.lattice,
                verdict.decision,
                Decision.model_validate(proposal) if proposal else None,
                ambiguous=verdict.ambiguous,
                facts=_ids(state),
            )
        else:
            decision = Decision.model_validate(state["decision"])
        action = self._desk.action(state["header"], state["facts"], decision.outcome)
        asked = action is None and self._desk.asks is not None
        if action is None and self._desk.asks is not None:
            action = self._desk.asks(state["header"], state["facts"], decision.outcome)
        told = {"action": action, "asked": asked and action is not None}
        return {"decision": decision.model_copy(update=told).model_dump(mode="json")}

    async def _asked(self, question: Question, runtime: Runtime[GraphContext]) -> Answer | None:
        agents: Agents | None = context_of(runtime).agents
        if agents is None:
            return None
        try:
            return await agents.ask(question, run_id=_run_id(runtime), desk=self._desk.name)
        except ModelUnavailable:
            return None

    async def _told_by_tools(self, state: Json, one: Specialist, runtime: Runtime[GraphContext]) -> dict[str, str]:
        context = context_of(runtime)
        if context.tools is None or context.agents is None:
            return {}
        return await context.tools.gather(self._desk.name, one.name, state["header"])

    def _question(self, state: dict[str, Any], one: Specialist, findings: list[Json]) -> Question:
        told = {"facts": state["facts"], "found_by_tool": findings}
        ids = (*_ids({"facts": state["facts"]}), *(str(finding["id"]) for finding in findings))
        return self._base(state).model_copy(
            update={"role": one.name, "instructions": one.instructions, "facts": told, "fact_ids": ids}
        )

    def _base(self, state: Any) -> Question:
        verdict: Verdict = self._desk.judge(state["header"], state["facts"])
        own = verdict.decision.outcome
        open_to_them = {*verdict.ambiguous, own}
        outcomes = [
            outcome
            for outcome in self._desk.lattice.outcomes
            if outcome in open_to_them or self._desk.lattice.caution(outcome) > self._desk.lattice.caution(own)
        ]
        return Question(
            desk=self._desk.name,
            role="",
            instructions="",
            facts={},
            quoted=dict(verdict.quoted),
            outcomes=tuple(outcomes),
        )


def _data(state: DeskState) -> Json:
    data: Json = state["event"]["payload"]["data"]
    return data


def _ids(state: Any) -> tuple[str, ...]:
    found = list(state["facts"].get("findings", []))
    for opinion in state.get("opinions", []):
        found += opinion["findings"]
    return tuple(dict.fromkeys(str(finding["id"]) for finding in found))


def _without_words(opinions: list[Json]) -> list[Json]:
    return [{key: value for key, value in one.items() if key not in ("rationale", "model", "told")} for one in opinions]


def _words_of(opinions: list[Json]) -> dict[str, str]:
    """What specialists' models wrote, to be quoted: they read text from outside, and may repeat it."""
    return {f"rationale of {one['role']}": str(one["rationale"]) for one in opinions if one.get("rationale")}


def _run_id(runtime: Runtime[GraphContext]) -> UUID:
    info = runtime.execution_info
    thread = str(info.thread_id if info else "")
    try:
        return UUID(thread)
    except ValueError:  # outside of the engine: a rehearsal, a developer's server
        return uuid5(NAMESPACE, thread)


def _as_decision(answer: Answer) -> Json:
    return Decision(
        outcome=answer.outcome or "?",
        reasons=[f"proposed by {answer.model.get('name', 'a model')} on {', '.join(answer.cited) or 'no fact'}"],
        decided_by="model",
        cited=answer.cited,
        model={**answer.model, "rationale": answer.rationale},
    ).model_dump(mode="json")
