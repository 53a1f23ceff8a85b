"""Answers of Airflow's page as votes: which count, which do not, and what is put up and taken down."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from asked import REASON, approval, person
from tradeloop.airflow.ballots import MAX_ASKINGS, Ballots, run_id_of
from tradeloop.domain.approvals import Approval, ApprovalState, ApprovalStep, Ballot, Pattern, Requirement
from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.errors import AirflowRefused, DagUnavailable
from tradeloop.settings import Settings
from tradeloop.testing.approvals import MemoryApprovals
from tradeloop.testing.effects import MemoryEffects
from tradeloop.testing.people import MemoryPeople
from tradeloop.testing.required_actions import MemoryRefusedAnswers, MemoryRequiredActions

GIVEN = {"reason": REASON, "facts": "F-01, F-03"}


class Desk:
    """One desk's gate, Airflow's page and what stands between."""

    def __init__(self, **settings: Any) -> None:
        self.store = MemoryEffects()
        self.approvals = MemoryApprovals(self.store)
        self.actions = MemoryRequiredActions()
        self.people = MemoryPeople(_people={name: person(name) for name in ("anna.k", "ben.o", "tradeloop")})
        self.refused = MemoryRefusedAnswers()
        self.settings = Settings(
            **{"airflow_approvals": ["*"], "api_url": "https://tradeloop.example", "_env_file": None, **settings}
        )
        self.ballots = self.restarted()

    def restarted(self) -> Ballots:
        self.ballots = Ballots(self.actions, self.approvals, self.people, self.refused, self.settings)
        return self.ballots

    def ask(self, needs: int = 1, **given: Any) -> UUID:
        one = approval(needs, **given)
        self.store.approvals[one.approval_id] = one
        return one.approval_id

    async def stands(self, approval_id: UUID) -> Approval:
        return await self.approvals.get(approval_id)

    def why(self) -> list[Any]:
        return [facts["why"] for _, facts in self.refused.kept]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def put_up(desk: Desk, needs: int = 1, **given: Any) -> tuple[UUID, str]:
    """A question, and the run that shows it."""
    asked = desk.ask(needs, **given)
    await desk.ballots.tick()
    return asked, run_id_of(asked, 1)


async def test_a_recorded_answer_is_one_vote_of_the_person_who_gave_it(desk: Desk) -> None:
    asked, run_id = await put_up(desk)
    desk.actions.answer(run_id, "Approve", "anna.k", GIVEN)

    assert await desk.ballots.tick() == 1

    after = await desk.stands(asked)
    (vote,) = after.votes
    assert after.state is ApprovalState.APPROVED
    assert (vote.principal, vote.answer, vote.reason, vote.channel) == ("anna.k", "approve", REASON, "airflow")
    assert vote.relied_on == ("F-01", "F-03")
    assert vote.digest == after.digest
    assert vote.seen["airflow_run"] == run_id
    assert desk.actions.notes[run_id] == "Counted as the answer of anna.k: approved."
    assert await desk.ballots.tick() == 0


async def test_a_reject_is_as_near(desk: Desk) -> None:
    asked, run_id = await put_up(desk)
    desk.actions.answer(run_id, "Reject", "anna.k", GIVEN)

    await desk.ballots.tick()

    assert (await desk.stands(asked)).state is ApprovalState.REJECTED


async def test_a_question_is_put_up_once_whoever_looks(desk: Desk) -> None:
    _, run_id = await put_up(desk)

    for _ in range(3):
        await desk.restarted().tick()

    assert list(desk.actions.runs) == [run_id]
    assert desk.actions.posts == 1


@pytest.mark.parametrize("user", ["Anonymous", "anonymous", "tradeloop", "admin", "system", "", "eve", "x" * 300])
async def test_no_name_of_a_person_whom_we_know_counts_as_nothing(user: str, desk: Desk) -> None:
    desk.people._people |= {"Anonymous": person("Anonymous"), "system": person("system")}
    asked, run_id = await put_up(desk)
    desk.actions.answer(run_id, "Approve", user, GIVEN)

    assert await desk.ballots.tick() == 0

    after = await desk.stands(asked)
    assert (after.state, after.votes) == (ApprovalState.PENDING, ())
    assert len(desk.refused.kept) == 1
    assert desk.actions.notes[run_id].startswith("Not counted:")
    assert not desk.actions.runs[run_id_of(asked, 2)].is_answered  # asked again


@pytest.mark.parametrize(
    "voter",
    [
        person("anna.k", roles=frozenset({Role.VIEWER})),
        person("anna.k", is_active=False),
        person("anna.k", delegations=(Delegation(desk="settlement"),)),
        person("anna.k", kind="service"),
    ],
    ids=["no role", "inactive", "another desk", "a service"],
)
async def test_entitlements_are_those_of_every_other_face(voter: Principal, desk: Desk) -> None:
    desk.people._people["anna.k"] = voter
    asked, run_id = await put_up(desk)
    desk.actions.answer(run_id, "Approve", "anna.k", GIVEN)

    assert await desk.ballots.tick() == 0
    assert (await desk.stands(asked)).votes == ()
    assert len(desk.refused.kept) == 1


async def test_the_requester_cannot_approve_here_either(desk: Desk) -> None:
    asked, run_id = await put_up(desk, requester="anna.k")
    desk.actions.answer(run_id, "Approve", "anna.k", GIVEN)

    assert await desk.ballots.tick() == 0
    assert (await desk.stands(asked)).state is ApprovalState.PENDING


@pytest.mark.parametrize("reason", [None, "", "  ", "short", "x" * 501, 7, ["a list of reasons"]])
async def test_without_a_reason_it_counts_as_nothing(reason: Any, desk: Desk) -> None:
    asked, run_id = await put_up(desk)
    desk.actions.answer(run_id, "Approve", "anna.k", {"reason": reason} if reason is not None else {})

    assert await desk.ballots.tick() == 0
    assert (await desk.stands(asked)).votes == ()
    assert "reason" in str(desk.why()[0])


async def test_what_was_shown_must_be_what_is_asked(desk: Desk) -> None:
    asked = desk.ask()
    forged = {"subject": "marketdata: nothing at all", "body": "**Digest** `00`"}
    await desk.actions.put_up(run_id_of(asked, 1), forged)  # by somebody who may start DAG runs
    desk.actions.answer(run_id_of(asked, 1), "Approve", "anna.k", GIVEN)

    assert await desk.ballots.tick() == 0

    assert (await desk.stands(asked)).votes == ()
    assert "what was shown is not what is asked now" in str(desk.why()[0])


async def test_a_forged_question_that_waits_is_taken_down_and_asked_rightly(desk: Desk) -> None:
    asked = desk.ask()
    await desk.actions.put_up(run_id_of(asked, 1), {"subject": "s", "body": "b"})

    await desk.ballots.tick()

    assert desk.actions.runs[run_id_of(asked, 1)].chosen == ("Answered elsewhere",)
    assert str(asked) in desk.actions.runs[run_id_of(asked, 2)].body


async def test_mark_success_does_nothing(desk: Desk) -> None:
    asked, run_id = await put_up(desk)
    desk.actions.mark(run_id)

    assert await desk.ballots.tick() == 0

    assert (await desk.stands(asked)).votes == ()
    assert desk.actions.runs[run_id].chosen == ("Answered elsewhere",)  # no late answer there any more
    assert run_id_of(asked, 2) in desk.actions.runs


async def test_clear_does_nothing_and_an_answer_that_was_taken_over_stays(desk: Desk) -> None:
    asked, run_id = await put_up(desk)
    desk.actions.answer(run_id, "Reject", "anna.k", GIVEN)
    desk.actions.clear(run_id)
    before = await desk.ballots.tick()
    desk.actions.answer(run_id, "Approve", "anna.k", GIVEN)
    await desk.ballots.tick()
    desk.actions.clear(run_id)
    await desk.ballots.tick()

    assert before == 0
    assert (await desk.stands(asked)).state is ApprovalState.APPROVED
    assert len((await desk.stands(asked)).votes) == 1


async def test_answered_elsewhere_closes_it(desk: Desk) -> None:
    asked, run_id = await put_up(desk)
    one = await desk.stands(asked)
    ballot = Ballot(answer="reject", digest=one.digest, version=1, reason=REASON, channel="web")
    await desk.approvals.answer(asked, ballot, person("ben.o"))

    await desk.ballots.tick()

    closed = desk.actions.runs[run_id]
    assert (closed.chosen, closed.user_name) == (("Answered elsewhere",), "tradeloop")
    assert desk.actions.notes[run_id].startswith("Answered elsewhere: rejected by ben.o over web at")
    assert len((await desk.stands(asked)).votes) == 1


@pytest.mark.parametrize("remembers", [True, False], ids=["running", "restarted"])
async def test_an_answer_after_it_was_answered_elsewhere_is_late(remembers: bool, desk: Desk) -> None:
    asked, run_id = await put_up(desk)
    one = await desk.stands(asked)
    ballot = Ballot(answer="reject", digest=one.digest, version=1, reason=REASON, channel="web")
    await desk.approvals.answer(asked, ballot, person("ben.o"))
    desk.actions.answer(run_id, "Approve", "anna.k", GIVEN)

    await (desk.ballots if remembers else desk.restarted()).tick()

    after = await desk.stands(asked)
    assert (after.state, len(after.votes)) == (ApprovalState.REJECTED, 1)
    if remembers:
        assert len(desk.refused.kept) == 1


async def test_two_persons_are_asked_one_after_the_other(desk: Desk) -> None:
    asked, run_id = await put_up(desk, needs=2)
    desk.actions.answer(run_id, "Approve", "anna.k", GIVEN)
    first = await desk.ballots.tick()
    half = (await desk.stands(asked)).state
    desk.actions.answer(run_id_of(asked, 2), "Approve", "anna.k", GIVEN)  # the same person again
    again = await desk.ballots.tick()
    desk.actions.answer(run_id_of(asked, 3), "Approve", "ben.o", GIVEN)
    await desk.restarted().tick()

    after = await desk.stands(asked)
    assert (first, half) == (1, ApprovalState.PENDING)
    assert again in (0, 1)  # the same answer again changes nothing
    assert {vote.principal for vote in after.votes} == {"anna.k", "ben.o"}
    assert after.state is ApprovalState.APPROVED


async def test_a_restart_counts_no_answer_twice(desk: Desk) -> None:
    asked, run_id = await put_up(desk, needs=2)
    desk.actions.answer(run_id, "Approve", "anna.k", GIVEN)
    for _ in range(3):
        await desk.restarted().tick()

    assert len((await desk.stands(asked)).votes) == 1
    assert set(desk.actions.runs) == {run_id, run_id_of(asked, 2)}


async def test_an_answer_that_is_refused_again_and_again_is_asked_for_a_bounded_number_of_times(desk: Desk) -> None:
    asked = desk.ask()
    for number in range(1, MAX_ASKINGS + 4):
        await desk.ballots.tick()
        if run_id_of(asked, number) in desk.actions.runs:
            desk.actions.answer(run_id_of(asked, number), "Approve", "eve", GIVEN)
    await desk.ballots.tick()

    assert len(desk.actions.runs) == MAX_ASKINGS
    assert (await desk.stands(asked)).state is ApprovalState.PENDING  # and the page still takes answers


async def test_only_the_desks_that_were_named_are_put_up() -> None:
    desk = Desk(airflow_approvals=["settlement"])
    desk.ask()
    asked = desk.ask(desk="settlement")

    await desk.ballots.tick()

    assert list(desk.actions.runs) == [run_id_of(asked, 1)]


async def test_without_a_desk_airflow_is_not_even_asked() -> None:
    desk = Desk(airflow_approvals=[])
    desk.ask()
    desk.actions.is_there = False

    assert await desk.ballots.tick() == 0


def tier(number: int) -> Requirement:
    return Requirement(pattern=Pattern.MAKER_CHECKER, rule="R", tier=number, steps=(ApprovalStep(),))


async def test_what_needs_a_fresh_sign_in_is_not_asked_here(desk: Desk) -> None:
    asked, run_id = await put_up(desk, requirement=tier(1))
    desk.ask(requirement=tier(3))
    await desk.approvals.escalate(asked, tier(3), "nobody answered in time", person("ben.o"))

    await desk.ballots.tick()

    assert list(desk.actions.runs) == [run_id]
    assert desk.actions.runs[run_id].chosen == ("Answered elsewhere",)


async def test_a_new_deadline_is_shown_by_asking_again(desk: Desk) -> None:
    asked, run_id = await put_up(desk)
    one = await desk.stands(asked)
    desk.store.approvals[asked] = one.model_copy(update={"deadline_at": one.deadline_at + timedelta(hours=1)})

    await desk.ballots.tick()

    assert desk.actions.runs[run_id].is_answered
    assert not desk.actions.runs[run_id_of(asked, 2)].is_answered


async def test_what_expired_leaves_the_list(desk: Desk) -> None:
    asked, run_id = await put_up(desk)
    one = await desk.stands(asked)
    desk.store.approvals[asked] = one.model_copy(update={"deadline_at": datetime.now(UTC) - timedelta(seconds=1)})
    await desk.approvals.expire()

    await desk.restarted().tick()

    assert desk.actions.runs[run_id].chosen == ("Answered elsewhere",)
    assert "expired" in desk.actions.notes[run_id]


async def test_runs_of_others_are_left_alone(desk: Desk) -> None:
    for run_id in ("manual__1", run_id_of(uuid4(), 1), "tradeloop-no-uuid-1"):
        await desk.actions.put_up(run_id, {"subject": "s", "body": "b"})

    await desk.ballots.tick()

    assert not [one for one in desk.actions.runs.values() if one.is_answered]


async def test_answered_elsewhere_chosen_by_a_person_is_no_answer(desk: Desk) -> None:
    asked, run_id = await put_up(desk)
    desk.actions.answer(run_id, "Answered elsewhere", "anna.k", GIVEN)

    await desk.ballots.tick()

    assert (await desk.stands(asked)).votes == ()
    assert "Approve or Reject counts" in str(desk.why()[0])


async def test_the_id_is_the_name_where_the_setting_says_so() -> None:
    desk = Desk(airflow_identity="id")
    asked, run_id = await put_up(desk)
    desk.actions.answer(run_id, "Approve", "anna.k", GIVEN)
    desk.actions.runs[run_id] = replace(desk.actions.runs[run_id], user_name="Anna K.")

    assert await desk.ballots.tick() == 1
    assert (await desk.stands(asked)).votes[0].principal == "anna.k"


async def test_a_missing_dag_is_told_and_loses_nothing(desk: Desk) -> None:
    asked = desk.ask()
    desk.actions.is_there = False
    with pytest.raises(DagUnavailable):
        await desk.ballots.tick()
    desk.actions.is_there = True

    await desk.ballots.tick()

    assert run_id_of(asked, 1) in desk.actions.runs


async def test_a_vote_stands_without_its_note(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, run_id = await put_up(desk)
    desk.actions.answer(run_id, "Approve", "anna.k", GIVEN)

    async def refuses(run_id: str, text: str) -> None:
        raise AirflowRefused("no notes", status=403)

    monkeypatch.setattr(desk.actions, "tell", refuses)

    assert await desk.ballots.tick() == 1
    assert (await desk.stands(asked)).state is ApprovalState.APPROVED
