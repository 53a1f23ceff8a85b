"""The lane of lifecycle events: what is chosen, what travels on, and what keeps it from nothing."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from histories import NOON, after
from lifecycles import Bench
from structlog.testing import capture_logs

from tradeloop import Action, WorkflowEvent
from tradeloop.airflow.lifecycle import BEGAN, CURSOR
from tradeloop.airflow.run_history import error_in
from tradeloop.airflow.sweeps import Sweeps
from tradeloop.domain.records import Received
from tradeloop.domain.runs import decision_id_of, new_run_id
from tradeloop.effects.effector import MAX_DEPTH
from tradeloop.effects.trigger_dag import TriggerDag
from tradeloop.engine.effects import LedgeredActing
from tradeloop.errors import AirflowForbidden, AirflowUnreachable, CaptureGap, DecisionInvalid, PublishFailed
from tradeloop.ports import Arrival
from tradeloop.testing.airflow import MemoryAirflow, MemoryDag
from tradeloop.testing.store import MemoryStore

DECISION = "11111111-1111-5111-8111-111111111111"
FIRST = "22222222-2222-5222-8222-222222222222"


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_only_chosen_types_and_dags_are_told() -> None:
    bench = Bench(lifecycle_types="workflow.failed, task.skipped", lifecycle_dags="eod_*,load")
    await bench.tick(NOON)
    for dag_id in ("eod_prices", "load", "loader", "other"):
        bench.airflow.trigger(dag_id, "r1", after(1))
        bench.airflow.task(dag_id, "r1", "t", "skipped", after(2))
        bench.airflow.end(dag_id, "r1", "failed", after(3))

    await bench.tick(after(4))

    assert Counter((event.workflow_id, event.event_type) for event in bench.events) == {
        (dag_id, event_type): 1
        for dag_id in ("eod_prices", "load")
        for event_type in ("workflow.failed", "task.skipped")
    }


async def test_a_run_that_tradeloop_started_carries_its_decision_on(bench: Bench) -> None:
    await bench.tick(NOON)
    conf = {"decision_id": DECISION, "correlation_id": FIRST, "causation_id": DECISION, "depth": 3}
    bench.airflow.trigger("load", DECISION, after(1), conf)
    bench.airflow.task("load", DECISION, "t", "skipped", after(2))
    bench.airflow.end("load", DECISION, "failed", after(2))

    await bench.tick(after(3))

    assert len(bench.events) == 3
    for event in bench.events:
        assert (str(event.correlation_id), str(event.causation_id)) == (FIRST, DECISION)
        assert (event.metadata.model_extra or {})["chain_depth"] == 3
        assert event.payload.data["decision_id"] == DECISION


@pytest.mark.parametrize(
    "conf", [{"depth": "9", "correlation_id": "x"}, {"depth": True, "decision_id": 5}, {"depth": -1}]
)
async def test_a_conf_that_is_not_ours_says_nothing(bench: Bench, conf: dict[str, object]) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1), conf)

    await bench.tick(after(3))

    event = bench.the("workflow.triggered")
    assert (event.correlation_id, event.causation_id) == (None, None)
    assert "chain_depth" not in (event.metadata.model_extra or {})


async def test_what_was_over_before_the_first_look_is_not_told(bench: Bench) -> None:
    bench.airflow.trigger("load", "r1", after(-4_000))
    bench.airflow.end("load", "r1", "failed", after(-3_900))
    for second in (0, 3_700, 7_400):
        await bench.tick(after(second))

    assert bench.events == []
    assert await bench.store.cursor(BEGAN) == after(-300)


async def test_a_relay_that_was_down_for_a_day_tells_all_of_it(bench: Bench) -> None:
    await bench.tick(NOON)
    for hour in range(24):
        at = hour * 3_600 + 60
        bench.airflow.trigger("load", f"r{hour}", after(at))
        bench.airflow.task("load", f"r{hour}", "t", "running", after(at + 1))
        bench.airflow.task("load", f"r{hour}", "t", "failed", after(at + 2))
        bench.airflow.end("load", f"r{hour}", "failed", after(at + 3))
    bench.restart()

    await bench.tick(after(86_400))

    assert Counter(bench.types) == {"workflow.triggered": 24, "task.failed": 24, "workflow.failed": 24}


async def test_a_run_that_is_due_since_days_is_found_within_the_hour(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", NOON - timedelta(days=10))
    bench.airflow._runs["load", "r1"].changed_at = after(60)
    await bench.tick(after(61))
    assert bench.events == []

    await bench.tick(after(3_700))

    assert bench.types == ["workflow.triggered"]


async def test_the_cursor_waits_for_the_acknowledgement(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(5))
    bench.log.is_away = True
    for second in (10, 1_000):
        with pytest.raises(PublishFailed):
            await bench.tick(after(second))
    assert await bench.store.cursor(CURSOR) == NOON
    bench.log.is_away = False

    await bench.tick(after(1_100))

    assert bench.types == ["workflow.triggered"]


async def test_ordinary_looks_are_three_requests_at_most_and_two_when_nothing_happens(bench: Bench) -> None:
    bench.airflow.trigger("load", "r1", after(-1))
    bench.airflow.task("load", "r1", "t", "failed", after(-1))
    bench.airflow.end("load", "r1", "failed", after(-0.5))
    await bench.tick(NOON)
    bench.airflow.requests.clear()

    for second in range(1, 15):
        await bench.tick(after(second), is_whole=False)

    assert bench.airflow.requests == ["dag_runs", "event_log"] * 14


async def test_a_log_that_cannot_be_read_keeps_no_event_back(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    bench.airflow.task("load", "r1", "t", "running", after(2))
    bench.airflow.task("load", "r1", "t", "failed", after(3))

    await bench.tick(after(4))

    assert "error" not in bench.the("task.failed").payload.data


async def test_a_run_whose_name_no_event_can_carry_stops_nothing(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r" * 251, after(1))
    bench.airflow.trigger("load", "r1", after(1))

    with capture_logs() as logs:
        await bench.tick(after(4))
        await bench.tick(after(5))

    assert bench.types == ["workflow.triggered"]
    assert [entry["event"] for entry in logs].count("lifecycle_not_told") == 1


async def test_a_run_that_was_deleted_is_told_no_more(bench: Bench) -> None:
    await bench.tick(NOON)
    bench.airflow.trigger("load", "r1", after(1))
    bench.airflow.task("load", "r1", "t", "running", after(2))
    bench.airflow.task("load", "r1", "t", "failed", after(3))
    bench.airflow.delete_run("load", "r1")

    await bench.tick(after(4))

    assert bench.events == []


@pytest.mark.parametrize("problem", [CaptureGap("gap"), AirflowUnreachable("away"), None])
async def test_neither_sweep_is_kept_from_its_work_by_the_other(bench: Bench, problem: Exception | None) -> None:
    ticks: Counter[str] = Counter()

    class Business:
        async def tick(self) -> None:
            ticks["business"] += 1
            if problem:
                raise problem

    class Broken:
        async def tick(self) -> None:
            ticks["lifecycle"] += 1
            raise AirflowForbidden("no") if ticks["lifecycle"] == 1 else ZeroDivisionError

    both = Sweeps(Business(), Broken())
    with capture_logs() as logs:
        for _ in range(2):
            if problem:
                with pytest.raises(type(problem)):
                    await both.tick()
            else:
                await both.tick()
            both._rests_until = 0.0

    assert ticks == {"business": 2, "lifecycle": 2}
    assert [e["event"] for e in logs] == ["lifecycle_sweep_failed", "lifecycle_sweep_broke"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"event": "ok", "level": "info"}', ""),
        ('{"event": "bad", "level": "error"}', "bad"),
        ('{"event": "x", "level": "ERROR", "error_detail": [{"exc_type": "E", "exc_value": "v"}]}', "E: v"),
        ('{"event": "x", "level": "error", "error_detail": []}', "x"),
        ("no json", ""),
        ("[1]", ""),
        ('{"event": "\\u0000\\ud800", "level": "error"}', "\ufffd?"),
        ('{"event": "' + "x" * 3_000 + '", "level": "critical"}', "x" * 1_999 + "…"),
    ],
)
def test_an_error_is_the_exception_or_the_first_complaint(line: str, told: str) -> None:
    assert error_in(line) == told


def test_an_exception_comes_before_other_complaints() -> None:
    raised = '{"event": "x", "level": "error", "error_detail": [{"exc_type": "E", "exc_value": "v"}]}'
    complaint = '{"event": "later", "level": "error"}'

    assert error_in(complaint, error_in(raised)) == "E: v"
    assert error_in(raised, error_in(complaint)) == "E: v"
    assert error_in(complaint, "first") == "first"


def test_ids_are_derived_from_what_airflow_stores() -> None:
    from tradeloop.airflow.transitions import of_attempt, of_run
    from tradeloop.domain.runs import derive_id
    from tradeloop.ports import DagRunView, TaskAttempt

    run = DagRunView("d", "r", "failed", {}, start_at=NOON, end_at=after(1), queued_at=NOON)
    triggered, ended = of_run(run, "local")
    (live,) = of_attempt(TaskAttempt("d", "r", "t", -1, 2, "failed", UUID(int=7)), run, "local")
    (past,) = of_attempt(TaskAttempt("d", "r", "t", -1, 2, "failed"), run, "local")

    assert triggered.event_id == derive_id("local", "d", "r", "triggered", "2026-11-23T12:00:00.000000Z")
    assert ended.event_id == derive_id("local", "d", "r", "failed", "2026-11-23T12:00:01.000000Z")
    assert live.event_id == derive_id("local", UUID(int=7), "failed")
    assert past.event_id == derive_id("local", "d", "r", "t", -1, 2, "failed")
    assert live.binding == past.binding


async def test_a_decision_that_answers_failed_runs_by_runs_that_fail_comes_to_an_end(bench: Bench) -> None:
    """Each round: the lifecycle event of a failed run, a decision, the run that it starts, which fails."""
    await bench.tick(NOON)
    airflow, store = MemoryAirflow(dags={"load": MemoryDag()}), MemoryStore()
    owner = uuid4()
    await store.enlist(owner, "test", 60)
    bench.airflow.trigger("load", "r0", after(1))
    bench.airflow.end("load", "r0", "failed", after(1.5))
    for decided in range(MAX_DEPTH):
        await answer_and_fail(bench, airflow, store, owner, decided)

    with pytest.raises(DecisionInvalid, match="a loop is likely"):
        await answer_and_fail(bench, airflow, store, owner, MAX_DEPTH)

    first = next(event for event in bench.events if (event.workflow_run_id, event.event_type[-6:]) == ("r0", "failed"))
    assert {event.correlation_id for event in bench.events} == {None, first.event_id}


async def answer_and_fail(bench: Bench, airflow: MemoryAirflow, store: MemoryStore, owner: UUID, decided: int) -> None:
    await bench.tick(after(2 * decided + 2))
    failures = [event for event in bench.events if event.event_type == "workflow.failed"]
    run_id = await decide(max(failures, key=lambda event: event.timestamp), store, airflow, owner)
    bench.airflow.trigger("load", run_id, after(2 * decided + 3), airflow.dags["load"].runs[run_id].conf)
    bench.airflow.end("load", run_id, "failed", after(2 * decided + 3.5))


async def decide(event: WorkflowEvent, store: MemoryStore, airflow: MemoryAirflow, owner: UUID) -> str:
    """Answer the event with a run of the same DAG; its id."""
    received = Received("events", UUID(int=1), 0, rounds_of(store), b"k", event.to_json().encode())
    arrival = Arrival(received, event.event_id, event.event_type, "desk", event.subject, new_run_id())
    (claim,) = await store.accept("g", owner, [arrival], [], 1)
    decision_id = decision_id_of("local", event.event_id, 0)
    acting = LedgeredActing(store, {"trigger_dag": TriggerDag(airflow)}, owner, claim, decision_id, event)
    await acting.perform("act", Action(kind="trigger_dag", target="load", params={}))
    return str(decision_id)


def rounds_of(store: MemoryStore) -> int:
    return len(store.effects)
