"""The group-commit saver: lanes of puts, each batch one transaction, acknowledged after its commit."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any  # Any: answers of a transaction

from tradeloop.model.ledger import fence
from tradeloop.model.world import LOST, Point, Row, Statements, Transaction, Violated, World


@dataclass(slots=True, eq=False)
class Put:
    """A checkpoint on its way: waiting, stored, stale or bad."""

    owner: int
    run: int
    fence: int
    point: Point
    bad: bool
    state: str = "waiting"
    cancelled: bool = False


def store(tx: Transaction, world: World, batch: list[Put]) -> Statements:
    """Write what is still its owner's; answers those, or None when the database refused the batch for a bad row."""
    kept = []
    for put in sorted(batch, key=lambda put: put.run):
        if world.rules.put_fence:
            row: Row | None = yield from fence(tx, world, put.owner, put.run, put.fence)
            if row is None:
                continue
        kept.append(put)
    if any(put.bad for put in kept):
        return None
    yield
    for put in kept:
        tx.writes.append(partial(_store, world, put))
    return kept


def _store(world: World, put: Put) -> None:
    thread = world.threads.setdefault(put.run, [])
    if put.point in thread:
        return  # sent again: the row is keyed
    row = world.work.get(put.run)
    if row is None or row.fence != put.fence or row.owner != put.owner:
        raise Violated("I5", f"worker {put.owner} wrote run {put.run} with fence {put.fence} and does not own it")
    thread.append(put.point)
    world.say(f"    thread of run {put.run}: {put.point}")


def lane(world: World, queue: list[Put]) -> Generator[Transaction | None, Any, None]:
    """Write what queued while the last batch committed."""
    while True:
        if not queue:
            yield None
            continue
        batch = queue[:]
        del queue[:]
        yield from _write(world, batch)
        if any(put.cancelled for put in batch) and not world.rules.gone_waiters:
            world.say("    a lane of the saver dies of a cancelled waiter")
            return


def _write(world: World, batch: list[Put]) -> Generator[Transaction | None, Any, None]:
    if not world.rules.ack_after_commit:
        _acknowledge(world, batch, batch)
    kept = yield Transaction(world, store, batch)
    while kept is LOST and world.rules.resend_unknown:
        kept = yield Transaction(world, store, batch)
    if kept is LOST:
        kept = batch
    if kept is not None:
        _acknowledge(world, batch, kept)
    elif len(batch) > 1 and world.rules.cut_batches:
        middle = len(batch) // 2
        yield from _write(world, batch[:middle])
        yield from _write(world, batch[middle:])
    else:
        for put in batch:
            put.state = "bad"


def _acknowledge(world: World, batch: list[Put], kept: list[Put]) -> None:
    for put in batch:
        put.state = "stored" if put in kept else "stale"
        if put.state == "stored" and put.point not in world.threads.get(put.run, ()):
            raise Violated("I5", f"run {put.run} was told that {put.point} is stored, and it is not")
