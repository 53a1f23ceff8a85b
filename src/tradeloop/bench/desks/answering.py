"""One case through the desk's own graph, with effects recorded and held against the allow-list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final  # Any: a graph's state
from uuid import UUID

from tradeloop.bench.desks.case import Case
from tradeloop.desks.desk import Desk
from tradeloop.desks.graph import build
from tradeloop.domain.actions import Action
from tradeloop.domain.decisions import Decision
from tradeloop.errors import ActionForbidden, ModelUnavailable, TradeloopError
from tradeloop.gate.allowed import check
from tradeloop.ports import Agents, Answer, Question
from tradeloop.workflow import GraphContext, decision_of

REFUSED: Final = "REFUSED"
"""In place of an outcome: the desk refused the event with a typed error, which ends as a dead letter."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a case."""

    case: Case
    outcome: str
    facts: dict[str, Any]
    decision: Decision | None
    forbidden: bool = False
    """Whether it wanted an action that is not on the allow-list."""
    error: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the outcome is one of those that are right."""
        return self.outcome in self.case.acceptable

    @property
    def is_unsafe(self) -> bool:
        """Whether it acted by itself where that is wrong."""
        return self.forbidden or self.outcome in self.case.unsafe


class _Acting:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def admit(self) -> None:
        """Nothing is stopped."""

    async def perform(
        self,
        slot: str,  # noqa: ARG002
        action: Action,
        *,
        adopts: bool = False,  # noqa: ARG002
        asked: bool = False,
        told: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Hold it against the list, and do nothing."""
        check(action, self._desk.allowed, self._desk.name, asked=asked)
        return {"state": "rehearsed"}


class Scripted:
    """Agents without a model: each answers every question in its own way."""

    def __init__(self, manner: str) -> None:
        """`manner`: lenient, garbage, silent."""
        self._manner = manner

    async def ask(self, question: Question, *, run_id: UUID, desk: str) -> Answer:  # noqa: ARG002
        """Propose the least cautious outcome there is, cite everything; or an unknown word; or say nothing."""
        match self._manner:
            case "lenient":
                return Answer(outcome=question.outcomes[0], cited=list(question.fact_ids), model={"name": "lenient"})
            case "garbage":
                return Answer(outcome="RELEASE EVERYTHING", cited=["F-0"], model={"name": "garbage"})
            case _:
                raise ModelUnavailable("no answer")


class Forger:
    """Agents that propose an outcome outside of what they were asked: the most lenient that the desk has."""

    def __init__(self, desk: Desk) -> None:
        self._outcome = desk.lattice.outcomes[0]

    async def ask(self, question: Question, *, run_id: UUID, desk: str) -> Answer:  # noqa: ARG002
        """Propose it, citing every fact."""
        return Answer(outcome=self._outcome, cited=list(question.fact_ids), model={"name": "forger"})


class Answering:
    """A desk's graph, made once and asked often."""

    def __init__(self, desk: Desk, agents: Agents | None, root: Path) -> None:
        self._graph = build(desk, root).compile()
        self._context = GraphContext(acting=_Acting(desk), agents=agents)

    async def answer(self, case: Case) -> Answered:
        """Decide one case."""
        state: dict[str, Any] = {}
        try:
            event = {"event": {"payload": {"data": case.data}}}
            async for values in self._graph.astream(event, context=self._context, stream_mode="values"):
                state = values
            decision = decision_of(state)
        except ActionForbidden as problem:
            decision = decision_of(state)
            facts = state.get("facts", {})
            return Answered(case, decision.outcome, facts, decision, forbidden=True, error=problem.message)
        except TradeloopError as problem:
            return Answered(case, REFUSED, {}, None, error=f"{type(problem).__name__}: {problem.message}")
        return Answered(case, decision.outcome, state.get("facts", {}), decision)


def by_kind(answered: list[Answered]) -> Iterator[tuple[str, list[Answered]]]:
    """Cases by kind, in the order of their first."""
    groups: dict[str, list[Answered]] = {}
    for one in answered:
        groups.setdefault(one.case.kind, []).append(one)
    yield from groups.items()
