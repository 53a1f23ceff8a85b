"""Intake of a batch, and the replay of a dead letter: how runs come into being (accept_batch)."""

from __future__ import annotations

from functools import partial

from tradeloop.model.world import (
    KEY_SHARE,
    UPDATE,
    Row,
    Statements,
    Transaction,
    Violated,
    World,
)

Record = tuple[int, int, int]
"""Partition, offset, event."""


def accept(tx: Transaction, world: World, owner: int, version: int, batch: list[Record], slots: int) -> Statements:
    """Take a batch in; answers the claims of `owner`: pairs of run and fence."""
    rules = world.rules
    early = [] if rules.number_after_lock else [world.next("seq") for _ in batch]
    subjects = sorted({world.events[event].subject for _, _, event in batch})
    yield from _lock_subjects(tx, world, subjects)
    if rules.cursor_lock:
        for part in sorted({part for part, _, _ in batch}):
            while not tx.lock(("cursor", part), UPDATE):
                yield
        yield
    yield from _meet_predecessors(tx, world, subjects)
    dropping = rules.cursor_drop and rules.cursor_in_intake
    known = [record for record in batch if not dropping or record[1] >= world.cursor[record[0]]]
    busy = {row.subject for row in world.work.values()}  # the snapshot of the last statement
    new = yield from _insert_keys(tx, world, known)
    claims: list[tuple[int, int]] = []
    for place, event in enumerate(new):
        facts = world.events[event]
        seq = early[place] if early else world.next("seq")
        head = facts.subject not in busy
        busy.add(facts.subject)
        go = head and len(claims) < slots
        run = world.next("run")
        row = Row(run, event, 0, seq, facts.subject, "r" if go else "q", head, version)
        if go:
            row.owner, row.fence = owner, 1
            claims.append((run, 1))
        tx.writes.append(partial(_appear, world, row))
    tx.writes.append(partial(move_cursor, world, batch))
    return claims


def _lock_subjects(tx: Transaction, world: World, subjects: list[int]) -> Statements:
    if world.rules.subject_lock:
        for subject in subjects:
            while not tx.lock(("subject", subject), UPDATE):
                yield


def _meet_predecessors(tx: Transaction, world: World, subjects: list[int]) -> Statements:
    if not world.rules.key_share:
        return
    for subject in subjects:
        while (rows := world.live(subject)) and not tx.lock(("work", rows[-1].run), KEY_SHARE):
            yield
    yield


def _insert_keys(tx: Transaction, world: World, records: list[Record]) -> Statements:
    """The events that are new, in the order of the batch."""
    wanted = [event for _, _, event in records]
    if world.rules.distinct_in_batch:
        wanted = list(dict.fromkeys(wanted))
    fresh = set(wanted)
    if world.rules.unique_event:
        for event in sorted(fresh):
            while not tx.lock(("key", event), UPDATE):
                yield
            if event in world.keys:
                fresh.discard(event)
    return [event for event in wanted if event in fresh]


def _appear(world: World, row: Row) -> None:
    world.work[row.run] = row
    world.keys[row.event] = (row.run, row.generation)
    life = (row.event, row.generation)
    world.event_of[row.run] = life
    world.seqs[row.run] = row.seq
    if life in world.runs_of:
        raise Violated("I2", f"event {row.event} became run {row.run} and was run {world.runs_of[life]} before")
    world.runs_of[life] = row.run
    world.say(f"    run {row.run} = event {row.event} of subject {row.subject}: {row.state}, head {row.head}")


def move_cursor(world: World, batch: list[Record]) -> None:
    """The database's position moves behind the batch, never back."""
    for part, offset, _ in batch:
        world.cursor[part] = max(world.cursor[part], offset + 1)


def move_early(tx: Transaction, world: World, batch: list[Record]) -> Statements:
    """With `cursor_in_intake` off: the position in a transaction of its own, before the inbox."""
    yield
    tx.writes.append(partial(move_cursor, world, batch))
    return None


def replay(tx: Transaction, world: World, event: int, seen: int, version: int) -> Statements:
    """A dead letter comes back as a new run of the next generation; answers whether it did."""
    facts = world.events[event]
    yield from _lock_subjects(tx, world, [facts.subject])
    while not tx.lock(("key", event), UPDATE):
        yield
    generation = world.keys[event][1] if event in world.keys else seen
    if world.rules.replay_generation and (generation != seen or world.letters.get(event) != seen):
        return False
    yield from _meet_predecessors(tx, world, [facts.subject])
    head = not world.live(facts.subject)
    row = Row(world.next("run"), event, seen + 1, world.next("seq"), facts.subject, "q", head, version)
    tx.writes.append(partial(world.letters.pop, event, None))
    tx.writes.append(partial(_appear, world, row))
    return True
