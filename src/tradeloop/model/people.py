"""People: two who answer, one who says what happened, two operators; none of them is ever killed."""

from __future__ import annotations

from collections.abc import Sequence

from tradeloop.model.intake import replay
from tradeloop.model.ledger import resolve
from tradeloop.model.ownership import answer, move
from tradeloop.model.process import Code, Process
from tradeloop.model.worker import Worker
from tradeloop.model.world import World


class People(Process):
    """They see the committed state, and act on it when it may have changed already."""

    def __init__(self, world: World, workers: Sequence[Worker]) -> None:
        super().__init__(world, "people")
        self._workers = workers
        for loop in (self._answer, self._answer, self._resolve, self._replay, self._replay, self._move):
            self.spawn(loop.__name__.strip("_"), loop())

    def has_work(self) -> bool:
        """While something waits for a person."""
        world = self.world
        return bool(
            world.letters
            or any(row.state in "puv" for row in world.work.values())
            or any(task.transaction for task in self.tasks)
        )

    def _answer(self) -> Code:
        while True:
            waiting = [run for run, approval in self.world.approvals.items() if approval.state == "pending"]
            yes = self.world.draw(3) > 0
            yield None
            if waiting:
                yield from self.call(answer, waiting[0], yes)

    def _resolve(self) -> Code:
        while True:
            yield None
            unknown = [e for e in self.world.effects.values() if e.state == "outcome_unknown"]
            for effect in unknown:
                if self._may_still_land(effect.key[0]):
                    continue
                run, happened = effect.caller[0], effect.key[1] in self.world.happened.get(effect.key[0], ())
                yield None
                yield from self.call(resolve, run, effect.key, happened)

    def _may_still_land(self, event: int) -> bool:
        if not self.world.rules.person_waits:
            return False
        return any(flight.event == event for flight in self.world.flights) or any(
            event in worker.acting.values() for worker in self._workers
        )

    def _replay(self) -> Code:
        while True:
            letters = [letter for letter in self.world.letters.items() if letter[1] == 0]
            yield None
            if letters:
                event, generation = letters[0]
                yield from self.call(replay, event, generation, self._version())

    def _move(self) -> Code:
        while True:
            yield None
            stopped = [row.run for row in self.world.work.values() if row.state == "v"]
            if stopped and self.world.draw(2):
                yield from self.call(move, stopped[0], self._version())

    def _version(self) -> int:
        running = [worker.version for worker in self._workers if not worker.stopped]
        return running[-1] if running else self._workers[-1].version
