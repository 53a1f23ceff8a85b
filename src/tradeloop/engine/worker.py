"""The worker's loops: intake, claims, runs, lease, take-over, tending."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar  # Any: what a coroutine sends and receives
from uuid import UUID, uuid4

import structlog

from tradeloop.domain.runs import Claim, Outcome, RunState
from tradeloop.engine.asking import RunAsks
from tradeloop.engine.intake import Intake, Item
from tradeloop.engine.persistence import Persistence
from tradeloop.engine.recorder import Recorder
from tradeloop.engine.runner import Runner
from tradeloop.engine.slots import Slots
from tradeloop.engine.tasks import end_tasks, until_set
from tradeloop.engine.threads import ThreadKeeper
from tradeloop.engine.workload import Source, WorkerOptions
from tradeloop.errors import (
    CrashLoop,
    DatabaseUnreachable,
    GateClosed,
    GateFull,
    OutcomeUnknown,
    RunBroken,
    RunLost,
    RunTimedOut,
    ThreadsLeaked,
    TradeloopError,
)
from tradeloop.ports import Runs

log = structlog.get_logger()
T = TypeVar("T")

MAX_FAILS: Final = 17
"""With the delays below about half an hour of trying (19 to 38 minutes); then the event is a dead letter."""
MAX_TAKEOVERS: Final = 5
"""A run that kills its worker must not go round for ever."""
RETRY_BASE_S: Final = 0.5
RETRY_CAP_S: Final = 300.0
CLAIM_EVERY_S: Final = 1.0
"""Claims are asked for when a slot frees; this finds what other workers left, at the price of an idle query."""
CLAIM_TOGETHER_S: Final = 0.002
"""While few slots are free, further ones are waited for: a claim of one run costs the database as much as of ten."""
LOOK_ROUND_S: Final = 1.0
"""How often dead workers, due runs, cancellations and the backlog are looked for."""
TEND_EVERY_S: Final = 10.0
VERSION_GRACE_S: Final = 30.0
"""How long a run waits for a worker with its graph version: a rolling start has none for a moment."""
UNWIND_S: Final = 5.0
"""How long cancelled runs and the last records may take at the end; longer only delays the takeover."""
RESUME_BELOW: Final = 0.8
"""Share of the backlog's bound below which intake goes on."""


class Worker:
    """Takes events in, runs their graphs, records the decisions."""

    def __init__(self, source: Source, intake: Intake, runs: Runs, runner: Runner, options: WorkerOptions) -> None:
        self._source = source
        self._intake = intake
        self._runs = runs
        self._runner = runner
        self._options = options
        self.owner = uuid4()
        self._slots = Slots(options.concurrency, options.desks)
        self._persistence = Persistence()
        self._recorder = Recorder(
            runs,
            self._persistence,
            options.decisions_topic,
            owner=lambda: self.owner,
            as_failure=runner.failure,
            when_known=self._known,
        )
        self._threads = ThreadKeeper(options.concurrency)
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._held: dict[UUID, int] = {}
        """Fence of every run from its start until the database knows its end."""
        self._wishes: dict[UUID, str] = {}
        """Runs that are being cancelled because somebody wants it, with the reason."""
        self._claim_wanted = asyncio.Event()
        self._starved = False
        """Whether a claim was skipped because every slot was taken or promised."""
        self._room = asyncio.Event()
        self._room.set()

    @property
    def recorded(self) -> int:
        """Runs that this worker has recorded."""
        return self._recorder.recorded

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what is in hand and give the rest back.

        Raises:
            ThreadsLeaked: too many nodes never returned; a fresh process is needed.
        """
        self._threads.serve()
        stopped = asyncio.create_task(until_set(stop), name="stop")
        enlisting = asyncio.create_task(self._enlist(), name="enlist")
        try:
            await asyncio.wait([stopped, enlisting], return_when=asyncio.FIRST_COMPLETED)
            if enlisting.done():
                enlisting.result()
                await self._work_until(stopped)
        finally:
            await end_tasks([stopped, enlisting])

    async def _work_until(self, stopped: asyncio.Task[None]) -> None:
        log.info("worker_started", worker=str(self.owner), desks=self._options.desks)
        loops = [
            asyncio.create_task(loop(), name=name)
            for name, loop in (
                ("take_in", self._take_in),
                ("claim", self._claim),
                ("record", self._recorder.run),
                ("keep_lease", self._keep_lease),
                ("look_round", self._look_round),
                ("tend", self._tend),
            )
        ]
        try:
            done, _ = await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
            await self._drain(loops)
        finally:
            await end_tasks([*loops, *self._running.values()])
        for task in done - {stopped}:
            task.result()  # a loop that ended by itself is a defect, or the wish for a fresh process: show it

    async def _enlist(self) -> None:
        options = self._options
        versions = [version for _, version in self._runner.versions]
        await self._insist(lambda: self._runs.enlist(self.owner, options.build, options.lease_s, versions))

    async def _drain(self, loops: list[asyncio.Task[None]]) -> None:
        await end_tasks([task for task in loops if task.get_name() in {"take_in", "claim"}])
        if self._running:
            await asyncio.wait(set(self._running.values()), timeout=self._options.drain_s)
        if self._running:
            log.warning("runs_given_back", runs=len(self._running))
            for task in self._running.values():
                task.cancel()
            await asyncio.wait(set(self._running.values()), timeout=UNWIND_S)
        try:
            async with asyncio.timeout(UNWIND_S):
                await self._recorder.drained()
        except TimeoutError:
            log.warning("drain_ended_early", unrecorded=self._recorder.waiting)
        await end_tasks(loops)
        try:
            await self._runs.retire(self.owner)
        except DatabaseUnreachable:
            log.warning("lease_not_returned", worker=str(self.owner))
        log.info("worker_stopped", worker=str(self.owner), recorded=self.recorded)

    async def _take_in(self) -> None:
        while True:
            await self._room.wait()
            batch = await self._source.batch()
            items = self._intake.read(batch)
            demand = self._intake.demand(items)
            quotas = self._slots.for_arrivals(demand)
            claims = await self._obtain(quotas, partial(self._accept, items, quotas))
            self._source.done(batch)
            self._slots.accepted(demand, Counter(claim.desk for claim in claims))
            if self._slots.is_behind:
                self._claim_wanted.set()

    async def _accept(self, items: Sequence[Item], quotas: Mapping[str, int]) -> list[Claim]:
        return await self._intake.store(self.owner, items, quotas)

    async def _claim(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CLAIM_EVERY_S):
                    await self._claim_wanted.wait()
            except TimeoutError:
                pass
            if self._slots.free < self._options.concurrency // 4 and self._running:
                await asyncio.sleep(CLAIM_TOGETHER_S)
            self._claim_wanted.clear()
            quotas = self._slots.for_claims()
            if self._slots.free > 0:
                claims = await self._obtain(quotas, partial(self._ask, quotas, self._slots.free))
                if self._slots.claimed(quotas, Counter(claim.desk for claim in claims)):
                    self._claim_wanted.set()
            else:
                self._starved = True

    async def _ask(self, quotas: Mapping[str, int], limit: int) -> list[Claim]:
        desks, graphs = self._options.desks, self._runner.versions
        return await self._runs.claim(self.owner, desks, limit, quotas=quotas, graphs=graphs)

    async def _obtain(
        self, quotas: Mapping[str, int], ask: Callable[[], Coroutine[Any, Any, list[Claim]]]
    ) -> list[Claim]:
        """Start the runs that a call of the store gives us, within what was promised to it."""
        outages = self._persistence.outages
        with self._slots.promise(sum(quotas.values())):
            claims = await self._insist(ask)
            if self._persistence.outages != outages:
                claims += await self._unanswered()
        for claim in claims:
            self._start(claim)
        if self._starved:
            self._starved = False
            self._claim_wanted.set()
        return claims

    async def _unanswered(self) -> list[Claim]:
        """Runs that the database gave us in a call whose answer was lost: nobody else would ever start them."""
        known = set(self._held)
        owned = await self._insist(lambda: self._runs.owned(self.owner))
        return [claim for claim in owned if claim.run_id not in known]

    def _start(self, claim: Claim) -> None:
        if self._held.get(claim.run_id, 0) >= claim.fence:
            return
        self._held[claim.run_id] = claim.fence
        self._slots.take(claim.desk)
        task = asyncio.create_task(self._execute(claim), name=f"run {claim.run_id}")
        self._running[claim.run_id] = task
        task.add_done_callback(partial(self._ended, claim))

    def _ended(self, claim: Claim, task: asyncio.Task[None]) -> None:
        if self._running.get(claim.run_id) is task:
            del self._running[claim.run_id]
        self._slots.give_back(claim.desk)
        self._claim_wanted.set()
        problem = None if task.cancelled() else task.exception()
        if problem is not None:  # not the graph's: resting or failing it went wrong
            log.error("run_failed", run_id=str(claim.run_id), error=str(problem), error_class=type(problem).__name__)
            self._recorder.put(self._runner.failure(claim, problem))

    def _known(self, outcome: Outcome, recorded: bool) -> None:
        self._let_go(outcome.claim)
        if recorded:
            self._claim_wanted.set()  # the next of its subject may go on

    def _let_go(self, claim: Claim) -> None:
        if self._held.get(claim.run_id) == claim.fence:
            del self._held[claim.run_id]

    async def _execute(self, claim: Claim) -> None:
        with structlog.contextvars.bound_contextvars(run_id=str(claim.run_id), event_id=str(claim.event_id)):
            try:
                if claim.cancel and await self._end_as_cancelled(claim, claim.cancel):
                    return
                if claim.takeovers >= MAX_TAKEOVERS:
                    raise CrashLoop(f"{claim.takeovers} workers died with this run")
                self._recorder.put(await self._runner.run(self.owner, claim))
            except RunAsks as wish:
                await self._park(claim, wish)
            except RunLost:
                log.info("run_lost")
                self._let_go(claim)
            except OutcomeUnknown as problem:
                await self._suspend(claim, RunState.OUTCOME_UNKNOWN, problem)
            except asyncio.CancelledError:
                await self._broken_off(claim)
            except DatabaseUnreachable as problem:
                log.warning("run_left_to_takeover", error=problem.message)
                await self._rest(claim, problem)
            except Exception as problem:  # noqa: BLE001 - the worker loop: no graph may stop another
                await self._fail(claim, problem)

    async def _broken_off(self, claim: Claim) -> None:
        task, reason = asyncio.current_task(), self._wishes.pop(claim.run_id, "")
        if reason and task is not None and task.uncancel() == 0:
            if not await self._end_as_cancelled(claim, reason):
                await self._rest(claim, RunBroken("an effect had begun: the run goes on"))
            return
        if task is None or task.cancelling():
            raise asyncio.CancelledError  # the worker's wish: lease lost, or the end of the drain
        await self._fail(claim, RunBroken())

    async def _end_as_cancelled(self, claim: Claim, reason: str) -> bool:
        """Record the run as cancelled; False when an effect of it began, or it is not ours any more."""
        outcome = self._runner.cancellation(claim, reason)
        ended = await self._insist(lambda: self._runs.record(self.owner, [outcome], self._options.decisions_topic))
        if claim.run_id in ended:
            log.info("run_cancelled", reason=reason)
            self._known(outcome, recorded=True)
        return claim.run_id in ended

    async def _fail(self, claim: Claim, problem: Exception) -> None:
        if isinstance(problem, RunTimedOut):
            self._threads.replace_stuck()
        limit = getattr(problem, "attempts", None) or MAX_FAILS
        if getattr(problem, "retriable", False) and claim.fails + 1 < limit:
            await self._rest(claim, problem)
            return
        log.error("run_failed", error=str(problem), error_class=type(problem).__name__)
        self._recorder.put(self._runner.failure(claim, problem))

    async def _suspend(self, claim: Claim, state: RunState, problem: TradeloopError) -> None:
        if await self._insist(lambda: self._runs.suspend(self.owner, claim, state, problem.message)):
            log.error("run_suspended", state=state.value, error=problem.message, hint=problem.hint)
        self._let_go(claim)

    async def _park(self, claim: Claim, wish: RunAsks) -> None:
        """Give the run's slot back until people have answered."""
        try:
            gate = self._runner.gate
            parked = await self._insist(lambda: gate.approvals.park(self.owner, claim, wish.asks, gate.max_pending))
        except (GateFull, GateClosed) as problem:
            await self._rest(claim, problem)
            return
        if parked:
            log.info("approval_asked", questions=len(wish.asks), actions=[ask.action.target for ask in wish.asks])
        self._let_go(claim)
        self._claim_wanted.set()

    async def _rest(self, claim: Claim, problem: Exception) -> None:
        ceiling = min(RETRY_CAP_S, RETRY_BASE_S * 2 ** min(claim.fails, MAX_FAILS))
        delay_s = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter, no secret
        error = f"{type(problem).__name__}: {problem}"
        if await self._insist(lambda: self._runs.retry(self.owner, claim, delay_s, error)):
            log.warning("run_rested", error=str(problem), delay_s=round(delay_s, 2), fails=claim.fails + 1)
        self._let_go(claim)

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._options.lease_s / 5)
            if await self._insist(lambda: self._runs.renew(self.owner, self._options.lease_s)):
                continue
            log.error("lease_lost", worker=str(self.owner), runs=len(self._running))
            for task in self._running.values():
                task.cancel()
            self._held.clear()
            self.owner = uuid4()
            await self._enlist()

    async def _look_round(self) -> None:
        while True:
            await asyncio.sleep(LOOK_ROUND_S)
            expired = await self._insist(self._runner.gate.expire)
            if await self._insist(self._runs.take_over) or expired:
                self._claim_wanted.set()
            for run_id, reason in (await self._insist(lambda: self._runs.cancellable(self.owner))).items():
                if run_id in self._running and run_id not in self._wishes:
                    self._wishes[run_id] = reason
                    self._running[run_id].cancel()
            if self._slots.is_behind or not self._room.is_set():
                await self._measure_backlog()
            if self._threads.too_many_leaked:
                raise ThreadsLeaked(f"{self._threads.leaked} nodes never returned after their time-out")

    async def _measure_backlog(self) -> None:
        bound = self._options.backlog
        queued = await self._insist(lambda: self._runs.backlog(bound))
        if self._room.is_set() and queued >= bound:
            log.warning("intake_paused", queued=queued, bound=bound)
            self._room.clear()
        elif not self._room.is_set() and queued < RESUME_BELOW * bound:
            log.info("intake_resumed", queued=queued)
            self._room.set()

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND_EVERY_S)
            found = await self._insist(lambda: self._runs.tend(VERSION_GRACE_S))
            if found.heads:
                log.error("heads_repaired", subjects=found.heads)
            if found.unserved:
                log.error("versions_unavailable", runs=found.unserved, hint="tradeloop graphs list")
            if found.heads or found.served:
                self._claim_wanted.set()

    async def _insist(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await self._persistence.insist(call)
