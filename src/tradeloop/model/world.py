"""The small world: a log, the database's tables with row locks, a target that counts, and the wire."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias  # Any: what a statement answers

from tradeloop.model.rules import Rules

KEY_SHARE, SHARE, NO_KEY_UPDATE, UPDATE = range(4)
"""PostgreSQL's row locks by strength (its documentation, 13.3.2)."""
CONFLICTS: Final = (
    (UPDATE,),
    (NO_KEY_UPDATE, UPDATE),
    (SHARE, NO_KEY_UPDATE, UPDATE),
    (KEY_SHARE, SHARE, NO_KEY_UPDATE, UPDATE),
)
KEYED, QUERYABLE, BLIND = "keyed", "queryable", "blind"
NONE, DECIDED, ANSWERED, ACTED = range(4)
"""How far a run's thread is."""

Statements: TypeAlias = Generator[None, None, Any]


class Violated(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant


class Lost:
    """The answer of a call whose connection broke: whether it was committed is not known."""


LOST: Final = Lost()


@dataclass(slots=True)
class Event:
    """What is drawn for an event: who is asked, what kind of target acts, how its graph is cut into nodes."""

    number: int
    subject: int
    target: str
    asks: bool
    one_node: bool
    bad: bool
    spread: bool = False
    """Copies of it, or of its subject's events, lie in several partitions: the log says nothing of their order."""


@dataclass(slots=True)
class Row:
    """A row of `work`."""

    run: int
    event: int
    generation: int
    seq: int
    subject: int
    state: str
    head: bool
    version: int
    owner: int = 0
    fence: int = 0
    fails: int = 0
    takeovers: int = 0
    cancel: bool = False
    resume: bool | None = None


@dataclass(slots=True)
class Effect:
    """A row of `effects`."""

    key: tuple[int, str]
    run: int
    state: str = "prepared"
    caller: tuple[int, int] = (0, 0)
    """Run and fence of who executes."""


@dataclass(slots=True)
class Approval:
    """A row of `approvals`."""

    digest: str
    state: str = "pending"


@dataclass(frozen=True, slots=True)
class Point:
    """A checkpoint."""

    phase: int
    decision: str
    answer: bool | None = None


@dataclass(slots=True)
class Member:
    """A row of `workers`."""

    version: int
    dead: bool = False
    expired: bool = False


class Transaction:
    """Statements and their commit, apart: between any two of them others may go on."""

    __slots__ = ("answer", "code", "done", "held", "name", "ready", "world", "writes")

    def __init__(self, world: World, statements: Callable[..., Statements], *arguments: Any) -> None:
        self.world = world
        self.name = statements.__name__
        self.held: list[Any] = []
        self.writes: list[Callable[[], object]] = []
        self.answer: Any = None
        self.ready = self.done = False
        self.code = statements(self, world, *arguments)

    def lock(self, key: Any, strength: int) -> bool:
        """Take the lock unless another transaction holds one that conflicts."""
        holders = self.world.locks.setdefault(key, [])
        conflicting = CONFLICTS[strength]
        for holder, held in holders:
            if holder is not self and held in conflicting:
                return False
        holders.append((self, strength))
        self.held.append(key)
        return True

    def step(self) -> None:
        """Go on to the next statement, or commit."""
        if self.ready:
            self.commit()
            return
        try:
            next(self.code)
        except StopIteration as end:
            self.answer, self.ready = end.value, True

    def commit(self) -> None:
        """Make the writes visible and let the locks go."""
        for write in self.writes:
            write()
        self._release()
        self.world.check_work()

    def lose(self, *, commit: bool) -> None:
        """The server restarts: committed or not, nobody hears of it."""
        if commit and self.ready:
            self.commit()
        else:
            self._release()
        self.answer = LOST

    def _release(self) -> None:
        for key in self.held:
            holders = self.world.locks.get(key)
            if holders:
                self.world.locks[key] = [pair for pair in holders if pair[0] is not self]
        self.done = True


@dataclass(slots=True, eq=False)
class Flight:
    """A call on its way to the target; it lands whatever becomes of its caller."""

    event: int
    digest: str
    run: int
    landed: bool = False


@dataclass(slots=True, eq=False)
class World:
    """All that is shared."""

    rules: Rules
    events: list[Event] = field(default_factory=list)
    log: list[list[int]] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    """How much of each partition's log producers have written by now."""
    offsets: list[int] = field(default_factory=list)
    """Kafka's own idea of the group's position."""
    locks: dict[Any, list[tuple[Transaction, int]]] = field(default_factory=dict)
    cursor: list[int] = field(default_factory=list)
    keys: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Event: run and generation."""
    work: dict[int, Row] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    threads: dict[int, list[Point]] = field(default_factory=dict)
    effects: dict[tuple[int, str], Effect] = field(default_factory=dict)
    approvals: dict[int, Approval] = field(default_factory=dict)
    outbox: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Id: run and subject."""
    lanes: list[list[int]] = field(default_factory=lambda: [[0, 1], [0, 1]])
    """Owner, and whether its lease ended."""
    letters: dict[int, int] = field(default_factory=dict)
    """Open dead letters: event and its generation."""
    flights: list[Flight] = field(default_factory=list)
    happened: dict[int, list[str]] = field(default_factory=dict)
    """What the target did for an event."""
    orphans: list[Transaction] = field(default_factory=list)
    """Transactions of processes that are gone."""
    taken_rows: set[int] = field(default_factory=set)
    counters: dict[str, int] = field(default_factory=dict)
    entropy: int = 0
    faulty: bool = True
    """Whether errors that can pass still happen."""
    trace: list[str] | None = None
    # What only the invariants know.
    runs_of: dict[tuple[int, int], int] = field(default_factory=dict)
    event_of: dict[int, tuple[int, int]] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    order: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Per subject: event and generation in the order of the records."""
    seqs: dict[int, int] = field(default_factory=dict)
    expected: dict[int, list[int]] = field(default_factory=dict)
    on_wire: dict[int, int] = field(default_factory=dict)

    def draw(self, choices: int) -> int:
        """A number below `choices`, from this step's own entropy."""
        self.entropy, drawn = divmod(self.entropy, choices)
        return drawn

    def next(self, counter: str) -> int:
        """The next number of a sequence."""
        number = self.counters[counter] = self.counters.get(counter, 0) + 1
        return number

    def say(self, text: str) -> None:
        """Add a line to the trace."""
        if self.trace is not None:
            self.trace.append(text)

    def live(self, subject: int) -> list[Row]:
        """The rows of a subject, in order."""
        rows = [row for row in self.work.values() if row.subject == subject]
        if len(rows) > 1:
            rows.sort(key=lambda row: row.seq)
        return rows

    def owned(self, owner: int, run: int, fence: int) -> Row | None:
        """The run's row if it is this owner's to write."""
        row = self.work.get(run)
        if row is None or row.owner != owner or row.fence != fence or row.state != "r":
            return None
        return row

    def newest(self, run: int) -> Point:
        """The newest checkpoint of a run."""
        points = self.threads.get(run)
        return points[-1] if points else Point(NONE, "")

    def check_work(self) -> None:
        """I3: only the smallest of a subject runs."""
        least: dict[int, int] = {}
        for row in self.work.values():
            seq = least.get(row.subject)
            if seq is None or row.seq < seq:
                least[row.subject] = row.seq
        for row in self.work.values():
            if row.state == "r" and row.seq != least[row.subject]:
                raise Violated("I3", f"run {row.run} of subject {row.subject} runs and is not the oldest live one")
