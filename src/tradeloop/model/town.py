"""All processes of a schedule: two workers, two relays, people, around one world."""

from __future__ import annotations

from random import Random
from typing import Final

from tradeloop.model.ledger import land
from tradeloop.model.people import People
from tradeloop.model.process import Process
from tradeloop.model.relay import Relay
from tradeloop.model.rules import Rules
from tradeloop.model.worker import Worker
from tradeloop.model.world import BLIND, KEYED, QUERYABLE, Event, World

PARTITIONS: Final = 2


class Town:
    """The world and who lives in it."""

    def __init__(self, rules: Rules, random: Random) -> None:
        self.world = World(rules)
        _write_log(self.world, random)
        self.workers = [Worker(self.world, 1), Worker(self.world, 1)]
        self.relays = [Relay(self.world), Relay(self.world)]
        self.people = People(self.world, self.workers)
        for part, worker in enumerate(self.workers):
            worker.assign([part])

    def processes(self) -> list[Process]:
        """Who has tasks."""
        return [*self.workers, *self.relays, self.people]

    def replace(self, worker: Worker, version: int) -> None:
        """Kill a worker and start another in its place."""
        worker.die()
        self.workers[self.workers.index(worker)] = Worker(self.world, version)

    def replace_relay(self, relay: Relay) -> None:
        """Kill a relay and start another in its place."""
        relay.die()
        self.world.taken_rows.clear()
        self.relays[self.relays.index(relay)] = Relay(self.world)

    def rebalance(self, deaf: int = 2) -> None:
        """Partitions go to others; the member `deaf`, if there is one, does not hear of it."""
        shift = self.world.draw(2)
        for place, worker in enumerate(self.workers):
            if place != deaf and not worker.stopped:
                parts = [part for part in range(PARTITIONS) if (part + shift) % 2 == place]
                worker.assign(parts)
                self.world.say(f"{worker.name} has partitions {parts}")

    def step(self) -> None:
        """One action of one process, the server, the network or the broker."""
        world = self.world
        place = world.draw(9)
        if place >= 7:
            self._step_elsewhere(place)
            return
        process: Process = (*self.workers, *self.workers, *self.relays, self.people)[place]
        at = world.draw(16)
        for turn in range(len(process.tasks)):  # whoever has something to do, from a task drawn on
            task = process.tasks[(at + turn) % len(process.tasks)]
            if task.step():
                if world.trace is not None:
                    name = f" {task.transaction.name}" if task.transaction else ""
                    world.say(f"{process.name}: {task.name}{name}")
                return

    def _step_elsewhere(self, place: int) -> None:
        world = self.world
        if place == 7 and world.orphans:
            self.step_orphan(world.draw(len(world.orphans)))
        elif world.flights and world.draw(3) == 1:
            land(world, world.flights[world.draw(len(world.flights))])
        elif world.draw(2):
            self.relays[world.draw(len(self.relays))].broker_step()
        else:
            part = world.draw(PARTITIONS)
            world.written[part] = min(world.written[part] + 1 + world.draw(2), len(world.log[part]))

    def step_orphan(self, place: int) -> None:
        """The server goes on with a transaction whose client is gone."""
        transaction = self.world.orphans[place]
        transaction.step()
        if transaction.done:
            self.world.orphans.pop(place)


def _write_log(world: World, random: Random) -> None:
    """Six events or so of one to three subjects, some twice, a few in the wrong partition."""
    subjects, count = random.randint(1, 3), random.randint(3, 6)
    calm = random.random() < 0.5
    world.log = [[] for _ in range(PARTITIONS)]
    world.offsets, world.cursor = [0] * PARTITIONS, [0] * PARTITIONS
    world.written = [random.randint(0, 2) for _ in range(PARTITIONS)]
    strays: set[int] = set()
    for number in range(count):
        subject = random.randrange(subjects)
        kind = random.choice((KEYED, QUERYABLE, BLIND))
        drawn = random.random()
        world.events.append(
            Event(number, subject, kind, asks=drawn < 0.25, one_node=0.15 < drawn < 0.4, bad=drawn > 0.95)
        )
        home = subject % PARTITIONS
        stray = not calm and random.random() < 0.15
        if stray:
            strays.add(subject)
        world.log[1 - home if stray else home].append(number)
        if random.random() < 0.25:
            again = random.randrange(number + 1)
            other = not calm and random.random() < 0.2
            place = world.events[again].subject % PARTITIONS
            world.log[1 - place if other else place].append(again)
            if other:
                strays.add(world.events[again].subject)
    for event in world.events:
        event.spread = event.subject in strays
    world.written = [min(end, len(log)) for end, log in zip(world.written, world.log, strict=True)]
    if random.random() < 0.3:
        _fill_outbox(world, random)
    if random.random() < 0.3:
        _fill_past(world)


def _fill_past(world: World) -> None:
    """First records whose runs ended so long ago that their keys are forgotten."""
    for part, log in enumerate(world.log):
        if log and sum(one.count(log[0]) for one in world.log) == 1:
            event, run = world.events[log[0]], world.next("run")
            life = (event.number, 0)
            world.runs_of[life], world.event_of[run], world.ended[run] = run, life, "done"
            world.seqs[run] = world.next("seq")
            world.order.setdefault(event.subject, []).append(life)
            world.cursor[part] = world.offsets[part] = 1
            world.written[part] = max(world.written[part], 1)


def _fill_outbox(world: World, random: Random) -> None:
    """Decisions from before, so that the relays have work from the beginning."""
    for _ in range(random.randint(2, 5)):
        run, subject = world.next("run"), random.randrange(2)
        world.outbox[world.next("outbox")] = (run, subject)
        world.expected.setdefault(subject, []).append(run)
