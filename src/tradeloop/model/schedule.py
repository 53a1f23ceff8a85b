"""One schedule: random steps with faults, then healing, then what must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from tradeloop.model.faults import FAULTS
from tradeloop.model.ledger import land
from tradeloop.model.process import Process
from tradeloop.model.rules import Rules
from tradeloop.model.town import Town
from tradeloop.model.worker import Worker
from tradeloop.model.world import Violated

STEP_BITS: Final = 62
HEALING_ROUNDS: Final = 120
"""Fair turns until everything must have ended; a healthy schedule needs 20 to 80."""
TURN: Final = 12
"""Actions in a row while healing."""


@dataclass(frozen=True, slots=True)
class Found:
    """A violation."""

    seed: int
    invariant: str
    text: str
    steps: tuple[int, ...]
    trace: tuple[str, ...] = ()


def steps_of(seed: int) -> tuple[int, ...]:
    """The random part of a schedule: one number a step, from which all its choices come."""
    random = Random(f"steps {seed}")  # noqa: S311 - a search, no secret
    return tuple(random.getrandbits(STEP_BITS) for _ in range(random.randint(80, 320)))


def run(seed: int, rules: Rules, steps: tuple[int, ...] | None = None, *, traced: bool = False) -> Found | None:
    """Run a schedule; the violation, if there is one. The same arguments give the same run."""
    random = Random(f"world {seed}")  # noqa: S311 - a search, no secret
    town = Town(rules, random)
    if traced:
        town.world.trace = []
    faults = random.sample(FAULTS, random.randint(1, 6))
    every = random.choice((8, 12, 25))
    steps = steps_of(seed) if steps is None else steps
    try:
        for entropy in steps:
            town.world.entropy, fault = divmod(entropy, every)
            if fault == 0:
                faults[town.world.draw(len(faults))](town)
            else:
                town.step()
        Healing(town, random).run()
    except Violated as problem:
        return Found(seed, problem.invariant, str(problem), steps, tuple(town.world.trace or ()))
    return None


class Healing:
    """No more faults, fair turns; at first who is stopped stays so, and must stop nobody."""

    def __init__(self, town: Town, random: Random) -> None:
        self._town = town
        self._random = random
        self._world = town.world

    def run(self) -> None:
        """Heal, and check what must hold at the end."""
        world, town = self._world, self._town
        world.faulty = False
        world.written = [len(log) for log in world.log]
        world.say("-- no more faults")
        if self._random.random() < 0.5 or _all_stopped(town.workers) or _all_stopped(town.relays):
            self._continue()
        self._assign()
        self._turn_until_settled()
        if any(process.stopped for process in town.processes()):
            world.say("-- who was stopped goes on")
            self._continue()
            self._assign()
            self._turn_until_settled()
        self._check_end()

    def _continue(self) -> None:
        for process in self._town.processes():
            process.stopped = False

    def _end_leases(self) -> None:
        """Of all that do not run; what a stopped process had sent may renew one at any time."""
        running = {worker.identity for worker in self._town.workers if not worker.stopped}
        for identity, member in self._world.members.items():
            member.expired = identity not in running
        relays = {relay.identity for relay in self._town.relays if not relay.stopped}
        for lane in self._world.lanes:
            lane[1] = lane[0] not in relays

    def _assign(self) -> None:
        town, world = self._town, self._world
        reading = [worker for worker in town.workers if not worker.stopped]
        for place, worker in enumerate(reading):
            worker.assign([part for part in range(len(world.log)) if part % len(reading) == place])

    def _turn_until_settled(self) -> None:
        for _ in range(HEALING_ROUNDS):
            self._end_leases()
            if self._is_settled():
                return
            self._turn()
        raise Violated("I11", f"nothing settles: {self._left()}")

    def _turn(self) -> None:
        world = self._world
        for process in self._town.processes():
            for task in list(process.tasks) if process.has_work() else ():
                world.entropy = self._random.getrandbits(30)
                for _ in range(TURN):
                    if not task.step():
                        break
        for flight in list(world.flights):
            land(world, flight)
        for relay in self._town.relays:
            while relay.broker_step():
                pass
        for place in reversed(range(len(world.orphans))):
            self._town.step_orphan(place)

    def _is_settled(self) -> bool:
        world = self._world
        if world.orphans or world.flights or world.outbox or any(letter == 0 for letter in world.letters.values()):
            return False
        if any(at < len(log) for at, log in zip(world.cursor, world.log, strict=True)):
            return False
        if any(not self._may_wait(run) for run in world.work):
            return False
        return not any(_is_busy(process) for process in self._town.processes() if not process.stopped)

    def _may_wait(self, run: int) -> bool:
        """While somebody is stopped, a run may wait for a person who waits for the stopped one."""
        oldest = self._world.live(self._world.work[run].subject)[0]
        return oldest.state == "u" and any(
            oldest.event in worker.acting.values() for worker in self._town.workers if worker.stopped
        )

    def _left(self) -> str:
        unread = [part for part, log in enumerate(self._world.log) if self._world.cursor[part] < len(log)]
        if unread:
            return f"nobody reads partition {unread[0]} on from {self._world.cursor[unread[0]]}"
        rows = [f"{row.state}{'*' if row.head else ''} run {row.run}" for row in self._world.work.values()]
        return ", ".join(rows) or "something other than a run"

    def _check_end(self) -> None:
        world = self._world
        for log in world.log:
            for event in log:
                if (event, 0) not in world.runs_of:
                    raise Violated("I1", f"event {event} is behind the position and never became a run")
        for subject, runs in world.expected.items():
            if world.on_wire.get(subject, 0) != len(runs):
                raise Violated("I8", f"run {runs[-1]} of subject {subject} is recorded and not on the wire")


def _all_stopped(processes: Sequence[Process]) -> bool:
    return all(process.stopped for process in processes)


def _is_busy(process: Process) -> bool:
    if isinstance(process, Worker):
        return bool(process.outcomes or any(process.lanes) or any(not task.ended for task in process.runs))
    return False
