"""What a task asks: its key, its body; and what it says of answers that are no decision."""

from __future__ import annotations

from typing import Any

import pytest
from outlets import context_of

from tradeloop.airflow.questions import Answer, AskRefused, AskUnanswered, NoDecision, Question, page


def question(context: Any = None, data: Any = None, **given: Any) -> Question:
    words = {"event_type": "prices.loaded", "subject": "SPX", "instance": "tests", "question_id": ""} | given
    return Question.of_task(
        context or context_of(),
        words.pop("event_type"),
        {"rows": 22} if data is None else data,
        words.pop("subject"),
        **words,
    )


def test_a_retry_asks_the_same_question() -> None:
    first, second = context_of(), context_of()
    second["ti"].try_number, second["ti"].id = 2, "another"

    assert question(first).key == question(second).key
    assert len(question(first).key) == 64


@pytest.mark.parametrize(
    "other",
    [
        {"data": {"rows": 23}},
        {"event_type": "prices.missing"},
        {"subject": "DAX"},
        {"instance": "elsewhere"},
        {"question_id": "again"},
    ],
    ids=str,
)
def test_another_content_is_another_question(other: dict[str, Any]) -> None:
    assert question(**other).key != question().key


@pytest.mark.parametrize("field", ["dag_id", "run_id", "task_id", "map_index"])
def test_each_task_instance_asks_its_own(field: str) -> None:
    context = context_of()
    setattr(context["ti"], field, 3 if field == "map_index" else "other")

    assert question(context).key != question().key


def test_a_map_index_that_is_none_is_the_one_of_a_task_without() -> None:
    context = context_of()
    context["ti"].map_index = None

    assert question(context).key == question().key


def test_a_task_instance_is_its_own_subject_where_none_is_given() -> None:
    mapped = context_of()
    mapped["ti"].map_index = 3
    long = context_of()
    long["ti"].run_id = "r" * 600

    assert question(subject="").subject == "load/manual__1/publish"
    assert question(mapped, subject="").subject == "load/manual__1/publish/3"
    assert len(question(long, subject="").subject) == 500


def test_the_chain_of_the_dag_run_goes_on() -> None:
    conf = {"correlation_id": "c", "causation_id": "d", "depth": 3, "decision_id": "d", "other": 1}

    body = question(context_of(conf=conf)).body

    assert body["chain_depth"] == 3
    assert (body["correlation_id"], body["causation_id"]) == ("c", "d")
    assert "other" not in body


@pytest.mark.parametrize("conf", [None, [1], {"depth": True}, {"depth": -1}, {"depth": "3"}])
def test_a_conf_of_others_carries_no_chain(conf: Any) -> None:
    assert question(context_of(conf=conf)).about == {"task_id": "publish", "map_index": -1}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"event_type": "a b"}, "event_type 'a b'"),
        ({"event_type": None}, "event_type None"),
        ({"data": [1]}, "data is list"),
        ({"data": {"price": float("nan")}}, "data.price is nan"),
        ({"data": {"at": ...}}, "data.at is ellipsis"),
        ({"subject": 3}, "subject is int"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_refused_with_place_and_advice(given: dict[str, Any], said: str) -> None:
    with pytest.raises(AskRefused, match=said) as refused:
        question(**given)
    assert ";" in str(refused.value)


def told(state: str, **more: Any) -> Answer:
    return Answer.of("e1", {"state": state, "decision_id": "d1", **more})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (told("failed", error="no such file"), "dead letter: no such file; tradeloop dlq replays it"),
        (told("cancelled"), "was cancelled"),
        (told("expired"), "expired"),
        (told("unhandled"), "no workflow answers this event type"),
        (told("done"), "without a decision"),
        (
            told("done", decision={"outcome": "A"}, effect={"state": "rejected", "error": "was rejected by ben.o"}),
            "action was rejected: was rejected by ben.o; nothing was done",
        ),
        (told("done", decision={"outcome": "A"}, effect={"state": "denied"}), "action was denied; nothing was done"),
        (told("done", decision={"outcome": "A"}, approvals=[{"state": "rejected"}]), "a person rejected"),
        (told("done", decision={"outcome": "A"}, approvals=[{"state": "expired"}]), "nobody answered"),
        (told("done", decision={"outcome": "A"}, approvals=[{"state": "cancelled"}]), "withdrawn"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_end_without_a_decision_says_what_it_was(answer: Answer, said: str) -> None:
    with pytest.raises(NoDecision, match=said):
        answer.checked()


def test_a_changed_version_that_was_approved_stands() -> None:
    answer = told("done", decision={"outcome": "A"}, approvals=[{"state": "cancelled"}, {"state": "executed"}])

    assert answer.checked() == {"outcome": "A"}


@pytest.mark.parametrize("raw", [{}, {"state": 3}, {"detail": "x"}])
def test_an_answer_of_something_else_is_none(raw: dict[str, Any]) -> None:
    with pytest.raises(AskUnanswered, match="is the connection's host"):
        Answer.of("e1", raw)


def test_which_question_waits_and_which_was_the_last() -> None:
    answer = told(
        "waiting_for_person", approvals=[{"id": "a1", "state": "cancelled"}, {"id": "a2", "state": "pending"}]
    )

    assert (answer.open_approval, answer.last_approval) == ("a2", "a2")
    assert (told("queued").open_approval, told("queued").last_approval) == ("", "")
    assert Answer.of("e1", {"state": "queued"}).name == "e1"


def test_pages_are_quoted_and_absent_without_a_base() -> None:
    assert page("https://t/", "runs", "a/b") == "https://t/runs/a%2Fb"
    assert page("https://t", "inbox", q="a&b") == "https://t/inbox?q=a%26b"
    assert page("", "runs", "1") == page("https://t", "runs", "") == ""
