"""mi-24 in a working worker, on real PostgreSQL; docs/mi24.md has the table."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gated import ANNA, BEN, PLAIN, REASON, House, gated_workflow, wish

from tradeloop.domain.approvals import Ballot
from tradeloop.engine.fork import fork
from tradeloop.engine.rehearsal import rehearse
from tradeloop.gate import faces
from tradeloop.gate.policy import PolicySource
from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.cipher import Cipher
from tradeloop.store.database import Database

RULES = """
rules:
  - {id: N01, why: read by clients, impact: [dissemination], when: {target: board}, needs: {pattern: maker_checker}}
  - {id: N02, why: for nobody to waive, when: {target: regulator}, needs: {pattern: deny}}
"""


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with Database(database_url, size=4) as database:
        found = House(database_url, database, tmp_path / "gate.yaml")
        found.says(PLAIN + RULES)
        yield found


async def test_p1_p2_one_agent_goes_on_with_routine_and_rests_where_policy_says_so(house: House) -> None:
    async with house.working(gated_workflow(asked=False)):  # the graph asks for nothing
        house.arrivals.put(wish("a", target="wall"), wish("b", target="board"), wish("c", target="regulator"))
        house.arrivals.put(wish("d", target="B\u043eard"))  # would be another target, and is asked all the same
        found = await house.asked(2)
        runs = {run["subject"]: run["effect"]["state"] for run in await house.ended(2)}
        assert {one.requirement.rule for one in found} == {"N01"}
        assert {one.requirement.impact for one in found} == {("dissemination",)}
    assert runs == {"a": "executed", "c": "denied"}
    assert house.target.calls == [("wall", {})]


async def test_2a_2b_p4_a_question_survives_its_worker_and_is_resumed_by_another(house: House) -> None:
    house.cipher = Cipher((secrets.token_bytes(32),))
    async with Database(house.database_url, cipher=house.cipher) as sealed:
        house.database = sealed
        async with house.working(gated_workflow()):
            house.arrivals.put(wish(params={"rows": 3}, fact={"sentence": "Wintergreen"}))
            (asked,) = await house.asked()
            rows = await sealed.rows("SELECT state, calls FROM effects")
            assert [(row["state"], row["calls"]) for row in rows] == [("prepared", 0)]  # written down, not called
        text = await sealed.row(
            "SELECT (SELECT string_agg(to_jsonb(a)::text, ' ') FROM approvals a) "
            "|| (SELECT string_agg(encode(blob, 'escape'), ' ') FROM checkpoint_writes) AS all_of_it"
        )
        assert text is not None
        assert "Wintergreen" not in text["all_of_it"]
        assert "password" not in text["all_of_it"].lower()
        await house.answer(asked)
        async with house.working(gated_workflow()):
            (run,) = await house.ended()
    assert (run["effect"]["state"], house.target.calls) == ("executed", [("board", {"rows": 3})])


async def test_1f_what_was_approved_is_judged_again_by_the_policy_of_the_release(house: House) -> None:
    async with house.working(gated_workflow()):
        house.arrivals.put(wish("a"), wish("b"))
        first, second = await house.asked(2)
    for one in (first, second):
        await house.answer(one)
    house.says(PLAIN + "asked: {pattern: n_of_m, tier: 1, steps: [{needs: 2}]}\n")
    async with house.working(gated_workflow()):
        again = await house.asked(2)
        assert {one.version for one in again} == {2}
        house.says(PLAIN + "rules: [{id: X, why: never any more, needs: {pattern: deny}}]\n")
        for one in again:
            await house.answer(one)
            await house.answer(one, voter=BEN)
        runs = await house.ended(2)
    assert [run["effect"]["state"] for run in runs] == ["denied", "denied"]
    assert house.target.calls == []


async def test_1f_an_escalated_yes_is_not_enough_when_policy_wants_more(house: House) -> None:
    async with house.working(gated_workflow()):
        house.arrivals.put(wish())
        (asked,) = await house.asked()
        await faces.escalate(house.approvals, asked.approval_id, REASON, ANNA)
    for voter in (ANNA, BEN):
        await house.answer(asked, voter=voter)
    house.says(PLAIN + "asked: {pattern: n_of_m, tier: 1, steps: [{needs: 3}]}\n")
    async with house.working(gated_workflow()):
        (second,) = await house.asked()
    assert (second.version, second.requirement.needs, house.target.calls) == (2, 3, [])


async def test_1e_fork_and_rehearsal_carry_nothing_out(house: House) -> None:
    workflow = gated_workflow()
    async with house.working(workflow):
        house.arrivals.put(wish())
        (asked,) = await house.asked()
    async with CheckpointStore(house.database) as saver:
        forked = await fork(workflow, saver, asked.run_id)
    assert forked.effect["state"] == "would_ask"
    assert (await rehearse(workflow, wish())) is not None
    assert house.target.calls == []
    assert (await house.approvals.get(asked.approval_id)).state == "pending"


async def test_4a_a_change_is_carried_out_as_changed_and_never_as_it_was(house: House) -> None:
    async with house.working(gated_workflow()):
        house.arrivals.put(wish(params={"amount": "500"}))
        (asked,) = await house.asked()
        ballot = Ballot(answer="approve", digest=asked.digest, reason=REASON, relied_on=("F-01",))
        source = PolicySource(house.policy)
        new = await faces.change(house.approvals, source, asked.approval_id, ballot, ANNA, {"amount": "5"})
        await house.answer(new, voter=BEN)
        (run,) = await house.ended()
    assert (run["effect"]["state"], house.target.calls) == ("executed", [("board", {"amount": "5"})])
    chain = [row["kind"] for row in await house.database.rows("SELECT kind FROM audit ORDER BY n")]
    assert chain[:4] == ["approval_asked", "approval_asked", "approval_modified", "approval_answered"]
    assert chain[4:] == ["effect_prepared_again", "run_done"]
