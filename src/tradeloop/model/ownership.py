"""Who runs what: claim, takeover, retry, park, answer, cancel, move (claim_runs, take_over, retry_run)."""

from __future__ import annotations

from functools import partial

from tradeloop.model.world import (
    NO_KEY_UPDATE,
    UPDATE,
    Approval,
    Member,
    Row,
    Statements,
    Transaction,
    Violated,
    World,
)

MAX_FAILS = 2
MAX_TAKEOVERS = 5


def claim(tx: Transaction, world: World, owner: int, version: int, limit: int) -> Statements:
    """Own up to `limit` heads; answers pairs of run and fence."""
    rules = world.rules
    taken: list[Row] = []
    for row in sorted(world.work.values(), key=lambda row: row.seq):
        if len(taken) == limit:
            break
        if row.state != "q" or not row.head or (rules.own_version and row.version != version):
            continue
        if rules.not_exists and world.live(row.subject)[0] is not row:
            continue
        if not rules.claim_locks or tx.lock(("work", row.run), UPDATE if rules.take_locks else NO_KEY_UPDATE):
            taken.append(row)
    yield
    for row in taken:
        tx.writes.append(partial(_start, world, row, owner))
    return [(row.run, _next_fence(world, row)) for row in taken]


def _next_fence(world: World, row: Row) -> int:
    return row.fence + 1 if world.rules.fence_up else max(row.fence, 1)


def _start(world: World, row: Row, owner: int) -> None:
    if row.run not in world.work:
        raise Violated("I6", f"run {row.run} was claimed and had ended")
    if row.state == "r":
        raise Violated("I5", f"run {row.run} was claimed and had an owner")
    row.state, row.owner, row.fence = "r", owner, _next_fence(world, row)
    world.say(f"    run {row.run} belongs to worker {owner}, fence {row.fence}")


def owned(world: World, owner: int) -> list[tuple[int, int]]:
    """Every run that `owner` owns, with its fence."""
    return [(row.run, row.fence) for row in world.work.values() if row.owner == owner and row.state == "r"]


def needs_a_round(world: World) -> bool:
    """Whether a takeover would find anything: spares the model idle rounds."""
    versions = {member.version for member in world.members.values() if not member.dead}
    if any(member.expired and not member.dead for member in world.members.values()):
        return True
    return any(_change(world, row, set(), versions) for row in world.work.values())


def take_over(tx: Transaction, world: World) -> Statements:
    """Bury, requeue what nobody owns, wake what is due, stop and wake by versions."""
    buried = set()
    for identity, member in world.members.items():
        if member.expired and not member.dead and tx.lock(("member", identity), NO_KEY_UPDATE):
            buried.add(identity)
            tx.writes.append(partial(_bury, world, identity, member))
    if buried:
        yield
    versions = {m.version for i, m in world.members.items() if not m.dead and i not in buried}
    strength = UPDATE if world.rules.take_locks else NO_KEY_UPDATE
    for row in list(world.work.values()):
        change = _change(world, row, buried, versions)
        if change and tx.lock(("work", row.run), strength):
            tx.writes.append(partial(change, world, row))
    return None


def _change(world: World, row: Row, buried: set[int], versions: set[int]) -> _Change | None:
    if row.state == "r":
        gone = world.members[row.owner].dead or row.owner in buried
        found = gone if world.rules.anti_join else row.owner in buried
        return _requeue if found else None
    if row.state == "w":
        return _wake
    if row.state == "q" and row.head and row.version not in versions:
        return _stop_version
    if row.state == "v" and row.version in versions:
        return _wake
    return None


class _Change:
    """A named change of a row."""

    def __init__(self, text: str, state: str, *, orphan: bool = False) -> None:
        self._text, self._state, self._orphan = text, state, orphan

    def __call__(self, world: World, row: Row) -> None:
        row.state, row.owner = self._state, 0
        row.takeovers += self._orphan
        world.say(f"    run {row.run} {self._text}")


_requeue = _Change("is taken from its dead owner", "q", orphan=True)
_wake = _Change("is queued again", "q")
_stop_version = _Change("waits for its version", "v")


def _bury(world: World, identity: int, member: Member) -> None:
    member.dead = True
    world.say(f"    worker {identity} is buried")


def renew(tx: Transaction, world: World, owner: int) -> Statements:
    """Heartbeat; answers whether the worker lives in the database's eyes."""
    while not tx.lock(("member", owner), NO_KEY_UPDATE):
        yield
    member = world.members[owner]
    if member.dead:
        return False
    tx.writes.append(partial(setattr, member, "expired", False))
    return True


def rest(tx: Transaction, world: World, owner: int, run: int, fence: int) -> Statements:
    """A retriable error: the run rests; answers whether it was ours."""
    while not tx.lock(("work", run), NO_KEY_UPDATE):
        yield
    row = world.owned(owner, run, fence)
    if row is None:
        return False
    tx.writes.append(partial(_rest, world, row))
    return True


def _rest(world: World, row: Row) -> None:
    row.state, row.owner = "w", 0
    row.fails += 1
    world.say(f"    run {row.run} rests")


def park(tx: Transaction, world: World, owner: int, run: int, fence: int, digest: str) -> Statements:
    """The run waits for a person; its approval row comes with it."""
    while not tx.lock(("work", run), NO_KEY_UPDATE):
        yield
    row = world.owned(owner, run, fence)
    if row is None:
        return False
    tx.writes.append(partial(world.approvals.setdefault, run, Approval(digest)))
    tx.writes.append(partial(_Change("waits for a person", "p"), world, row))
    return True


def answer(tx: Transaction, world: World, run: int, yes: bool) -> Statements:
    """A person, or the deadline, answers; approvals first, then work."""
    while not tx.lock(("approval", run), NO_KEY_UPDATE):
        yield
    approval = world.approvals[run]
    if world.rules.answer_once and approval.state != "pending":
        return False
    yield
    while not tx.lock(("work", run), NO_KEY_UPDATE):
        yield
    tx.writes.append(partial(_answer, world, run, approval, yes))
    return True


def _answer(world: World, run: int, approval: Approval, yes: bool) -> None:
    if approval.state not in ("pending", "yes" if yes else "no"):
        raise Violated("approval", f"run {run} was answered {approval.state} and then the opposite")
    approval.state = "yes" if yes else "no"
    row = world.work.get(run)
    if row is not None:
        row.resume = yes
        if row.state == "p":
            row.state = "q"
    world.say(f"    run {run} is answered: {approval.state}")


def cancel(tx: Transaction, world: World, run: int) -> Statements:
    """Ask for a run's end: only the head's owner removes it (cancel_at_head off: a queued one is removed here)."""
    removes = not world.rules.cancel_at_head
    while not tx.lock(("work", run), UPDATE if removes else NO_KEY_UPDATE):
        yield
    row = world.work.get(run)
    if row is None or any(e.run == run and e.state != "prepared" for e in world.effects.values()):
        return False
    yield
    if removes and row.state == "q" and not row.head:
        tx.writes.append(partial(_remove, world, row))
    else:
        tx.writes.append(partial(setattr, row, "cancel", True))
    return True


def _remove(world: World, row: Row) -> None:
    world.work.pop(row.run, None)
    world.ended[row.run] = "cancelled"
    world.say(f"    run {row.run} is removed by its cancel")


def move(tx: Transaction, world: World, run: int, version: int) -> Statements:
    """An operator moves a run to another version, with a thread that this version reads."""
    while not tx.lock(("work", run), NO_KEY_UPDATE):
        yield
    row = world.work.get(run)
    if row is None or row.state != "v":
        return False
    tx.writes.append(partial(setattr, row, "version", version))
    tx.writes.append(partial(_wake, world, row))
    return True
