"""The record of ended runs: what ended while the last group was written is the next group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import structlog

from tradeloop.domain.runs import Claim, Outcome
from tradeloop.engine.persistence import Persistence
from tradeloop.ports import Runs

log = structlog.get_logger()
GROUP: Final = 200
"""Runs recorded in one transaction; more would keep the subjects of the first ones waiting."""


class Recorder:
    """Writes outcomes in groups; the group of one refused outcome is cut until it is alone."""

    def __init__(
        self,
        runs: Runs,
        persistence: Persistence,
        decisions_topic: str,
        *,
        owner: Callable[[], UUID],
        as_failure: Callable[[Claim, BaseException], Outcome],
        when_known: Callable[[Outcome, bool], None],
    ) -> None:
        """`when_known` hears of every outcome once the database knows it, or knows that the run was lost."""
        self._runs = runs
        self._persistence = persistence
        self._topic = decisions_topic
        self._owner = owner
        self._as_failure = as_failure
        self._when_known = when_known
        self._outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        self.recorded = 0

    def put(self, outcome: Outcome) -> None:
        """Record it, soon."""
        self._outcomes.put_nowait(outcome)

    @property
    def waiting(self) -> int:
        """Outcomes that were not looked at yet."""
        return self._outcomes.qsize()

    async def drained(self) -> None:
        """Return once everything that was put is recorded."""
        await self._outcomes.join()

    async def run(self) -> None:
        """Record for ever."""
        while True:
            outcomes = [await self._outcomes.get()]
            # One turn of the loop: the runs that end in this very turn belong to this group.
            await asyncio.sleep(0)
            while not self._outcomes.empty() and len(outcomes) < GROUP:
                outcomes.append(self._outcomes.get_nowait())
            await self.record(outcomes)
            for _ in outcomes:
                self._outcomes.task_done()

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """Record together; cut a group that the database refuses in halves, so that only the culprit fails."""
        owner = self._owner()
        try:
            recorded = await self._persistence.insist(lambda: self._runs.record(owner, outcomes, self._topic))
        except Exception as problem:
            if len(outcomes) > 1:
                middle = len(outcomes) // 2
                await self.record(outcomes[:middle])
                await self.record(outcomes[middle:])
            elif outcomes[0].decision is not None:
                log.error("record_refused", run_id=str(outcomes[0].claim.run_id), error=str(problem))
                await self.record([self._as_failure(outcomes[0].claim, problem)])
            else:
                raise
            return
        self.recorded += len(recorded)
        for outcome in outcomes:
            known = outcome.claim.run_id in recorded
            if known:
                _tell(outcome)
            self._when_known(outcome, known)


def _tell(outcome: Outcome) -> None:
    log.info(
        "decision_recorded",
        run_id=str(outcome.claim.run_id),
        decision_id=str(outcome.decision_id),
        subject=outcome.claim.subject,
        state=outcome.state.value,
        outcome=outcome.decision.outcome if outcome.decision else None,
    )
