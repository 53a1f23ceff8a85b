"""An event's way through a worker, wholly in memory."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from typing import Any
from uuid import UUID

import pytest
from engine_in_memory import DECISIONS, EVENTS, House, accept, accept_and_note, event, until, workflow

from tradeloop import Decision, Workflow
from tradeloop.domain.records import Received
from tradeloop.domain.runs import RunState, decision_id_of
from tradeloop.engine import tasks as tasks_module
from tradeloop.engine import threads as threads_module
from tradeloop.engine import worker as worker_module
from tradeloop.engine.runner import Runner
from tradeloop.errors import AirflowUnreachable, ThreadsLeaked
from tradeloop.testing.log import topic_id_of
from tradeloop.testing.store import MemoryStore


async def test_an_event_becomes_a_decision_on_the_decisions_topic(house: House) -> None:
    sent = event("SPX/2009-07", rows=22)
    async with house.working(workflow()):
        await house.send(sent)
        await until(house.ended())
    (decision,) = await house.decisions()
    (record,) = house.announced()
    decision_id = str(decision_id_of("tests", sent.event_id, 0))
    assert (decision["event_id"], decision["event_type"]) == (decision_id, "decision.recorded")
    assert (decision["causation_id"], decision["correlation_id"]) == (str(sent.event_id), str(sent.event_id))
    assert decision["payload"]["data"]["decision"]["outcome"] == "ACCEPT"
    assert (record.key, record.header("ce_id")) == (b"SPX/2009-07", decision_id)


async def test_a_chain_keeps_the_correlation_of_its_first_event(house: House) -> None:
    first = UUID(int=7)
    async with house.working(workflow()):
        await house.send(event().model_copy(update={"correlation_id": first}))
        await until(house.ended())
    assert (await house.decisions())[0]["correlation_id"] == str(first)


async def test_the_action_of_a_decision_is_carried_out_and_told(house: House) -> None:
    async with house.working(workflow(accept_and_note)):
        await house.send(event())
        await until(house.ended())
    (decision,) = await house.decisions()
    assert decision["payload"]["data"]["effect"]["state"] == "executed"
    assert [str(key) for key in house.board.notes] == [decision["event_id"]]


async def test_bytes_that_are_no_event_are_a_dead_letter_and_the_partition_goes_on(house: House) -> None:
    async with house.working(workflow()):
        await house.send_bytes(b"rubbish")
        await house.send_bytes(b'{"event_id": 1e999}')
        await house.send(event("s"))
        await until(house.ended())
    assert [(letter.error_class, letter.raw) for letter in house.store.dead] == [
        ("EventNotJson", b"rubbish"),
        ("EventNotJson", b'{"event_id": 1e999}'),
    ]
    place = (topic_id_of(EVENTS), house.log.records(EVENTS)[0].partition)
    assert await house.store.positions("tests", [place]) == {place: 3}


async def test_a_type_that_nobody_answers_is_recorded_and_not_run(house: House) -> None:
    async with house.working(workflow()):
        await house.send(event("other", "foreign.type"), event("mine"))
        await until(house.ended())
    assert len(house.store.unhandled) == 1
    assert set(house.outcomes()) == {"mine"}


def by_data(state: Any) -> dict[str, Any]:
    if state["event"]["payload"]["data"].get("bad"):
        raise ValueError("broken on purpose")
    return accept(state)


async def test_a_graph_that_raises_fails_alone_and_leaves_a_dead_letter(house: House) -> None:
    async with house.working(workflow(by_data)):
        await house.send(event("bad", bad=True), *(event(f"good{n}") for n in range(5)))
        await until(house.ended(6))
    failed = house.outcomes()["bad"]
    assert (failed.state, failed.error) == (RunState.FAILED, "ValueError: broken on purpose")
    assert [(letter.source, letter.error_class) for letter in house.store.dead] == [("run", "ValueError")]
    assert len(await house.decisions()) == 5


async def test_after_a_failed_run_the_next_of_its_subject_goes_on(house: House) -> None:
    async with house.working(workflow(by_data)):
        await house.send(event(bad=True), event())
        await until(house.ended(2))
    assert [outcome.state for outcome in house.store.finished.values()] == [RunState.FAILED, RunState.DONE]


async def test_an_error_that_can_pass_rests_and_comes_back(house: House) -> None:
    house.board.problems = [AirflowUnreachable("away"), AirflowUnreachable("still away")]
    async with house.working(workflow(accept_and_note)):
        await house.send(event())
        await until(house.ended())
    (outcome,) = house.store.finished.values()
    assert (outcome.state, outcome.claim.fails, outcome.claim.fence) == (RunState.DONE, 2, 3)
    assert len(house.board.notes) == 1


async def test_an_error_that_never_passes_ends_in_a_dead_letter(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "MAX_FAILS", 3)
    house.board.problems = [AirflowUnreachable("away")] * 99
    async with house.working(workflow(accept_and_note)):
        await house.send(event())
        await until(house.ended())
    assert house.board.calls == 3
    assert [letter.error_class for letter in house.store.dead] == ["AirflowUnreachable"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "without `decision`"),
        ({"decision": {"outcome": ""}}, "outcome"),
        ({"decision": {"outcome": "A", "reasons": ["\x00"]}}, r"U+0000"),
        ({"decision": {"outcome": "A", "findings": [{"x": float("nan")}]}}, "float"),
        ({"decision": {"outcome": "A", "action": {"kind": "unknown", "target": "t"}}}, "no effect is called 'unknown'"),
    ],
)
async def test_a_graph_without_a_decision_that_fits_fails(house: House, answer: dict[str, Any], message: str) -> None:
    def decide(state: Any) -> dict[str, Any]:
        return answer

    async with house.working(workflow(decide)):
        await house.send(event())
        await until(house.ended())
    outcome = house.outcomes()["s"]
    assert (outcome.state, outcome.error_class) == (RunState.FAILED, "DecisionInvalid")
    assert message in outcome.error
    assert house.board.calls == 0


async def test_a_decision_with_an_effect_too_large_to_announce_fails(house: House) -> None:
    def decide(state: Any) -> dict[str, Any]:
        return {"decision": Decision(outcome="A"), "effect": {"text": "x" * 1_000_000}}

    async with house.working(workflow(decide)):
        await house.send(event())
        await until(house.ended())
    assert "no topic takes them" in house.outcomes()["s"].error


async def test_a_graph_that_never_returns_is_ended_and_stops_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "MAX_FAILS", 2)

    async def maybe_hang(state: Any) -> dict[str, Any]:
        if state["event"]["subject"] == "hanging":
            await asyncio.Event().wait()
        return accept(state)

    async with house.working(workflow(maybe_hang, timeout_s=0.1)):
        await house.send(event("hanging"), event("other"))
        await until(house.ended(2))
    outcomes = house.outcomes()
    assert outcomes["other"].state is RunState.DONE
    assert (outcomes["hanging"].error_class, outcomes["hanging"].error) == (
        "RunTimedOut",
        "the graph did not end within 0.1 s",
    )


async def test_a_time_out_of_the_graphs_own_is_not_taken_for_the_runs(house: House) -> None:
    async def decide(state: Any) -> dict[str, Any]:
        raise TimeoutError("the model did not answer")

    async with house.working(workflow(decide)):
        await house.send(event())
        await until(house.ended())
    assert house.outcomes()["s"].error == "TimeoutError: the model did not answer"


async def test_a_graph_that_cancels_itself_fails_and_does_not_vanish(house: House) -> None:
    async def decide(state: Any) -> dict[str, Any]:
        raise asyncio.CancelledError

    async with house.working(workflow(decide)):
        await house.send(event())
        await until(house.ended())
    assert house.outcomes()["s"].error_class == "NodeCancelledError"


async def test_a_run_that_is_cancelled_by_none_of_us_fails_and_does_not_vanish(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(*_: Any) -> Any:
        raise asyncio.CancelledError

    monkeypatch.setattr(Runner, "run", cancelled)
    async with house.working(workflow()):
        await house.send(event())
        await until(house.ended())
    assert house.outcomes()["s"].error_class == "RunBroken"


async def test_events_of_a_subject_are_decided_in_order_and_never_two_at_a_time(house: House) -> None:
    running: dict[str, int] = defaultdict(int)
    seen: dict[str, list[int]] = defaultdict(list)

    async def decide(state: Any) -> dict[str, Any]:
        subject, number = state["event"]["subject"], state["event"]["payload"]["data"]["number"]
        running[subject] += 1
        assert running[subject] == 1
        await asyncio.sleep(0.001 * (number % 3))
        seen[subject].append(number)
        running[subject] -= 1
        return accept(state)

    async with house.working(workflow(decide), concurrency=8):
        await house.send(*(event(f"s{n % 3}", number=n) for n in range(30)))
        await until(house.ended(30))
    assert seen == {f"s{start}": list(range(start, 30, 3)) for start in range(3)}
    by_subject = defaultdict(list)
    for decision in await house.decisions():
        by_subject[decision["subject"]].append(decision["causation_id"])
    assert by_subject == {
        subject: [o.claim.event_id.__str__() for o in house.store.finished.values() if o.claim.subject == subject]
        for subject in seen
    }


async def test_an_event_that_comes_again_is_decided_once(house: House) -> None:
    sent = event()
    async with house.working(workflow(accept_and_note)):
        await house.send(sent, sent)
        await until(house.ended())
        await house.send(sent, event("after"))
        await until(house.ended(2))
    assert len(house.store.finished) == 2
    assert len(house.board.notes) == 2


class Slow(MemoryStore):
    """A store whose answers take a moment, so that an intake and a claim are under way at once."""

    async def accept(self, *arguments: Any, **more: Any) -> Any:
        await asyncio.sleep(0.002)
        return await super().accept(*arguments, **more)

    async def claim(self, *arguments: Any, **more: Any) -> Any:
        await asyncio.sleep(0.002)
        return await super().claim(*arguments, **more)


async def test_no_more_runs_are_in_hand_than_there_are_slots(house: House) -> None:
    house.store = Slow()
    now, most = 0, 0

    async def decide(state: Any) -> dict[str, Any]:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return accept(state)

    async with house.working(workflow(decide), concurrency=3):
        await house.send(*(event(f"s{n}") for n in range(10)))
        for n in range(10, 40):  # slots get free for the backlog and for what comes in at the same time
            await house.send(event(f"s{n}"))
            await asyncio.sleep(0.001)
        await until(house.ended(40))
    assert most == 3


async def test_a_type_of_our_desk_without_a_workflow_here_is_left_to_another_worker(house: House) -> None:
    other = workflow(event_type="prices.corrected")
    knows_both = house.worker(workflow(), other)
    await knows_both._intake.store(knows_both.owner, knows_both._intake.read([_received(event())]), {})
    async with house.working(other):  # the same desk, and only one of its types
        await house.send(event("other", "prices.corrected"))
        await until(house.ended())
    assert [(work.state, work.fails) for work in house.store._work.values()] == [("q", 0)]
    async with house.working(workflow()):
        await until(house.ended(2))
    assert house.outcomes()["s"].state is RunState.DONE


def _received(sent: Any) -> Received:
    return Received(EVENTS, topic_id_of(EVENTS), 99, 0, b"s", sent.to_json().encode())


async def test_a_source_that_broke_ends_the_worker_with_its_error(house: House) -> None:
    class Broken:
        async def batch(self) -> list[Received]:
            raise RuntimeError("the poll thread ended")

        def done(self, batch: Any) -> None:
            """Never reached."""

    with pytest.raises(RuntimeError, match="the poll thread ended"):
        await house.worker(workflow(), source=Broken()).run(asyncio.Event())


async def test_decisions_go_to_the_topic_that_the_options_name(house: House) -> None:
    async with house.working(workflow()):
        await house.send(event())
        await until(house.ended())
    await house.decisions()
    assert {record.topic for record in house.announced()} == {DECISIONS}


async def test_a_run_goes_on_with_the_version_that_it_began_with(house: House) -> None:
    def second(state: Any) -> dict[str, Any]:
        return {"decision": Decision(outcome="NEW")}

    old, new = workflow(accept_and_note), workflow(second)
    house.board.problems = [AirflowUnreachable("away")] * 99_999
    async with house.working(old):
        await house.send(event())
        await until(lambda: house.board.calls)
    house.board.problems.clear()
    async with house.working(Workflow(new.event_type, new.desk, new.graph, earlier=(old,))):
        await house.send(event("later"))
        await until(house.ended(2))
    decided = {subject: outcome.decision.outcome for subject, outcome in house.outcomes().items()}
    assert decided == {"s": "ACCEPT", "later": "NEW"}


async def test_a_run_whose_version_nobody_has_stops_and_wakes_when_somebody_has_it_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "VERSION_GRACE_S", 0.0)
    old = workflow(accept_and_note)
    house.board.problems = [AirflowUnreachable("away")] * 99_999
    async with house.working(old):
        await house.send(event())
        await until(lambda: house.board.calls)
    async with house.working(workflow(accept)):
        await until(lambda: [work.state for work in house.store._work.values()] == ["v"])
    house.board.problems.clear()
    async with house.working(old):
        await until(house.ended())
    assert house.outcomes()["s"].state is RunState.DONE


async def test_a_flood_of_one_desk_leaves_slots_to_the_others(house: House) -> None:
    release = asyncio.Event()

    async def slow(state: Any) -> dict[str, Any]:
        await release.wait()
        return accept(state)

    flood = workflow(slow, event_type="flood", desk="flood")
    async with house.working(flood, workflow(), concurrency=4):
        await house.send(*(event(f"f{n}", "flood") for n in range(30)))
        await until(lambda: sum(work.state == "r" for work in house.store._work.values()) == 3)
        await house.send(event("small"))
        await until(house.ended())
        assert set(house.outcomes()) == {"small"}
        release.set()
        await until(house.ended(31))


async def test_intake_pauses_while_too_much_is_queued(house: House) -> None:
    release = asyncio.Event()

    async def slow(state: Any) -> dict[str, Any]:
        await release.wait()
        return accept(state)

    async with house.working(workflow(slow), concurrency=1, backlog=5) as worker:
        await house.send(*(event(f"s{n}") for n in range(9)))
        await until(lambda: not worker._room.is_set())
        await house.send(*(event(f"t{n}") for n in range(9)), event("u"))
        release.set()
        await until(house.ended(19))
        await until(worker._room.is_set)


async def test_a_queued_run_that_somebody_cancels_never_runs(house: House) -> None:
    release, visits = asyncio.Event(), []

    async def slow(state: Any) -> dict[str, Any]:
        visits.append(state["event"]["payload"]["data"]["n"])
        await release.wait()
        return accept(state)

    async with house.working(workflow(slow)):
        await house.send(event(n=1), event(n=2), event(n=3))
        await until(lambda: len(house.store._work) == 3 and visits)
        second = sorted(house.store._work.values(), key=lambda work: work.seq)[1].claim.run_id
        house.store.wish_cancelled(second, "wrong file")
        release.set()
        await until(house.ended(3))
    assert visits == [1, 3]
    assert (house.store.finished[second].state, house.store.finished[second].error) == (
        RunState.CANCELLED,
        "cancelled: wrong file",
    )


async def test_a_running_run_that_somebody_cancels_ends_at_once(house: House) -> None:
    started = asyncio.Event()

    async def forever(state: Any) -> dict[str, Any]:
        started.set()
        await asyncio.Event().wait()
        return {}

    async with house.working(workflow(forever)):
        await house.send(event())
        await started.wait()
        house.store.wish_cancelled(next(iter(house.store._work)), "wrong file")
        await until(house.ended())
    assert house.outcomes()["s"].state is RunState.CANCELLED


async def test_a_run_whose_effect_began_is_not_cancelled(house: House) -> None:
    house.board.problems = [AirflowUnreachable("away")]
    async with house.working(workflow(accept_and_note)):
        await house.send(event())
        await until(lambda: house.board.calls)
        house.store.wish_cancelled(next(iter(house.store._work)), "too late")
        await until(house.ended())
    assert house.outcomes()["s"].state is RunState.DONE


async def test_a_node_that_never_returns_stops_no_other_and_ends_as_failed(house: House) -> None:
    stuck = threading.Event()

    def decide(state: Any) -> dict[str, Any]:
        if state["event"]["subject"] == "stuck":
            stuck.wait()
        return accept(state)

    try:
        async with house.working(workflow(decide, timeout_s=0.1), concurrency=1):
            await house.send(event("stuck"), *(event(f"s{n}") for n in range(5)))
            await until(house.ended(6))
    finally:
        stuck.set()
    failed = house.outcomes()["stuck"]
    assert (failed.state, failed.error_class, failed.claim.fails) == (RunState.FAILED, "RunTimedOut", 2)


async def test_a_worker_with_too_many_stuck_threads_asks_for_a_fresh_process(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads_module, "MAX_LEAKED", 1)
    stuck = threading.Event()

    def decide(state: Any) -> dict[str, Any]:
        stuck.wait()
        return accept(state)

    worker = house.worker(workflow(decide, timeout_s=0.05))
    await house.send(event())
    with pytest.raises(ThreadsLeaked):
        await worker.run(asyncio.Event())
    stuck.set()


async def test_a_stop_ends_a_loop_that_swallowed_a_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "CANCEL_AGAIN_S", 0.01)
    swallowed: list[bool] = []

    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append(True)
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await tasks_module.end_tasks([task])
    assert swallowed == [True]
    assert task.cancelled()
