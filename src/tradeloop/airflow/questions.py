"""What a task asks, what it is answered, and why it may get no answer. Light: only tasks that ask import it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self  # Any: JSON of the caller's and of the service's
from urllib.parse import quote

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from tradeloop.airflow.outlet import MAX_SUBJECT, TYPE_PATTERN, EmitRefused, canonical_text, exact_json

FINAL: Final = frozenset({"done", "failed", "cancelled", "expired", "unhandled"})
"""States of a run after which nothing more comes."""
WAITS_FOR_PERSON: Final = "waiting_for_person"
NOT_DONE: Final = ("denied", "rejected", "expired")
"""Ends of an effect that policy or people did not let happen."""
REFUSED: Final = {
    "rejected": "a person rejected the decision's action",
    "expired": "nobody answered the question to people in time",
    "cancelled": "the question to people was withdrawn",
}
"""Ends of the last approval with which the decision's action was not released."""


class AskUnanswered(AirflowException):
    """tradeloop gave no answer; a retry of the task may get one, and asks the same question."""


class NoAnswer(AirflowException):
    """No decision within the task's time; a retry of the task waits on for the same one."""


class AskRefused(AirflowFailException):
    """tradeloop does not take the question as it is: no retry helps."""


class NoDecision(AirflowFailException):
    """The question was answered, and not with a decision that stands: failed, rejected, expired or cancelled."""


@dataclass(frozen=True, slots=True)
class Question:
    """An event that asks for a decision."""

    event_type: str
    data: Mapping[str, Any]
    subject: str
    workflow_id: str
    workflow_run_id: str
    key: str
    """Idempotency key: equal for every attempt at the task."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Task, map index, and the chain that the DAG run belongs to."""

    @classmethod
    def of_task(
        cls, context: Any, event_type: str, data: Mapping[str, Any], subject: str, *, instance: str, question_id: str
    ) -> Self:
        """The question of the running task.

        Its key comes from instance, DAG, run, task, map index, `question_id` and content, not from the attempt: a
        retry or a clear finds the first answer.

        Raises:
            AskRefused: the data has no exact JSON, or the type is no name.
        """
        if not isinstance(event_type, str) or not TYPE_PATTERN.fullmatch(event_type):
            raise AskRefused(
                f"event_type {event_type!r} is not of letters, digits, '.', '_' and '-'; name a workflow's"
            )
        if not isinstance(data, Mapping):
            raise AskRefused(f"data is {type(data).__name__}, a mapping is expected; wrap it: {{'value': ...}}")
        if not isinstance(subject, str):
            raise AskRefused(f"subject is {type(subject).__name__}, a text is expected; give it as text")
        try:
            plain = exact_json(data, "data")
        except EmitRefused as problem:
            raise AskRefused(str(problem).removeprefix("emit: ")) from problem
        ti = context["ti"]
        map_index = -1 if ti.map_index is None else ti.map_index
        if not subject:
            # Of one subject one event at a time is decided: by default no task waits for another one's people.
            subject = "/".join([ti.dag_id, ti.run_id, ti.task_id, *([str(map_index)] if map_index >= 0 else [])])
            subject = subject[-MAX_SUBJECT:]
        facts = [instance, ti.dag_id, ti.run_id, ti.task_id, map_index, question_id, event_type, subject, plain]
        return cls(
            event_type=event_type,
            data=plain,
            subject=subject,
            workflow_id=ti.dag_id,
            workflow_run_id=ti.run_id,
            key=hashlib.sha256(canonical_text(facts).encode()).hexdigest(),
            about={"task_id": ti.task_id, "map_index": map_index, **_chain(context)},
        )

    @property
    def body(self) -> dict[str, Any]:
        """For POST /api/v1/workflows/trigger."""
        return {
            "event_type": self.event_type,
            "subject": self.subject,
            "data": self.data,
            "workflow_id": self.workflow_id,
            "workflow_run_id": self.workflow_run_id,
            **self.about,
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """What tradeloop made of the question."""

    event_id: str
    decision_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How a question stands."""

    event_id: str
    state: str
    decision: Mapping[str, Any] | None = None
    effect: Mapping[str, Any] = field(default_factory=dict)
    approvals: tuple[Mapping[str, Any], ...] = ()
    run_id: str = ""
    decision_id: str = ""
    error: str = ""

    @classmethod
    def of(cls, event_id: str, told: Mapping[str, Any]) -> Self:
        """Of what GET /api/v1/events/{id}/decision answers.

        Raises:
            AskUnanswered: it is no such answer.
        """
        if not isinstance(told, Mapping) or not isinstance(told.get("state"), str):
            raise AskUnanswered("tradeloop's answer has no state: is the connection's host tradeloop's API?")
        return cls(
            event_id=event_id,
            state=told["state"],
            decision=told.get("decision"),
            effect=told.get("effect") or {},
            approvals=tuple(told.get("approvals") or ()),
            run_id=str(told.get("run_id") or ""),
            decision_id=str(told.get("decision_id") or ""),
            error=str(told.get("error") or ""),
        )

    @property
    def is_final(self) -> bool:
        """Whether nothing more comes."""
        return self.state in FINAL

    @property
    def open_approval(self) -> str:
        """Id of the question that waits for people now; empty when none does."""
        waiting = [one for one in self.approvals if one.get("state") == "pending"]
        return str(waiting[-1].get("approval_id") or waiting[-1].get("id") or "") if waiting else ""

    @property
    def last_approval(self) -> str:
        """Id of the newest question that people were asked, whatever became of it."""
        if not self.approvals:
            return ""
        return str(self.approvals[-1].get("approval_id") or self.approvals[-1].get("id") or "")

    @property
    def last_state(self) -> str:
        """What became of it."""
        return str(self.approvals[-1].get("state") or "") if self.approvals else ""

    @property
    def name(self) -> str:
        """How people name the run."""
        return self.decision_id or self.run_id or self.event_id

    def checked(self) -> Mapping[str, Any]:
        """The decision that stands.

        Raises:
            NoDecision: says what came instead, and what to do.
        """
        if self.effect.get("state") in NOT_DONE:
            why = f": {self.effect['error']}" if self.effect.get("error") else ""
            raise NoDecision(f"tradeloop: the decision's action was {self.effect['state']}{why}; nothing was done")
        if self.last_state in REFUSED:
            raise NoDecision(f"tradeloop: {REFUSED[self.last_state]}; nothing was done")
        if self.state != "done" or not self.decision:
            raise NoDecision(_ending(self))
        return self.decision


def page(base: str, *parts: str, **query: str | int) -> str:
    """Address of one of tradeloop's pages; empty without a base."""
    if not base or not all(parts):
        return ""
    path = "/".join(quote(part, safe="") for part in parts)
    asked = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
    return f"{base.rstrip('/')}/{path}" + (f"?{asked}" if asked else "")


def _ending(answer: Answer) -> str:
    why = f": {answer.error}" if answer.error else ""
    said = {
        "failed": f"run {answer.name} failed and is a dead letter{why}; tradeloop dlq replays it, then clear the task",
        "cancelled": f"run {answer.name} was cancelled{why}",
        "expired": f"run {answer.name} expired{why}",
        "unhandled": f"no workflow answers this event type{why}; name one that `tradeloop graphs list` shows",
        "done": f"run {answer.name} ended without a decision",
    }
    return f"tradeloop: {said.get(answer.state, f'run {answer.name} is {answer.state}{why}')}"


def _chain(context: Any) -> dict[str, Any]:
    """What goes on from the decision that started this DAG run, so that a circle of asking is found."""
    run = context.get("dag_run") if hasattr(context, "get") else None
    conf = getattr(run, "conf", None)
    if not isinstance(conf, Mapping):
        return {}
    chain = {name: str(conf[name]) for name in ("correlation_id", "causation_id") if conf.get(name)}
    depth = conf.get("depth")
    if isinstance(depth, int) and not isinstance(depth, bool) and depth > 0:
        return {**chain, "chain_depth": depth}
    return chain
