"""The record: a run's end, its decision and its outbox row, all or none (record_runs)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tradeloop.model.world import NO_KEY_UPDATE, UPDATE, Row, Statements, Transaction, Violated, World


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    run: int
    fence: int
    state: str
    decision: str = ""


def record(tx: Transaction, world: World, owner: int, outcomes: list[Outcome]) -> Statements:
    """Record a group; answers how many were ours."""
    before = {row.run: (row.subject, row.seq, row.head) for row in world.work.values()}
    taken: list[tuple[Row, Outcome]] = []
    for outcome in sorted(outcomes, key=lambda outcome: outcome.run):
        while not tx.lock(("work", outcome.run), UPDATE):
            yield
        row = world.work.get(outcome.run)
        if row is None or (world.rules.record_fence and world.owned(owner, outcome.run, outcome.fence) is None):
            continue
        taken.append((row, outcome))
        tx.writes.append(partial(_end, world, owner, row, outcome, world.next("outbox")))
    if not taken:
        return 0
    yield
    if world.rules.promote_apart:
        before = {row.run: (row.subject, row.seq, row.head) for row in world.work.values()}
    yield from _promote(tx, world, before, [row for row, _ in taken])
    return len(taken)


def _promote(tx: Transaction, world: World, seen: dict[int, tuple[int, int, bool]], gone: list[Row]) -> Statements:
    """Make the next of each subject its head, by what the snapshot shows."""
    ended = {row.run for row in gone}
    for subject in sorted({row.subject for row in gone}):
        rest = [(seq, run, head) for run, (of, seq, head) in seen.items() if of == subject and run not in ended]
        if not rest:
            continue
        _, run, head = min(rest)
        if head:
            continue
        while not tx.lock(("work", run), NO_KEY_UPDATE):
            yield
        tx.writes.append(partial(_make_head, world, run))


def _make_head(world: World, run: int) -> None:
    row = world.work.get(run)
    if row is not None:
        row.head = True
        world.say(f"    run {run} becomes the head of subject {row.subject}")


def _end(world: World, owner: int, row: Row, outcome: Outcome, outbox_id: int) -> None:
    run = row.run
    if run in world.ended:
        raise Violated("I6", f"run {run} was recorded twice")
    if world.owned(owner, run, outcome.fence) is None:
        raise Violated("I5", f"worker {owner} recorded run {run} with fence {outcome.fence} and does not own it")
    del world.work[run]
    world.ended[run] = outcome.state
    _check_order(world, row)
    _check_effect(world, row, outcome)
    world.say(f"    run {run} ends: {outcome.state} {outcome.decision}")
    if outcome.state == "failed":
        world.letters[row.event] = row.generation
    else:
        world.outbox[outbox_id] = (run, row.subject)
        world.expected.setdefault(row.subject, []).append(run)


def _check_order(world: World, row: Row) -> None:
    """I4: the records of a subject come in the order of its numbers, and of the log."""
    order = world.order.setdefault(row.subject, [])
    for event, _ in order[-1:]:
        if world.seqs[world.runs_of[order[-1]]] > row.seq:
            raise Violated("I4", f"event {row.event} was recorded after event {event}, which has a larger number")
    if row.generation == 0 and not world.events[row.event].spread:
        for event, generation in order:
            if generation == 0 and event > row.event and not world.events[event].spread:
                raise Violated("I4", f"event {row.event} was recorded after event {event}, which is later in the log")
    order.append((row.event, row.generation))


def _check_effect(world: World, row: Row, outcome: Outcome) -> None:
    """I10: what was recorded is what was done."""
    done = world.happened.get(row.event, [])
    if outcome.state == "done" and outcome.decision != "no" and outcome.decision not in done:
        raise Violated("I10", f"run {row.run} decided {outcome.decision}, done was {done}")
    if outcome.state == "cancelled" and row.generation == 0 and done:
        raise Violated("I10", f"run {row.run} is recorded as cancelled, its effect {done[0]} happened")
