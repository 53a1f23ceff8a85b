"""Dead letters back through the inbox: judged by today's code, throttled, resumable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.letters import Letter, LetterFilter, Replay
from tradeloop.domain.records import Received
from tradeloop.domain.runs import new_run_id
from tradeloop.engine.rehearsal import rehearse
from tradeloop.errors import EventIdReused, EventInvalid, EventRedacted, TradeloopError, WorkflowMissing
from tradeloop.ports import Arrival, Letters
from tradeloop.workflow import Workflow

PAGE: Final = 20
"""Letters in hand at a time: each may have a megabyte."""
NOWHERE: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What today's code says of a letter, and what became of it."""

    letter: Letter
    problem: str = ""
    """Why it would not pass; empty when it would."""
    error_class: str = ""
    replay: Replay | None = None
    """None in a dry run, and when it would not pass."""

    @property
    def passes(self) -> bool:
        """Whether today's code takes it."""
        return not self.problem


class Replays:
    """Puts letters back, one transaction each: stopped anywhere, the same call goes on with the rest."""

    def __init__(self, letters: Letters, workflows: Mapping[str, Workflow], *, by: str) -> None:
        self._letters = letters
        self._workflows = workflows
        self._by = by

    async def rehearsed(self, wanted: LetterFilter) -> AsyncIterator[Verdict]:
        """Judge each matching letter by running its graph with effects off; changes nothing."""
        async for letter in self._each(wanted):
            yield await self._verdict(letter, rehearsing=True)

    async def replayed(
        self, wanted: LetterFilter, *, rate: float, only_passing: bool = False
    ) -> AsyncIterator[Verdict]:
        """Put each matching letter back, at most `rate` a second.

        What cannot be read is left alone; with `only_passing` also what its graph cannot decide in a rehearsal.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        async for letter in self._each(wanted):
            verdict = await self._verdict(letter, rehearsing=only_passing)
            if verdict.passes:
                await asyncio.sleep(max(0.0, due - loop.time()))
                due = max(due, loop.time() - 1.0) + 1.0 / rate
                replay = await self._letters.replay(letter.letter_id, self._arrival(letter), self._by)
                verdict = Verdict(letter, replay=replay)
            yield verdict

    async def _each(self, wanted: LetterFilter) -> AsyncIterator[Letter]:
        last = 0
        while page := await self._letters.after(last, wanted, PAGE):
            for letter in page:
                yield letter
            last = page[-1].letter_id

    async def _verdict(self, letter: Letter, *, rehearsing: bool) -> Verdict:
        try:
            arrival = self._arrival(letter)
        except (EventInvalid, WorkflowMissing) as problem:
            return Verdict(letter, problem.message, type(problem).__name__)
        if not rehearsing:
            return Verdict(letter)
        event = WorkflowEvent.from_json(arrival.received.value)
        task = asyncio.ensure_future(rehearse(self._workflows[event.event_type], event))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        raised = task.exception()
        if raised is None:
            return Verdict(letter)
        text = raised.message if isinstance(raised, TradeloopError) else f"{type(raised).__name__}: {raised}"
        return Verdict(letter, text, type(raised).__name__)

    def _arrival(self, letter: Letter) -> Arrival:
        if letter.error_class == EventRedacted.__name__:
            raise EventRedacted("what is stored was masked on its way: the event must be emitted again")
        if letter.error_class == EventIdReused.__name__:
            raise EventIdReused("its id is another event's: it must be sent again with an id of its own")
        event = WorkflowEvent.from_json(letter.raw)
        workflow = self._workflows.get(event.event_type)
        if workflow is None:
            raise WorkflowMissing(f"it can be read, but no workflow of this installation answers {event.event_type}")
        place = Received(letter.topic, NOWHERE, letter.partition or 0, letter.offset or 0, None, letter.raw)
        return Arrival(
            received=place,
            event_id=event.event_id,
            event_type=event.event_type,
            desk=workflow.desk,
            subject=event.subject,
            run_id=new_run_id(),
        )
