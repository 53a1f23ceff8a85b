"""The ledger of effects and the target that counts them."""

from __future__ import annotations

from functools import partial

from tradeloop.model.world import (
    KEY_SHARE,
    KEYED,
    NO_KEY_UPDATE,
    SHARE,
    Effect,
    Flight,
    Row,
    Statements,
    Transaction,
    Violated,
    World,
)

Key = tuple[int, str]
"""Event and action: the same in every life of the event."""


def fence(tx: Transaction, world: World, owner: int, run: int, number: int) -> Statements:
    """The run's row if it is ours, locked until our commit against every change of its owner."""
    while not tx.lock(("work", run), SHARE if world.rules.share_lock else KEY_SHARE):
        yield
    return world.owned(owner, run, number)


def prepare(tx: Transaction, world: World, owner: int, run: int, number: int, decision: str) -> Statements:
    """Write the action down, or find the one that took its place; answers its key and state, None when lost."""
    row: Row | None = yield from fence(tx, world, owner, run, number)
    if row is None:
        return None
    while not tx.lock(("effects", row.event), NO_KEY_UPDATE):
        yield
    found = world.effects.get((row.event, decision))
    for effect in world.effects.values():
        if found is None and effect.key[0] == row.event:
            mine = effect.run == run
            if world.rules.slot_latch if mine else world.rules.event_latch:
                found = effect
    if found is None:
        found = Effect((row.event, decision), run)
        tx.writes.append(partial(world.effects.setdefault, found.key, found))
    return found.key, found.state


def start(tx: Transaction, world: World, owner: int, run: int, number: int, key: Key, force: bool) -> Statements:
    """Go for the call: answers go, stale, lost, or the state that settles it."""
    if world.rules.start_fence:
        row: Row | None = yield from fence(tx, world, owner, run, number)
        if row is None:
            return "lost"
    while not tx.lock(("effects", key[0]), NO_KEY_UPDATE):
        yield
    effect, caller = world.effects[key], (run, number)
    if effect.state not in ("prepared", "executing"):
        return effect.state
    stale = effect.state == "executing" and effect.caller != caller
    if stale and not force and world.events[key[0]].target != KEYED:
        return "stale"
    tx.writes.append(partial(_start, world, owner, effect, caller))
    return "go"


def _start(world: World, owner: int, effect: Effect, caller: tuple[int, int]) -> None:
    if world.owned(owner, *caller) is None:
        raise Violated("I5", f"worker {owner} started the effect of run {caller[0]} and does not own it")
    effect.state, effect.caller = "executing", caller
    world.say(f"    effect {effect.key} is executing, for run {caller[0]} with fence {caller[1]}")


def finish(tx: Transaction, world: World, key: Key) -> Statements:
    """The caller's truth, whoever owns the run by now; a run that waits for this very truth goes on."""
    effect = world.effects[key]
    run = effect.caller[0]
    while not tx.lock(("work", run), NO_KEY_UPDATE):
        yield
    while not tx.lock(("effects", key[0]), NO_KEY_UPDATE):
        yield
    if effect.state not in ("executing", "outcome_unknown"):
        return effect.state
    row = world.work.get(run)
    if row is not None and row.state == "u" and world.rules.late_truth_wakes:
        tx.writes.append(partial(setattr, row, "state", "q"))
    tx.writes.append(partial(setattr, effect, "state", "executed"))
    return "executed"


def give_up(tx: Transaction, world: World, owner: int, run: int, number: int, key: Key) -> Statements:
    """Nobody can tell what happened: a person is asked; answers whether, or the state that settles it."""
    while not tx.lock(("work", run), NO_KEY_UPDATE):
        yield
    row = world.owned(owner, run, number)
    if row is None:
        return "lost"
    while not tx.lock(("effects", key[0]), NO_KEY_UPDATE):
        yield
    effect = world.effects[key]
    if effect.state not in ("executing", "outcome_unknown"):
        return effect.state
    tx.writes.append(partial(_give_up, world, effect, row))
    return "asked"


def _give_up(world: World, effect: Effect, row: Row) -> None:
    effect.state, effect.caller = "outcome_unknown", (row.run, row.fence)
    row.state, row.owner = "u", 0
    world.say(f"    effect {effect.key} is outcome_unknown, run {row.run} waits for a person")


def resolve(tx: Transaction, world: World, run: int, key: Key, happened: bool) -> Statements:
    """A person says what happened."""
    while not tx.lock(("work", run), NO_KEY_UPDATE):
        yield
    while not tx.lock(("effects", key[0]), NO_KEY_UPDATE):
        yield
    effect, row = world.effects[key], world.work.get(run)
    if effect.state != "outcome_unknown" or row is None or row.state != "u":
        return False
    tx.writes.append(partial(setattr, effect, "state", "executed" if happened else "prepared"))
    tx.writes.append(partial(setattr, row, "state", "q"))
    return True


def land(world: World, flight: Flight) -> None:
    """The call arrives at the target, which drops what it knows if it honours keys."""
    flight.landed = True
    world.flights.remove(flight)
    done = world.happened.setdefault(flight.event, [])
    event = world.events[flight.event]
    if event.target == KEYED and flight.digest in done:
        world.say(f"    the target knows {flight.event}/{flight.digest}")
        return
    done.append(flight.digest)
    world.say(f"    the target does {flight.event}/{flight.digest}")
    if len(done) > 1:
        raise Violated("I9", f"event {flight.event} had effects {done}")
    if event.asks:
        approval = world.approvals.get(flight.run)
        if approval is None or (approval.state, approval.digest) != ("yes", flight.digest):
            raise Violated("approval", f"event {flight.event} had effect {flight.digest}, approved was {approval}")
