"""One run of a graph: load, decide, checkpoint, ask, act, checkpoint, record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradeloop.model.ledger import Key, finish, give_up, prepare, start
from tradeloop.model.ownership import MAX_FAILS, MAX_TAKEOVERS, park, rest
from tradeloop.model.process import PAUSE, Calling, Code
from tradeloop.model.record import Outcome
from tradeloop.model.saver import Put
from tradeloop.model.world import ACTED, ANSWERED, DECIDED, QUERYABLE, Flight, Point, Row, Violated

if TYPE_CHECKING:
    from tradeloop.model.worker import Worker


class GraphRun:
    """A run in the hands of a worker."""

    def __init__(self, worker: Worker, run: int, fence: int) -> None:
        self.worker = worker
        self.world = worker.world
        self.owner = worker.identity
        self.run = run
        self.fence = fence
        self.event, self.generation = self.world.event_of[run]
        self.facts = self.world.events[self.event]
        self.put: Put | None = None

    def code(self) -> Code:
        """The whole run, from where its thread stands."""
        yield PAUSE
        row = self.world.work.get(self.run)
        if row is None or row.fence != self.fence:
            self._let_go()  # lost before it began
            return
        if not self._may_begin(row):
            return  # held until its end is recorded, or a lost answer would start it again
        state, decision = yield from self._decide_and_act(row)
        if state == "rest":
            yield from self.worker.call(rest, self.owner, self.run, self.fence)
        elif state != "lost":
            self.worker.outcomes.append(Outcome(self.run, self.fence, state, decision))
            return
        self._let_go()

    def _may_begin(self, row: Row) -> bool:
        world = self.world
        if row.version != self.worker.version:
            raise Violated("version", f"run {self.run} of version {row.version} runs on version {self.worker.version}")
        started = any(e.key[0] == self.event and e.state != "prepared" for e in world.effects.values())
        state = ""
        if row.takeovers >= MAX_TAKEOVERS or row.fails > MAX_FAILS:
            state = "failed"
        elif row.cancel and not (started and world.rules.cancel_before_effect):
            state = "cancelled"
        if state:
            self.worker.outcomes.append(Outcome(self.run, self.fence, state))
        return not state

    def _decide_and_act(self, row: Row) -> Calling:
        point = self.world.newest(self.run)
        if point.phase == ACTED:
            return "done", point.decision
        decision = point.decision
        if self.facts.one_node or point.phase < DECIDED:
            stopped, decision = yield from self._decide()
            if stopped:
                return stopped, ""
        if self.facts.asks:
            stopped, answer = yield from self._hear(row, point, decision)
            if stopped:
                return stopped, answer
        ended = yield from self._act(decision)
        if self.world.faulty and self.world.draw(12) == 1 and ended[0] == "done":
            return "failed", ""  # a node behind the act raises
        return ended

    def _decide(self) -> Calling:
        """Why the run stops, if it does, and the decision."""
        decision = "AB"[self.world.draw(2)]
        yield PAUSE
        if self.world.faulty and self.world.draw(16) == 1:
            return "rest", ""
        if not self.facts.one_node:
            stored = yield from self._store(Point(DECIDED, decision))
            if stored != "stored":
                return ("failed" if stored == "bad" else "lost"), ""
        return "", decision

    def _hear(self, row: Row, point: Point, decision: str) -> Calling:
        """Why the run stops, if it does: it is parked, lost, or ended by a no."""
        answer = point.answer if point.answer is not None else row.resume
        if answer is None:
            yield from self.worker.call(park, self.owner, self.run, self.fence, decision)
            return "lost", ""
        if not self.facts.one_node and point.phase < ANSWERED:
            stored = yield from self._store(Point(ANSWERED, decision, answer))
            if stored != "stored":
                return "lost", ""
        return ("", "") if answer else ("done", "no")

    def _act(self, decision: str) -> Calling:
        prepared = yield from self.worker.call(prepare, self.owner, self.run, self.fence, decision)
        if prepared is None:
            return "lost", ""
        key, state = prepared
        if self.facts.asks and self.world.rules.approved_digest and state != "executed":
            approval = self.world.approvals.get(self.run)
            if approval is None or approval.digest != key[1]:
                return "failed", ""  # diverged from what was approved
        settled = yield from self._settle(key, state)
        if settled != "executed":
            return settled, ""
        if self.world.rules.adopt_latched:
            decision = key[1]
        stored = yield from self._store(Point(ACTED, decision))
        return ("done" if stored == "stored" else "lost"), decision

    def _settle(self, key: Key, state: str) -> Calling:
        """Until the effect is executed: answers executed, lost or rest."""
        force = False
        while state != "executed":
            if state in ("outcome_unknown", "give up"):
                state = yield from self.worker.call(give_up, self.owner, self.run, self.fence, key)
                if state in ("asked", "lost"):
                    return "lost"
                continue
            self.worker.acting[self] = self.event
            state = yield from self.worker.call(start, self.owner, self.run, self.fence, key, force)
            if state == "go":
                state = yield from self._fly(key)
                if state == "rest":
                    return "rest"
                continue
            self.worker.acting.pop(self, None)
            if state == "lost":
                return "lost"
            if state == "stale":
                state, force = yield from self._ask(key)
        return state

    def _fly(self, key: Key) -> Calling:
        yield PAUSE
        flight = Flight(self.event, key[1], self.run)
        self.world.flights.append(flight)
        self.worker.acting.pop(self, None)
        self.world.say(f"    {self.worker.name} calls the target for {key}")
        while not flight.landed:
            yield None
            if self.world.faulty and self.world.draw(16) == 1:
                return "rest"  # the time is up; the call may land yet
        return (yield from self.worker.call(finish, key))

    def _ask(self, key: Key) -> Calling:
        """What a stale call did, where the target can tell: the next state, and whether to call again."""
        yield PAUSE
        rules = self.world.rules
        if self.facts.target == QUERYABLE:
            if key[1] in self.world.happened.get(self.event, ()):
                return (yield from self.worker.call(finish, key)), False
            return ("give up", False) if rules.absent_unknown else ("again", True)
        return ("give up", False) if rules.blind_unknown else ("again", True)

    def _store(self, point: Point) -> Calling:
        """Hand a checkpoint to the saver; answers stored, stale or bad."""
        bad = self.facts.bad and self.generation == 0 and point.phase == DECIDED
        put = self.put = Put(self.owner, self.run, self.fence, point, bad)
        self.worker.lanes[self.run % 2].append(put)
        while put.state == "waiting":
            yield None
        if put.state == "bad" and not bad:
            raise Violated("I14", f"run {self.run} fails for its neighbour's row")
        self.put = None
        return put.state

    def cancelled(self) -> None:
        """The task ends; its put goes on without a waiter."""
        self.worker.acting.pop(self, None)
        if self.put is not None:
            self.put.cancelled = True

    def _let_go(self) -> None:
        if self.worker.held.get(self.run) == self.fence:
            del self.worker.held[self.run]
