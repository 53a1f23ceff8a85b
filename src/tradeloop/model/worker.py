"""A worker: intake, claims, takeover, heartbeat, record, two lanes of the saver, and its runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any  # Any: arguments of a statement

from tradeloop.model.graph import GraphRun
from tradeloop.model.intake import Record, accept, move_early
from tradeloop.model.ownership import claim, needs_a_round, owned, renew, take_over
from tradeloop.model.process import PAUSE, Calling, Code, Process, Task
from tradeloop.model.record import Outcome, record
from tradeloop.model.saver import Put, lane
from tradeloop.model.world import LOST, Member, Statements, Transaction, World


class Worker(Process):
    """One process; its identity is new at every start, and after a burial."""

    def __init__(self, world: World, version: int) -> None:
        self.identity = world.next("worker")
        super().__init__(world, f"worker {self.identity}")
        self.version = version
        self.positions: dict[int, int] = {}
        """Of the partitions that it believes to have."""
        self.held: dict[int, int] = {}
        self.outcomes: list[Outcome] = []
        self.acting: dict[GraphRun, int] = {}
        """Runs that may be about to call the target, with their events."""
        self.lanes: tuple[list[Put], list[Put]] = ([], [])
        self.runs: dict[Task, GraphRun] = {}
        world.members[self.identity] = Member(version)
        for loop in (self._take_in, self._claim, self._take_over, self._keep_lease, self._record):
            self.spawn(loop.__name__.strip("_"), loop())
        for queue in self.lanes:
            self.spawn("lane", lane(world, queue))

    def assign(self, partitions: list[int]) -> None:
        """The group gives it these partitions, and it hears of it."""
        world = self.world
        at = world.cursor if world.rules.database_position else world.offsets
        self.positions = {part: self.positions.get(part, at[part]) for part in partitions}

    def _poll(self) -> list[Record]:
        batch: list[Record] = []
        for part, position in self.positions.items():
            log = self.world.log[part]
            if position < self.world.written[part]:
                end = min(position + 1 + self.world.draw(3), self.world.written[part])
                batch += [(part, offset, log[offset]) for offset in range(position, end)]
                self.positions[part] = end
        return batch

    def _take_in(self) -> Code:
        while True:
            batch = self._poll()
            if not batch:
                yield None
                continue
            yield PAUSE
            self.world.say(f"    {self.name} has read {batch}")
            if not self.world.rules.cursor_in_intake:
                yield from self.call(move_early, batch)
            yield from self._obtain(accept, self.version, batch, self.world.draw(3))
            for part, offset, _ in batch:
                if part in self.positions:
                    self.world.offsets[part] = offset + 1

    def _claim(self) -> Code:
        while True:
            yield None
            if any(row.state == "q" and row.head for row in self.world.work.values()):
                yield from self._obtain(claim, self.version, 1 + self.world.draw(2))

    def _obtain(self, statements: Callable[..., Statements], *arguments: Any) -> Calling:
        """Start the runs that a call gives us, also when its answer was lost."""
        unanswered = False
        while True:
            claims = yield Transaction(self.world, statements, self.identity, *arguments)
            if claims is not LOST:
                break
            unanswered = True
        if unanswered and self.world.rules.ask_owned:
            yield None
            claims = claims + [pair for pair in owned(self.world, self.identity) if pair[0] not in self.held]
        for run, fence in claims:
            if self.held.get(run, 0) < fence:
                self.held[run] = fence
                graph = GraphRun(self, run, fence)
                self.runs[self.spawn(f"run {run}/{fence}", graph.code())] = graph

    def _take_over(self) -> Code:
        while True:
            yield None
            if needs_a_round(self.world):
                yield from self.call(take_over)

    def _keep_lease(self) -> Code:
        while True:
            yield None
            member = self.world.members[self.identity]
            if not (member.dead or member.expired):
                continue
            alive = yield from self.call(renew, self.identity)
            if not alive and self.world.rules.new_identity:
                self._begin_anew()

    def _begin_anew(self) -> None:
        for task in [task for task in self.runs if not task.ended and not task.leaked]:
            self.runs[task].cancelled()
            task.cancel()
        self.held.clear()
        self.identity = self.world.next("worker")
        self.world.members[self.identity] = Member(self.version)
        self.world.say(f"    {self.name} goes on as worker {self.identity}")

    def _record(self) -> Code:
        while True:
            yield None
            if not self.outcomes:
                continue
            group = self.outcomes[:3]
            del self.outcomes[:3]
            yield from self.call(record, self.identity, group)
            for outcome in group:
                if self.held.get(outcome.run) == outcome.fence:
                    del self.held[outcome.run]
