"""Required Actions of the real Airflow: which of the things that people do there are a vote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

import people_of_airflow as people
from asked import approval, person
from tradeloop.airflow.ballots import Ballots, run_id_of
from tradeloop.airflow.client import AirflowClient
from tradeloop.airflow.required_actions import AirflowRequiredActions
from tradeloop.domain.approvals import Approval, ApprovalState, Ballot
from tradeloop.errors import AirflowRefused
from tradeloop.ports import RequiredAction
from tradeloop.settings import Settings
from tradeloop.testing.approvals import MemoryApprovals
from tradeloop.testing.effects import MemoryEffects
from tradeloop.testing.people import MemoryPeople
from tradeloop.testing.required_actions import MemoryRefusedAnswers

if TYPE_CHECKING:
    from tradeloop.stack import Stack

WITHIN_S = 60.0


KNOWN = ("anna.k", "ben.o", "system", "tradeloop")
"""They may release anything; so might the shared accounts, if somebody had written them into the table."""


class Box:
    """The gate in memory, Airflow's real page, and the loop between them, turned by hand."""

    def __init__(self, stack: Stack, client: AirflowClient) -> None:
        self.known = MemoryPeople(_people={name: person(name) for name in KNOWN})
        self.stack = stack
        self.store = MemoryEffects()
        self.approvals = MemoryApprovals(self.store)
        self.refused = MemoryRefusedAnswers()
        self.actions = AirflowRequiredActions(client, people.DAG)
        self.ballots = self.restarted()

    def restarted(self) -> Ballots:
        settings = Settings(airflow_approvals=["*"], api_url="https://t.example", _env_file=None)
        self.ballots = Ballots(self.actions, self.approvals, self.known, self.refused, settings)
        return self.ballots

    async def put_up(self, needs: int = 1) -> UUID:
        one = approval(needs)
        self.store.approvals[one.approval_id] = one
        await self.shown(one.approval_id, 1)
        return one.approval_id

    async def shown(self, asked: UUID, number: int) -> str:
        """Turn the loop until that asking waits for people; its run."""
        run_id = run_id_of(asked, number)
        await self.until(run_id, lambda one: one.is_waiting and not one.is_answered)
        return run_id

    async def until(self, run_id: str, holds: Callable[[RequiredAction], bool]) -> RequiredAction:
        deadline = asyncio.get_running_loop().time() + WITHIN_S
        while True:
            await self.ballots.tick()
            found = await self.actions.of_run(run_id)
            if found and holds(found):
                return found
            assert asyncio.get_running_loop().time() < deadline, f"{run_id} stands at {found}"
            await asyncio.sleep(0.1)

    async def answer(self, user: str, run_id: str, option: str, params: Any = None) -> None:
        await people.answer(self.stack, user, run_id, option, params)
        await self.ballots.tick()

    async def stands(self, asked: UUID) -> tuple[ApprovalState, list[str]]:
        one: Approval = await self.approvals.get(asked)
        return one.state, [f"{vote.principal} {vote.answer}" for vote in one.votes]


@pytest.fixture
async def box(airflow_stack: Stack, airflow: AirflowClient) -> AsyncIterator[Box]:
    made = Box(airflow_stack, airflow)
    yield made
    for one in made.store.approvals.values():  # leave nothing among the actions that others look at
        for number in range(1, 10):
            await made.actions.close(run_id_of(one.approval_id, number), "Answered elsewhere")


async def test_two_persons_answers_are_two_votes_and_a_services_is_none(box: Box) -> None:
    asked = await box.put_up(needs=2)

    await box.answer("anna.k", run_id_of(asked, 1), "Approve")
    first = await box.stands(asked)
    await box.answer("system", await box.shown(asked, 2), "Approve")
    second = await box.stands(asked)
    await box.answer("ben.o", await box.shown(asked, 3), "Approve", {"reason": "", "facts": ""})
    third = await box.stands(asked)
    await box.answer("ben.o", await box.shown(asked, 4), "Approve")

    assert first == second == third == (ApprovalState.PENDING, ["anna.k approve"])
    assert await box.stands(asked) == (ApprovalState.APPROVED, ["anna.k approve", "ben.o approve"])
    assert [str(facts["by"]) for _, facts in box.refused.kept] == ["system", "ben.o"]
    note = await box.actions._client.get(f"/dags/{people.DAG}/dagRuns/{run_id_of(asked, 3)}")
    assert str(note["note"]).startswith("Not counted: reason")


async def test_mark_and_clear_do_nothing_and_a_late_answer_after_them_is_refused_by_airflow(box: Box) -> None:
    asked = await box.put_up()
    run_id = run_id_of(asked, 1)

    await people.clear(box.stack, "anna.k", run_id)
    await box.shown(asked, 1)
    cleared = await box.stands(asked)
    await people.mark(box.stack, "anna.k", run_id)
    await box.shown(asked, 2)
    marked = await box.stands(asked)
    with pytest.raises(AirflowRefused, match="already been updated"):
        await people.answer(box.stack, "ben.o", run_id, "Approve")

    assert cleared == marked == await box.stands(asked) == (ApprovalState.PENDING, [])


async def test_answered_elsewhere_leaves_airflows_list_under_our_account(box: Box) -> None:
    asked = await box.put_up()
    one = await box.approvals.get(asked)
    ballot = Ballot(answer="reject", digest=one.digest, version=1, reason=people.REASON, channel="web")
    await box.approvals.answer(asked, ballot, person("ben.o"))

    await box.restarted().tick()

    closed = await box.until(run_id_of(asked, 1), lambda action: action.is_answered)
    assert (closed.chosen, closed.user_name) == (("Answered elsewhere",), "tradeloop")
    assert await box.stands(asked) == (ApprovalState.REJECTED, ["ben.o reject"])


async def test_the_page_shows_what_was_put_up_to_the_letter(box: Box) -> None:
    hostile = approval(
        context={"facts": [{"id": "F-01", "sentence": "<b>&amp;</b> {{ 7*7 }} `x` \\ \u00e9 \U0001f4a3"}]}
    )
    box.store.approvals[hostile.approval_id] = hostile

    run_id = await box.shown(hostile.approval_id, 1)  # waits: what Airflow shows equals what is asked

    found = await box.actions.of_run(run_id)
    assert found is not None
    assert "7\\*7" in found.body
