"""Takes answers over from Airflow's Required Actions: each recorded one is one vote of the person who gave it.

A ballot box and never the gate: the vote goes through `ports.Approvals.answer` with that person's own authority, and
what becomes of the task over there means nothing. What was shown is held against what is asked before anything counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import structlog
from pydantic import ValidationError

from tradeloop.airflow.ballot_text import APPROVE, ELSEWHERE, REJECT, body_of, plain, subject_of
from tradeloop.domain.approvals import Approval, ApprovalFilter, ApprovalState, Ballot
from tradeloop.domain.canonical import utc_text
from tradeloop.domain.people import ANYWHERE, SERVICE_NAMES, Principal
from tradeloop.errors import AirflowRefused, AnswerRefused, NotFound
from tradeloop.ports import Approvals, People, RefusedAnswers, RequiredAction, RequiredActions
from tradeloop.settings import Settings

log = structlog.get_logger()

MAX_ASKINGS: Final = 9
"""Of one version: an answer that does not count asks again, and somebody without authority could go on for ever."""
HIGHEST_TIER: Final = 2
"""Tier 3 needs a fresh sign-in and the digest typed; Airflow tells nothing of either, so it is asked elsewhere."""
MOST: Final = 1000
RUN_ID: Final = re.compile(r"tradeloop-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([1-9])")
FACT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]*")


class Ballots:
    """One pass: put up what is asked, take over what was answered, take down what was answered elsewhere.

    It keeps nothing but a memory that saves questions to Airflow: after a restart it finds its place again, and an
    answer that was taken over is, given again, no change.
    """

    def __init__(
        self,
        actions: RequiredActions,
        approvals: Approvals,
        people: People,
        refusals: RefusedAnswers,
        settings: Settings,
    ) -> None:
        self._actions = actions
        self._approvals = approvals
        self._people = people
        self._refusals = refusals
        self._desks = frozenset(settings.airflow_approvals)
        self._account = settings.airflow_username
        self._by = settings.airflow_identity
        self._web_url = settings.api_url
        self._askings: dict[UUID, int] = {}
        """By approval: which time of asking stands now."""

    async def tick(self) -> int:
        """Look once; returns how many votes counted.

        Raises:
            AirflowUnreachable, AirflowForbidden, AirflowRefused, DatabaseUnreachable: try again; no answer is lost.
        """
        if not self._desks:
            return 0
        pending = [one for one in await self._pending() if self._is_ours(one)]
        waiting = {one.run_id: one for one in await self._actions.waiting()}
        counted = 0
        for approval in pending:
            counted += await self._attend(approval, waiting)
        attended = {one.approval_id for one in pending}
        for gone in [each for each in self._askings if each not in attended]:
            run_id = run_id_of(gone, self._askings.pop(gone))
            if run_id not in waiting and (late := await self._actions.of_run(run_id)) and late.is_answered:
                await self._late(gone, late)
        for run_id in waiting:
            await self._take_down(run_id, attended)
        return counted

    async def _pending(self) -> Iterable[Approval]:
        one = next(iter(self._desks)) if len(self._desks) == 1 else ANYWHERE
        wanted = ApprovalFilter(states=(ApprovalState.PENDING,), desk="" if one == ANYWHERE else one, limit=MOST)
        return await self._approvals.matching(wanted)

    def _is_ours(self, approval: Approval) -> bool:
        is_chosen = ANYWHERE in self._desks or approval.desk in self._desks
        return is_chosen and approval.requirement.tier <= HIGHEST_TIER

    async def _attend(self, approval: Approval, waiting: dict[str, RequiredAction]) -> int:
        """Find the asking that stands; what is answered, spoiled or foreign makes room for the next one."""
        counted = 0
        for number in range(self._askings.get(approval.approval_id, 1), MAX_ASKINGS + 1):
            self._askings[approval.approval_id] = number
            run_id = run_id_of(approval.approval_id, number)
            action = waiting.get(run_id) or await self._actions.of_run(run_id)
            if action is None:
                await self._actions.put_up(run_id, self._conf(approval, number))
                return counted
            if not action.is_answered:
                if action.is_waiting and self._shows(action, approval, number):
                    return counted
                # Marked, failed, or not what is asked: nobody may answer it any more.
                if await self._actions.close(run_id, ELSEWHERE):
                    waiting.pop(run_id, None)
                    await self._actions.tell(run_id, "Not counted: the task was marked, or the question has changed.")
                    continue
                action = await self._actions.of_run(run_id) or action
                if not action.is_answered:
                    return counted  # cleared at this moment
            after = await self._take_over(approval, action, number)
            if after is not None:
                counted += 1
                if not after.state.is_open:
                    return counted
        return counted

    async def _take_over(self, approval: Approval, action: RequiredAction, number: int) -> Approval | None:
        """One recorded answer as one vote; None when it does not count."""
        name = plain(action.user_name if self._by == "name" else action.user_id, 200)
        if action.chosen == (ELSEWHERE,) and self._account in (action.user_id, action.user_name):
            return None
        try:
            ballot = self._ballot(approval, action, number, name)
            voter = await self._voter(name)
            after = await self._approvals.answer(approval.approval_id, ballot, voter)
        except (AnswerRefused, NotFound, _NotCounted) as problem:
            why = problem.message if isinstance(problem, AnswerRefused | NotFound) else str(problem)
            log.warning("airflow_answer_not_counted", approval=str(approval.approval_id), by=name, why=why)
            facts = {"by": name, "channel": "airflow", "airflow_run": action.run_id, "why": why}
            await self._refusals.keep(approval, facts | {"answer": ", ".join(action.chosen)})
            await self._tell(action.run_id, f"Not counted: {why}")
            return None
        given, needs = len(after.approvals), after.requirement.needs
        stands = f"{given} of {needs}" if after.state.is_open else after.state.value
        log.info("airflow_answer_counted", approval=str(approval.approval_id), by=name, stands=stands)
        await self._tell(action.run_id, f"Counted as the answer of {name}: {stands}.")
        return after

    async def _voter(self, name: str) -> Principal:
        try:
            return await self._people.find(name)
        except NotFound:
            raise _NotCounted(f"{name!r} is nobody whom tradeloop knows; tradeloop people add") from None

    def _ballot(self, approval: Approval, action: RequiredAction, number: int, name: str) -> Ballot:
        if not self._shows(action, approval, number):
            raise _NotCounted("what was shown is not what is asked now; it is asked again")
        if len(action.chosen) != 1 or action.chosen[0] not in (APPROVE, REJECT):
            raise _NotCounted(f"{', '.join(action.chosen) or 'nothing'} was chosen; {APPROVE} or {REJECT} counts")
        if not name or name.lower() in SERVICE_NAMES or self._account in (action.user_id, action.user_name):
            raise _NotCounted(f"{name or 'nobody'} is no person's own name in Airflow")
        reason, facts = (_typed(action, each) for each in ("reason", "facts"))
        try:
            return Ballot(
                answer="approve" if action.chosen[0] == APPROVE else "reject",
                digest=approval.digest,
                version=approval.version,
                reason=reason.strip(),
                relied_on=tuple(FACT_ID.findall(facts))[:50],
                channel="airflow",
                seen={
                    "airflow_run": action.run_id,
                    "airflow_user": plain(f"{action.user_id} {action.user_name}", 400),
                    "airflow_answered_at": utc_text(action.answered_at) if action.answered_at else "",
                },
            )
        except ValidationError as problem:
            error = problem.errors(include_url=False)[0]
            raise _NotCounted(f"{error['loc'][0]}: {error['msg'].lower()}; answer again with a reason") from None

    def _shows(self, action: RequiredAction, approval: Approval, number: int) -> bool:
        return action.subject == subject_of(approval) and action.body == body_of(approval, number, self._web_url)

    def _conf(self, approval: Approval, number: int) -> dict[str, str | int]:
        return {
            "approval_id": str(approval.approval_id),
            "version": approval.version,
            "digest": approval.digest,
            "desk": approval.desk,
            "subject": subject_of(approval),
            "body": body_of(approval, number, self._web_url),
        }

    async def _take_down(self, run_id: str, attended: set[UUID]) -> None:
        """Close the question of an approval that is not asked here any more; others' runs are left alone."""
        found = RUN_ID.fullmatch(run_id)
        if found is None:
            return
        approval_id = UUID(found[1])
        if approval_id in attended and int(found[2]) >= self._askings.get(approval_id, 1):
            return
        try:
            approval = await self._approvals.get(approval_id)
        except NotFound:
            return  # of another tradeloop on the same Airflow
        if await self._actions.close(run_id, ELSEWHERE):
            await self._tell(run_id, f"Answered elsewhere: {_told(approval)}")
        elif late := await self._actions.of_run(run_id):
            await self._late(approval_id, late)

    async def _late(self, approval_id: UUID, action: RequiredAction) -> None:
        """An answer that came after the end: the store refuses it, and so it is on record."""
        found = RUN_ID.fullmatch(action.run_id)
        try:
            approval = await self._approvals.get(approval_id)
        except NotFound:
            return
        if found and action.is_answered and not approval.state.is_open:
            await self._take_over(approval, action, int(found[2]))

    async def _tell(self, run_id: str, text: str) -> None:
        try:
            await self._actions.tell(run_id, text)
        except AirflowRefused as problem:  # the vote stands without the note
            log.warning("airflow_note_refused", run=run_id, error=problem.message)


class _NotCounted(Exception):
    """An answer in Airflow is none: says why."""


def _typed(action: RequiredAction, field: str) -> str:
    value = action.params.get(field)
    return value if isinstance(value, str) else ""


def run_id_of(approval_id: UUID, number: int) -> str:
    """The DAG run that asks for the `number`-th time."""
    return f"tradeloop-{approval_id}-{number}"


def _told(approval: Approval) -> str:
    if not approval.votes:
        return f"{approval.state.value}. {approval.note}".rstrip()
    last = approval.votes[-1]
    return f"{approval.state.value} by {last.principal} over {last.channel} at {utc_text(last.at)[:19]}Z."
