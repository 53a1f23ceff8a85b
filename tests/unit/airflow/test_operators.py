"""AskAgentOperator: asks, waits, returns; and fails, skips or goes on with policy as it was told to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from outlets import context_of

from asking_service import ACCEPT, DECISION, EVENT, Service, serving
from tradeloop import Decision
from tradeloop.airflow import operators
from tradeloop.airflow.operators import AskAgentOperator
from tradeloop.airflow.questions import AskRefused, AskUnanswered, NoAnswer, NoDecision
from tradeloop.airflow.triggers import DecisionTrigger

WAITS = {
    "state": "waiting_for_person",
    "decision_id": DECISION,
    "approvals": [{"approval_id": "a1", "state": "pending"}],
}
DONE = {"state": "done", "decision": ACCEPT, "decision_id": DECISION, "run_id": "r1", "effect": {"state": "executed"}}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with serving() as service:
        given = {"conn_type": "tradeloop", "host": service.url, "password": "k", "extra": {"web_url": "https://pages"}}
        monkeypatch.setenv("AIRFLOW_CONN_TRADELOOP_DEFAULT", json.dumps(given))
        yield service


@pytest.fixture
def context() -> dict[str, Any]:
    found = context_of()
    found["pushed"] = {}
    found["ti"].xcom_push = lambda key, value: found["pushed"].update({key: value})
    return found


def operator(**given: Any) -> AskAgentOperator:
    return AskAgentOperator(task_id="ask", event_type="prices.loaded", data={"rows": 22}, **given)


def test_what_is_decided_already_comes_back_at_once(service: Service, context: dict[str, Any]) -> None:
    service.stands = [(200, DONE)]

    assert operator().execute(context) == {
        "outcome": "ACCEPT",
        "decided_by": "policy",
        "is_silent": False,
        "decision": ACCEPT,
        "effect": {"state": "executed"},
        "event_id": EVENT,
        "run_id": "r1",
        "decision_id": DECISION,
    }
    assert context["pushed"] == {
        "tradeloop_run": f"https://pages/runs/{DECISION}",
        "tradeloop_decision": f"https://pages/decisions/{DECISION}",
    }


def test_what_is_not_is_waited_for_without_a_slot(service: Service, context: dict[str, Any]) -> None:
    service.stands = [(200, {"state": "queued"})]

    with pytest.raises(TaskDeferred) as deferred:
        operator(timeout=timedelta(hours=1), poll_s=7).execute(context)

    trigger = deferred.value.trigger
    assert isinstance(trigger, DecisionTrigger)
    assert (trigger.event_id, trigger.poll_s, trigger.told) == (EVENT, 7, "")
    assert deferred.value.method_name == "execute_complete"
    assert (deferred.value.kwargs or {})["decision_id"] == DECISION
    assert context["pushed"] == {"tradeloop_run": f"https://pages/runs/{DECISION}"}


def test_the_question_to_people_is_linked_and_the_wait_goes_on(service: Service, context: dict[str, Any]) -> None:
    service.stands = [(200, WAITS)]
    event = {"event_id": EVENT, "state": "waiting_for_person", "told": "a1"}

    with pytest.raises(TaskDeferred) as deferred:
        operator().execute_complete(context, event, decision_id=DECISION, deadline=9e9)

    assert deferred.value.trigger.told == "a1"  # type: ignore[attr-defined]
    assert context["pushed"]["tradeloop_approval"] == "https://pages/approvals/a1"


def test_the_decision_is_read_from_the_service_and_not_from_the_trigger(
    service: Service, context: dict[str, Any]
) -> None:
    service.stands = [(200, DONE)]
    forged = {"event_id": EVENT, "state": "done", "decision": {"outcome": "FORGED"}}

    assert operator().execute_complete(context, forged)["outcome"] == "ACCEPT"


def test_without_deferring_it_waits_in_its_slot(service: Service, context: dict[str, Any]) -> None:
    service.stands = [(200, {"state": "queued"}), (200, WAITS), (200, DONE)]

    assert operator(deferrable=False).execute(context)["outcome"] == "ACCEPT"
    assert context["pushed"]["tradeloop_approval"] == "https://pages/approvals/a1"


def test_silence_fails_the_task_and_says_whom_it_waits_for(service: Service, context: dict[str, Any]) -> None:
    service.stands = [(200, WAITS)]

    with pytest.raises(NoAnswer, match=r"within 3 s.*waiting_for_person; it waits for people"):
        operator(timeout=3).execute_complete(context, {"event_id": EVENT, "state": "silent"})
    with pytest.raises(NoAnswer, match=r"within 0\.01 s"):
        operator(timeout=0.01, deferrable=False).execute(context)


def test_after_silence_policys_own_answer_is_taken(service: Service, context: dict[str, Any]) -> None:
    service.stands = [(200, WAITS)]

    found = operator(on_silence="policy").execute_complete(context, {"event_id": EVENT, "state": "silent"})

    assert (found["outcome"], found["is_silent"], found["effect"]) == ("ESCALATE", True, {})


def test_policys_answer_is_waited_for_a_while_and_no_longer(
    service: Service, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators, "POLICY_REST_S", 0.01)
    monkeypatch.setattr(operators, "POLICY_PATIENCE_S", 0.1)
    service.stands, service.policy = [(200, WAITS)], (503, {"detail": "it has not arrived yet"})

    with pytest.raises(AskUnanswered, match="it has not arrived yet"):
        operator(on_silence="policy").execute_complete(context, {"event_id": EVENT, "state": "silent"})

    assert len(service.of(f"/api/v1/events/{EVENT}/policy")) > 1


def test_an_answer_at_the_last_moment_goes_before_policys(service: Service, context: dict[str, Any]) -> None:
    service.stands = [(200, DONE)]

    found = operator(on_silence="policy").execute_complete(context, {"event_id": EVENT, "state": "silent"})

    assert (found["outcome"], found["is_silent"]) == ("ACCEPT", False)


def test_outcomes_fail_or_skip_the_task(service: Service, context: dict[str, Any]) -> None:
    service.stands = [(200, DONE)]

    with pytest.raises(NoDecision, match="ACCEPT, which stands in fail_on: 22 of 22 sessions"):
        operator(fail_on=["ACCEPT"]).execute(context)
    with pytest.raises(AirflowSkipException, match="stands in skip_on"):
        operator(skip_on=["ACCEPT", "OTHER"]).execute(context)


def test_typed_gives_the_model(service: Service, context: dict[str, Any]) -> None:
    service.stands = [(200, DONE)]

    assert operator(typed=True).execute(context) == Decision.model_validate(ACCEPT)


def test_a_refusal_of_the_wait_fails_the_task(service: Service, context: dict[str, Any]) -> None:
    with pytest.raises(AskRefused, match="no such key"):
        operator().execute_complete(context, {"event_id": EVENT, "state": "refused", "error": "no such key"})


def test_a_retry_asks_under_the_same_key(service: Service, context: dict[str, Any]) -> None:
    service.stands = [(200, DONE)]

    operator().execute(context)
    context["ti"].try_number = 2
    operator().execute(context)

    first, second = [headers["idempotency-key"] for _, _, headers, _ in service.of("/api/v1/workflows/trigger")]
    assert first == second


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"on_silence": "shout"}, "'fail' or 'policy'"),
        ({"timeout": 0}, "more than 0"),
        ({"poll_s": 0}, "1 to 3600"),
        ({"fail_on": "REJECT"}, "a list of outcomes"),
        ({"skip_on": [1]}, "a list of outcomes"),
        ({"fail_on": ["A", "B"], "skip_on": ["B"]}, "B stands in fail_on and in skip_on"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told_when_the_dag_is_read(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        operator(**given)


def test_links_read_what_was_pushed_and_are_none_without() -> None:
    links = {link.name: link.xcom_key for link in AskAgentOperator.operator_extra_links}

    assert links == {
        "Run in tradeloop": "tradeloop_run",
        "Decision in tradeloop": "tradeloop_decision",
        "Approval in tradeloop": "tradeloop_approval",
    }
    assert [link.get_link(operator(), ti_key=None) for link in AskAgentOperator.operator_extra_links] == ["", "", ""]
