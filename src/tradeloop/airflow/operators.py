"""A task that asks tradeloop and gets the decision."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, NoReturn  # Any: contexts and results of Airflow's

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from tradeloop.airflow.hooks import LONGEST_WAIT_S, TradeloopHook
from tradeloop.airflow.links import ApprovalLink, DecisionLink, RunLink, pages
from tradeloop.airflow.questions import Answer, Asked, AskRefused, AskUnanswered, NoAnswer, NoDecision, Question
from tradeloop.airflow.triggers import LONGEST_REST_S, DecisionTrigger

DAY_S = 86_400.0
POLICY_PATIENCE_S = 60.0
"""After the task's own time, for the one answer that is always there; a retry of the task would ask again."""
POLICY_REST_S = 2.0


class AskAgentOperator(BaseOperator):
    """Ask the workflow of an event type, wait without a slot, and get its decision.

    :param event_type: the question's type; the workflow that answers it is tradeloop's to know (templated).
    :param data: what the question is about: exact JSON, below 1 MB (templated).
    :param subject: the business key (templated). Of one subject one question at a time is decided, and one that waits
        for people holds up those behind it. By default each task instance is its own.
    :param tradeloop_conn_id: a connection of the type `tradeloop` (templated).
    :param timeout: how long the task waits for the decision, people included; seconds or a timedelta.
    :param on_silence: after that, `fail` the task, or go on with what deterministic `policy` alone answers. A decision
        that comes later changes nothing for this task.
    :param fail_on: outcomes with which the task fails, for good.
    :param skip_on: outcomes with which the task is skipped.
    :param question_id: asks anew under another one, such as "{{ ti.try_number }}" (templated). Without it a retry or a
        clear of the task finds the answer to the first question.
    :param deferrable: wait in the triggerer; False keeps the task's slot.
    :param poll_s: how often is looked while people are awaited, in seconds.
    :param typed: return a `tradeloop.Decision` instead of a mapping; `[core] allowed_deserialization_classes` must
        name `tradeloop.*` then.

    Returns a mapping: `outcome`, `decision` (all of it), `effect`, `decided_by`, `is_silent`, `event_id`, `run_id`,
    `decision_id`.
    """

    template_fields: Collection[str] = ("event_type", "data", "subject", "tradeloop_conn_id", "question_id")
    template_fields_renderers = {"data": "json"}  # noqa: RUF012 - Airflow's own way
    operator_extra_links = (RunLink(), DecisionLink(), ApprovalLink())
    ui_color = "#e8f1f8"

    def __init__(
        self,
        *,
        event_type: str,
        data: Mapping[str, Any] | None = None,
        subject: str = "",
        tradeloop_conn_id: str = TradeloopHook.default_conn_name,
        timeout: float | timedelta = DAY_S,
        on_silence: Literal["fail", "policy"] = "fail",
        fail_on: Sequence[str] = (),
        skip_on: Sequence[str] = (),
        question_id: str = "",
        deferrable: bool = True,
        poll_s: float = LONGEST_REST_S,
        typed: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.event_type = event_type
        self.data = data if data is not None else {}
        self.subject = subject
        self.tradeloop_conn_id = tradeloop_conn_id
        self.timeout_s = timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
        self.on_silence = on_silence
        self.fail_on = _outcomes("fail_on", fail_on)
        self.skip_on = _outcomes("skip_on", skip_on)
        self.question_id = question_id
        self.deferrable = deferrable
        self.poll_s = poll_s
        self.typed = typed
        self.pages: dict[str, str] = {}
        self._check()

    def _check(self) -> None:
        if self.on_silence not in ("fail", "policy"):
            raise ValueError(f"on_silence is {self.on_silence!r}; 'fail' or 'policy' is expected")
        if not self.timeout_s > 0:
            raise ValueError(f"timeout is {self.timeout_s:g} s; more than 0 is expected")
        if not 1 <= self.poll_s <= 3600:
            raise ValueError(f"poll_s is {self.poll_s:g}; 1 to 3600 seconds are expected")
        if both := sorted({*self.fail_on} & {*self.skip_on}):
            raise ValueError(f"{', '.join(both)} stands in fail_on and in skip_on; leave one of them out")

    @cached_property
    def hook(self) -> TradeloopHook:
        """The service."""
        return TradeloopHook(self.tradeloop_conn_id)

    def execute(self, context: Any) -> Any:
        """Ask; then wait, or return at once what is decided already."""
        from tradeloop.airflow.options import option

        question = Question.of_task(
            context,
            self.event_type,
            self.data,
            self.subject,
            instance=option("instance", "local"),
            question_id=str(self.question_id),
        )
        asked = self.hook.ask(question)
        self._show(context, run=asked.decision_id)
        self.log.info("Asked %s as event %s: %s", self.event_type, asked.event_id, self.pages[RunLink.key])
        deadline = time.time() + self.timeout_s
        answer = self.hook.answer(asked.event_id)
        if answer.is_final:
            return self._result(context, answer)
        if self.deferrable:
            self._defer(asked.event_id, asked.decision_id, deadline)
        return self._wait(context, asked, deadline)

    def execute_complete(
        self, context: Any, event: Mapping[str, Any], decision_id: str = "", deadline: float | None = None
    ) -> Any:
        """Go on after the trigger: read the answer from the service, or wait on for the people who are asked now."""
        state, event_id = event.get("state"), str(event["event_id"])
        if state == "refused":
            raise AskRefused(str(event.get("error")))
        answer = self.hook.answer(event_id)
        self._show(context, run=decision_id or answer.name)
        if answer.is_final:
            return self._result(context, answer)
        if state == "silent" or (deadline is not None and time.time() >= deadline):
            return self._silence(answer)
        told = str(event.get("told") or "")
        self._tell(context, answer, decision_id)
        return self._defer(event_id, decision_id, deadline, told)

    def _defer(self, event_id: str, decision_id: str, deadline: float | None, told: str = "") -> NoReturn:
        self.defer(
            trigger=DecisionTrigger(event_id, self.tradeloop_conn_id, deadline, self.poll_s, told),
            method_name="execute_complete",
            kwargs={"decision_id": decision_id, "deadline": deadline},
        )

    def _wait(self, context: Any, asked: Asked, deadline: float) -> Any:
        told = ""
        while True:
            left = deadline - time.time()
            answer = self.hook.answer(asked.event_id, min(LONGEST_WAIT_S, max(0.0, left)))
            if answer.is_final:
                return self._result(context, answer)
            if time.time() >= deadline:
                return self._silence(answer)
            if answer.open_approval not in ("", told):
                told = answer.open_approval
                self._tell(context, answer, asked.decision_id)
            time.sleep(min(1.0, max(0.0, deadline - time.time())))

    def _tell(self, context: Any, answer: Answer, decision_id: str) -> None:
        self._show(context, run=decision_id or answer.name, approval=answer.open_approval)
        self.log.info("Waits for people: %s", self.pages[ApprovalLink.key])

    def _show(self, context: Any, *, run: str, decision: str = "", approval: str = "") -> None:
        """Push the addresses now: Airflow itself does so only when the task has ended."""
        found = pages(self.hook.address.web_url, run=run, decision=decision, approval=approval)
        self.pages = {key: address or self.pages.get(key, "") for key, address in found.items()}
        for key, address in self.pages.items():
            if address:
                context["ti"].xcom_push(key=key, value=address)

    def _silence(self, answer: Answer) -> Any:
        waits = f"; it waits for people: {self.pages[ApprovalLink.key]}" if answer.open_approval else ""
        said = f"tradeloop: no decision within {self.timeout_s:g} s, the run is {answer.state}{waits}"
        if self.on_silence == "fail":
            raise NoAnswer(said)
        self.log.warning("%s; policy's own answer is taken", said)
        return self._returned(answer, self._policy(answer.event_id), is_silent=True)

    def _policy(self, event_id: str) -> Mapping[str, Any]:
        """Policy's own answer; a busy service, or a worker that has not taken the event in yet, is waited for."""
        until = time.monotonic() + POLICY_PATIENCE_S
        while True:
            try:
                return self.hook.policy_answer(event_id)
            except AskUnanswered as problem:
                if time.monotonic() >= until:
                    raise
                self.log.warning("%s; asked again", problem)
                time.sleep(POLICY_REST_S)

    def _result(self, context: Any, answer: Answer) -> Any:
        self._show(context, run=answer.name, decision=answer.decision_id, approval=answer.last_approval)
        return self._returned(answer, answer.checked(), is_silent=False)

    def _returned(self, answer: Answer, decision: Mapping[str, Any], *, is_silent: bool) -> Any:
        outcome = decision.get("outcome")
        reasons = "; ".join(map(str, decision.get("reasons") or []))
        self.log.info("Decided: %s (%s)", outcome, reasons)
        if outcome in self.fail_on:
            raise NoDecision(f"tradeloop decided {outcome}, which stands in fail_on: {reasons}")
        if outcome in self.skip_on:
            raise AirflowSkipException(f"tradeloop decided {outcome}, which stands in skip_on: {reasons}")
        if self.typed:
            from tradeloop.domain.decisions import Decision

            return Decision.model_validate(decision)
        return {
            "outcome": outcome,
            "decided_by": decision.get("decided_by"),
            "is_silent": is_silent,
            "decision": dict(decision),
            "effect": {} if is_silent else dict(answer.effect),
            "event_id": answer.event_id,
            "run_id": answer.run_id,
            "decision_id": answer.decision_id,
        }


def _outcomes(name: str, given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise ValueError(f"{name} is {given!r}; a list of outcomes is expected, such as ['REJECT']")
    return tuple(given)
