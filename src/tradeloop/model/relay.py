"""Relays with lanes of their own, and the broker between them and the wire."""

from __future__ import annotations

from functools import partial

from tradeloop.model.process import PAUSE, Code, Process
from tradeloop.model.world import NO_KEY_UPDATE, Statements, Transaction, Violated, World

OutboxRow = tuple[int, int, int]
"""Id, run and subject."""


def hold(tx: Transaction, world: World, owner: int) -> Statements:
    """Take or renew the lanes that are free or ours; answers all that we hold."""
    held = []
    for number, (holder, ended) in enumerate(world.lanes):
        if (holder in (0, owner) or ended) and tx.lock(("lane", number), NO_KEY_UPDATE):
            held.append(number)
            tx.writes.append(partial(world.lanes.__setitem__, number, [owner, 0]))
    yield
    return held


def forget(tx: Transaction, world: World, ids: list[int]) -> Statements:
    """Delete published rows."""
    yield
    for number in ids:
        tx.writes.append(partial(world.outbox.pop, number, None))


def append(world: World, row: OutboxRow) -> None:
    """The broker has the message; I8: first occurrences come in the order of the records."""
    _, run, subject = row
    order, at = world.expected[subject], world.on_wire.get(subject, 0)
    place = order.index(run)
    if place > at:
        raise Violated("I8", f"run {run} of subject {subject} is on the wire before run {order[at]}")
    world.on_wire[subject] = max(at, place + 1)
    world.say(f"    run {run} of subject {subject} is on the wire")


class Relay(Process):
    """Reads its lanes, sends, waits for the reports, deletes."""

    def __init__(self, world: World) -> None:
        self.identity = world.next("relay")
        super().__init__(world, f"relay {self.identity}")
        self.lanes: list[int] = []
        self.unacknowledged: list[OutboxRow] = []
        self.reported: set[int] = set()
        self.failed = False
        self.spawn("lanes", self._hold())
        self.spawn("publish", self._publish())

    def has_work(self) -> bool:
        """While there is something to publish."""
        return bool(self.world.outbox) or any(task.transaction for task in self.tasks)

    def broker_step(self) -> bool:
        """The broker takes the oldest message and reports."""
        if not self.unacknowledged:
            return False
        row = self.unacknowledged.pop(0)
        append(self.world, row)
        self.reported.add(row[0])
        return True

    def lose(self) -> None:
        """The broker dies: what was not acknowledged is lost, and reported so."""
        if self.unacknowledged:
            self.failed = True
            if self.world.rules.stop_at_failure:
                self.unacknowledged.clear()
            else:
                del self.unacknowledged[0]

    def _hold(self) -> Code:
        while True:
            yield None
            if any(holder == 0 or ended for holder, ended in self.world.lanes) or self.world.draw(4) == 1:
                self.lanes = yield from self.call(hold, self.identity)

    def _read(self) -> list[OutboxRow]:
        world = self.world
        if world.rules.lane_owner:
            mine = [number for number in sorted(world.outbox) if world.outbox[number][1] % 2 in self.lanes]
        else:
            mine = [number for number in sorted(world.outbox) if number not in world.taken_rows]
        if not world.rules.id_order:
            mine.reverse()
        mine = mine[:3]
        if not world.rules.lane_owner:
            world.taken_rows.update(mine)
        return [(number, *world.outbox[number]) for number in mine]

    def _publish(self) -> Code:
        while True:
            rows = self._read() if self.world.outbox else []
            if not rows:
                yield None
                continue
            yield PAUSE
            self.reported, self.failed = set(), False
            for row in rows:
                self.unacknowledged.append(row)
                if not self.world.rules.delete_reported:
                    yield from self.call(forget, [row[0]])
                yield PAUSE
                if self.failed:
                    break
            while self.unacknowledged:
                yield None
            acknowledged = [row[0] for row in rows if row[0] in self.reported]
            yield from self.call(forget, acknowledged)
            self.world.taken_rows.difference_update(row[0] for row in rows)
