"""The gate in a working worker: nothing of a graph is carried out but through it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gated import ANNA, BEN, PLAIN, REASON, House, gated_workflow, wish
from pydantic import BaseModel, ConfigDict
from real_parts import until

from tradeloop.domain.approvals import Ballot
from tradeloop.gate import faces
from tradeloop.gate.allowed import Allowed
from tradeloop.gate.policy import PolicySource
from tradeloop.store.database import Database
from tradeloop.store.live_runs import PostgresLiveRuns
from tradeloop.store.switches import PostgresSwitches


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rows: int = 0


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with Database(database_url, size=4) as database:
        found = House(database_url, database, tmp_path / "gate.yaml")
        found.says(PLAIN)
        yield found


async def test_an_action_that_a_decision_puts_before_people_waits_and_is_carried_out_once(house: House) -> None:
    async with house.working(gated_workflow()):
        house.arrivals.put(wish(params={"rows": 3}))
        (asked,) = await house.asked()
        assert (await house.live(), house.target.calls) == (["p"], [])
        assert asked.context["facts"][0]["id"] == "F-01"
        assert asked.requirement.rule == "asked"
        await house.answer(asked)
        (run,) = await house.ended()
    assert (run["state"], run["effect"]["state"]) == ("done", "executed")
    assert house.target.calls == [("board", {"rows": 3})]
    assert (await house.approvals.get(asked.approval_id)).state == "executed"
    kinds = [row["kind"] for row in await house.database.rows("SELECT kind FROM audit ORDER BY n")]
    assert kinds == ["approval_asked", "approval_answered", "run_done"]


async def test_waiting_costs_no_slot_and_a_subject_waits_for_its_own(house: House) -> None:
    async with house.working(gated_workflow()) as worker:
        house.arrivals.put(*(wish(f"s{number}") for number in range(40)))  # more than the worker has slots
        found = await house.asked(40)
        assert await house.live() == ["p"] * 40
        for one in found:
            await house.answer(one)
        await house.ended(40)
    assert (worker.recorded, len(house.target.calls)) == (40, 40)


async def test_a_no_ends_the_run_and_nothing_happens(house: House) -> None:
    async with house.working(gated_workflow()):
        house.arrivals.put(wish())
        (asked,) = await house.asked()
        await house.answer(asked, "reject")
        (run,) = await house.ended()
    assert (run["state"], run["effect"]["state"]) == ("done", "rejected")
    assert REASON in run["effect"]["error"]
    assert house.target.calls == []


async def test_silence_ends_the_run_as_expired(house: House) -> None:
    house.says(PLAIN + "asked: {pattern: maker_checker, tier: 1, deadline_s: 1}\n")
    async with house.working(gated_workflow()):
        house.arrivals.put(wish())
        (run,) = await house.ended()
    assert (run["state"], run["effect"]["state"], house.target.calls) == ("expired", "expired", [])


async def test_a_rule_asks_where_the_decision_does_not_and_denies_where_it_says_so(house: House) -> None:
    house.says(
        PLAIN
        + """
rules:
  - {id: N01, why: read by clients, when: {target: board}, needs: {pattern: maker_checker, tier: 1}}
  - {id: N02, why: never to the regulator, when: {target: regulator}, needs: {pattern: deny}}
"""
    )
    async with house.working(gated_workflow(asked=False)):
        house.arrivals.put(wish("a", target="wall"), wish("b", target="regulator"), wish("c", target="board"))
        (asked,) = await house.asked()
        runs = {run["subject"]: run["effect"] for run in await house.ended(2)}
        assert asked.requirement.rule == "N01"
    assert (runs["a"]["state"], runs["b"]["state"]) == ("executed", "denied")
    assert "never to the regulator" in runs["b"]["error"]
    assert house.target.calls == [("wall", {})]


async def test_another_worker_goes_on_with_what_was_answered_while_none_was_there(house: House) -> None:
    async with house.working(gated_workflow()):
        house.arrivals.put(wish())
        (asked,) = await house.asked()
    await house.answer(asked)
    async with house.working(gated_workflow()):
        (run,) = await house.ended()
    assert (run["effect"]["state"], len(house.target.calls)) == ("executed", 1)


async def test_a_policy_that_wants_more_voids_the_yes_before_the_release(house: House) -> None:
    async with house.working(gated_workflow()):
        house.arrivals.put(wish())
        (first,) = await house.asked()
    await house.answer(first)
    steps = "steps: [{needs: 2}]"
    house.says(PLAIN + f"asked: {{pattern: n_of_m, tier: 2, {steps}}}\n")
    async with house.working(gated_workflow()):
        (second,) = await house.asked()
        assert (second.version, second.requirement.needs, house.target.calls) == (2, 2, [])
        assert "policy wants more" in (await house.approvals.get(first.approval_id)).note
        await house.answer(second)
        await house.answer(second, voter=BEN)
        await house.ended()
    assert len(house.target.calls) == 1


async def test_an_approver_without_authority_at_the_release_counts_as_nobody(house: House) -> None:
    async with house.working(gated_workflow()):
        house.arrivals.put(wish())
        (first,) = await house.asked()
    await house.answer(first)
    house.people.people["anna.k"] = ANNA.model_copy(update={"is_active": False})
    async with house.working(gated_workflow()):
        (second,) = await house.asked()
        assert (second.version, house.target.calls) == (2, [])
        await house.answer(second, voter=BEN)
        await house.ended()
    assert len(house.target.calls) == 1


async def test_a_changed_action_is_carried_out_as_changed_and_holds_the_allow_list(house: House) -> None:
    allowed = (Allowed("note", "board", Params),)
    async with house.working(gated_workflow(allowed=allowed)):
        house.arrivals.put(wish("a", params={"rows": 3}), wish("b", params={"rows": 4}))
        first, second = await house.asked(2)
        for one, params in ((first, {"rows": 1}), (second, {"note": "to everybody"})):
            ballot = Ballot(answer="approve", digest=one.digest, reason=REASON, relied_on=("F-01",))
            source = PolicySource(house.policy)
            new = await faces.change(house.approvals, source, one.approval_id, ballot, ANNA, params)
            await house.answer(new, voter=BEN)
        runs = {run["subject"]: run for run in await house.ended(2)}
    assert house.target.calls == [("board", {"rows": 1})]
    assert runs[first.subject]["effect"]["action"]["params"] == {"rows": 1}
    assert (runs[second.subject]["state"], "params.note" in runs[second.subject]["error"]) == ("failed", True)


async def test_an_unreadable_policy_holds_everything_until_it_is_mended(house: House) -> None:
    house.says("version: [")
    async with house.working(gated_workflow(asked=False)):
        house.arrivals.put(wish(target="wall"))

        async def rests() -> bool:
            rows = await house.database.rows("SELECT 1 FROM work WHERE state IN ('w', 'q') AND error ~ 'policy'")
            return bool(rows)

        await until(rests)
        assert house.target.calls == []
        house.says(PLAIN)
        await house.ended()
    assert len(house.target.calls) == 1


async def test_a_stopped_desk_releases_nothing_that_was_approved(house: House) -> None:
    switches = PostgresSwitches(house.database)
    async with house.working(gated_workflow()):
        house.arrivals.put(wish())
        (asked,) = await house.asked()
        await switches.turn("desk:desk", stopped=True, by="anna.k", reason="bad feed")
        await house.answer(asked)

        async def rests() -> bool:
            return bool(await house.database.rows("SELECT 1 FROM work WHERE error ~ '^switched off'"))

        await until(rests)
        assert house.target.calls == []
        await switches.turn("desk:desk", stopped=False, by="anna.k", reason="mended")
        await house.ended()
    assert len(house.target.calls) == 1


async def test_pending_actions_cannot_pass_together_what_one_could_not(house: House) -> None:
    house.says(
        PLAIN
        + """
aggregates:
  - id: A1
    why: at most 100 a day without a person
    amount: amount
    limit: 100
    over: {pattern: maker_checker, tier: 1}
"""
    )
    async with house.working(gated_workflow(asked=False)):
        house.arrivals.put(*(wish(f"s{number}", params={"amount": "30.00"}) for number in range(5)))
        found = await house.asked(2)
        assert len(house.target.calls) == 3
        assert {one.requirement.rule for one in found} == {"A1"}
        await house.answer(found[0])
        await house.ended(4)
        house.arrivals.put(wish("small", params={"amount": "5.00"}))  # there was room for it before people allowed more
        assert {one.subject for one in await house.asked(2)} == {found[1].subject, "small"}


async def test_a_cancelled_run_takes_its_question_with_it(house: House) -> None:
    async with house.working(gated_workflow()):
        house.arrivals.put(wish())
        (asked,) = await house.asked()
        await PostgresLiveRuns(house.database).cancel(asked.run_id, by="ben.o", reason="wrong batch")
        (run,) = await house.ended()
    assert (run["state"], (await house.approvals.get(asked.approval_id)).state) == ("cancelled", "cancelled")
    assert house.target.calls == []


async def test_a_full_desk_asks_later(house: House) -> None:
    house.says(PLAIN + "max_pending: 1\n")
    async with house.working(gated_workflow()):
        house.arrivals.put(wish("a"), wish("b"))
        (first,) = await house.asked()
        await house.answer(first)

        async def other() -> bool:
            rows = await house.database.rows("SELECT 1 FROM approvals WHERE state = 'pending'")
            return bool(rows)

        await until(other)
        (second,) = await house.asked()
        assert second.approval_id != first.approval_id


async def test_a_no_that_was_written_down_before_a_crash_stays_a_no(house: House) -> None:
    async with house.working(gated_workflow()):
        house.arrivals.put(wish())
        (asked,) = await house.asked()
    await house.answer(asked, "reject")
    # As a worker leaves it that died behind EffectLedger.refuse and before the run's record.
    await house.database.rows("UPDATE effects SET state = 'failed', error = 'rejected: by anna.k'")
    async with house.working(gated_workflow()):
        (run,) = await house.ended()
    assert (run["state"], run["effect"]["state"], run["effect"]["error"]) == ("done", "rejected", "by anna.k")
    assert house.target.calls == []


async def test_a_graph_that_interrupts_itself_is_told_whom_to_ask(house: House) -> None:
    from langgraph.types import interrupt

    from tradeloop import Workflow

    def decide(state: dict[str, object]) -> dict[str, object]:
        return {"facts": {"said": interrupt("may I?")}}

    async with house.working(Workflow.chain("some.type", decide, desk="desk")):
        house.arrivals.put(wish())
        (run,) = await house.ended()
    assert (run["state"], "asked=True" in run["error"]) == ("failed", True)


async def test_the_interrupt_is_a_request_as_other_agent_inboxes_read_it(house: House) -> None:
    from langchain.agents.middleware.human_in_the_loop import HITLRequest
    from pydantic import TypeAdapter

    from tradeloop.engine.asking import interrupts_of
    from tradeloop.store.checkpoints import CheckpointStore

    async with house.working(gated_workflow()):
        house.arrivals.put(wish(params={"rows": 3}))
        (asked,) = await house.asked()
    async with CheckpointStore(house.database) as saver:
        stored = await saver.aget_tuple({"configurable": {"thread_id": str(asked.run_id)}})
    assert stored is not None
    (waiting,) = interrupts_of(stored)
    request = TypeAdapter(HITLRequest).validate_python(waiting.value)
    (action,), (review,) = request["action_requests"], request["review_configs"]
    assert (action["name"], action["args"], waiting.id) == ("note board", {"rows": 3}, asked.interrupt_id)
    assert review["allowed_decisions"] == ["approve", "edit", "reject"]
    assert waiting.value["tradeloop"]["digest"] == asked.digest
