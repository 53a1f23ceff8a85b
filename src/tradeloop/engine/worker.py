"""The worker's loops: intake, claims, runs, record, lease."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar  # Any: what a coroutine sends and receives
from uuid import UUID, uuid4

import structlog

from tradeloop.domain.records import Received
from tradeloop.domain.runs import Claim, Outcome, RunState
from tradeloop.engine.intake import Intake
from tradeloop.engine.runner import Runner
from tradeloop.errors import CrashLoop, DatabaseUnreachable, OutcomeUnknown, RunBroken, RunLost, TradeloopError
from tradeloop.ports import Runs

log = structlog.get_logger()
T = TypeVar("T")

MAX_FAILS: Final = 17
"""With the delays below about half an hour of trying (19 to 38 minutes); then the event is a dead letter."""
MAX_TAKEOVERS: Final = 5
"""A run that kills its worker must not go round for ever."""
RETRY_BASE_S: Final = 0.5
RETRY_CAP_S: Final = 300.0
RECORD_BATCH: Final = 200
CLAIM_EVERY_S: Final = 1.0
"""Claims are asked for when a slot frees; this finds what other workers left, at the price of an idle query."""
TAKE_OVER_EVERY_S: Final = 1.0
UNWIND_S: Final = 5.0
"""How long cancelled runs and the last records may take at the end; longer only delays the takeover."""


class Source(Protocol):
    """Where batches come from."""

    async def batch(self) -> list[Received]:
        """The next records; waits until there are some."""
        ...

    def done(self, batch: Sequence[Received]) -> None:
        """The batch is durable."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker may take on."""

    desks: tuple[str, ...]
    decisions_topic: str
    concurrency: int = 32
    lease_s: float = 15.0
    drain_s: float = 20.0
    """How long runs in hand may go on after the stop."""
    build: str = ""


class Worker:
    """Takes events in, runs their graphs, records the decisions."""

    def __init__(self, source: Source, intake: Intake, runs: Runs, runner: Runner, options: WorkerOptions) -> None:
        self._source = source
        self._intake = intake
        self._runs = runs
        self._runner = runner
        self._options = options
        self.owner = uuid4()
        self._running: set[asyncio.Task[None]] = set()
        self._held: dict[UUID, int] = {}
        """Fence of every run from its start until the database knows its end."""
        self._reserved = 0
        """Slots promised to calls whose answers are awaited."""
        self._starved = False
        """Whether a claim was skipped because every slot was taken or promised."""
        self._outages = 0
        self._outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        self._claim_wanted = asyncio.Event()
        self.recorded = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what is in hand and give the rest back."""
        stopped = asyncio.create_task(_set(stop), name="stop")
        enlisting = asyncio.create_task(self._enlist(), name="enlist")
        try:
            await asyncio.wait([stopped, enlisting], return_when=asyncio.FIRST_COMPLETED)
            if enlisting.done():
                enlisting.result()
                await self._work_until(stopped)
        finally:
            await _end([stopped, enlisting])

    async def _work_until(self, stopped: asyncio.Task[None]) -> None:
        log.info("worker_started", worker=str(self.owner), desks=self._options.desks)
        loops = [
            asyncio.create_task(loop(), name=loop.__name__)
            for loop in (self._take_in, self._claim, self._record, self._keep_lease, self._take_over)
        ]
        try:
            done, _ = await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
            await self._drain(loops)
        finally:
            await _end([*loops, *self._running])
        for task in done - {stopped}:
            task.result()  # a loop that ended by itself is a defect: show it

    async def _enlist(self) -> None:
        await self._persist(lambda: self._runs.enlist(self.owner, self._options.build, self._options.lease_s))

    async def _drain(self, loops: list[asyncio.Task[None]]) -> None:
        await _end([task for task in loops if task.get_name() in {"_take_in", "_claim"}])
        if self._running:
            await asyncio.wait(set(self._running), timeout=self._options.drain_s)
        if self._running:
            log.warning("runs_given_back", runs=len(self._running))
            for task in self._running:
                task.cancel()
            await asyncio.wait(set(self._running), timeout=UNWIND_S)
        try:
            async with asyncio.timeout(UNWIND_S):
                await self._outcomes.join()
        except TimeoutError:
            log.warning("drain_ended_early", unrecorded=self._outcomes.qsize())
        await _end(loops)
        try:
            await self._runs.retire(self.owner)
        except DatabaseUnreachable:
            log.warning("lease_not_returned", worker=str(self.owner))
        log.info("worker_stopped", worker=str(self.owner), recorded=self.recorded)

    async def _take_in(self) -> None:
        while True:
            batch = await self._source.batch()
            started = await self._obtain(partial(self._accept, batch))
            self._source.done(batch)
            if started < len(batch):
                self._claim_wanted.set()

    async def _accept(self, batch: list[Received], slots: int) -> list[Claim]:
        return await self._intake.accept(self.owner, batch, slots)

    async def _claim(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CLAIM_EVERY_S):
                    await self._claim_wanted.wait()
            except TimeoutError:
                pass
            self._claim_wanted.clear()
            if self._free() > 0:
                await self._obtain(lambda slots: self._runs.claim(self.owner, self._options.desks, slots))
            else:
                self._starved = True

    async def _obtain(self, ask: Callable[[int], Coroutine[Any, Any, list[Claim]]]) -> int:
        """Start the runs that a call of the store gives us, within the free slots; returns how many it gave."""
        slots, outages = self._free(), self._outages
        self._reserved += slots
        try:
            claims = await self._persist(lambda: ask(slots))
            if self._outages != outages:
                claims += await self._unanswered()
        finally:
            self._reserved -= slots
        for claim in claims:
            self._start(claim)
        if self._starved:
            self._starved = False
            self._claim_wanted.set()
        return len(claims)

    async def _unanswered(self) -> list[Claim]:
        """Runs that the database gave us in a call whose answer was lost: nobody else would ever start them."""
        known = set(self._held)
        owned = await self._persist(lambda: self._runs.owned(self.owner))
        return [claim for claim in owned if claim.run_id not in known]

    def _free(self) -> int:
        return max(0, self._options.concurrency - len(self._running) - self._reserved)

    def _start(self, claim: Claim) -> None:
        if self._held.get(claim.run_id, 0) >= claim.fence:
            return
        self._held[claim.run_id] = claim.fence
        task = asyncio.create_task(self._execute(claim), name=f"run {claim.run_id}")
        self._running.add(task)
        task.add_done_callback(partial(self._ended, claim))

    def _ended(self, claim: Claim, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._claim_wanted.set()
        problem = None if task.cancelled() else task.exception()
        if problem is not None:  # not the graph's: resting or failing it went wrong
            log.error("run_failed", run_id=str(claim.run_id), error=str(problem), error_class=type(problem).__name__)
            self._outcomes.put_nowait(self._runner.failure(claim, problem))

    def _let_go(self, claim: Claim) -> None:
        if self._held.get(claim.run_id) == claim.fence:
            del self._held[claim.run_id]

    async def _execute(self, claim: Claim) -> None:
        with structlog.contextvars.bound_contextvars(run_id=str(claim.run_id), event_id=str(claim.event_id)):
            try:
                if claim.takeovers >= MAX_TAKEOVERS:
                    raise CrashLoop(f"{claim.takeovers} workers died with this run")
                self._outcomes.put_nowait(await self._runner.run(self.owner, claim))
            except RunLost:
                log.info("run_lost")
                self._let_go(claim)
            except OutcomeUnknown as problem:
                await self._suspend(claim, RunState.OUTCOME_UNKNOWN, problem)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise  # the worker's wish: lease lost, or the end of the drain
                await self._fail(claim, RunBroken())
            except DatabaseUnreachable as problem:
                log.warning("run_left_to_takeover", error=problem.message)
                await self._rest(claim, problem)
            except Exception as problem:  # noqa: BLE001 - the worker loop: no graph may stop another
                await self._fail(claim, problem)

    async def _fail(self, claim: Claim, problem: Exception) -> None:
        if getattr(problem, "retriable", False) and claim.fails + 1 < MAX_FAILS:
            await self._rest(claim, problem)
            return
        log.error("run_failed", error=str(problem), error_class=type(problem).__name__)
        self._outcomes.put_nowait(self._runner.failure(claim, problem))

    async def _suspend(self, claim: Claim, state: RunState, problem: TradeloopError) -> None:
        if await self._persist(lambda: self._runs.suspend(self.owner, claim, state, problem.message)):
            log.error("run_suspended", state=state.value, error=problem.message, hint=problem.hint)
        self._let_go(claim)

    async def _rest(self, claim: Claim, problem: Exception) -> None:
        ceiling = min(RETRY_CAP_S, RETRY_BASE_S * 2**claim.fails)
        delay_s = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter, no secret
        error = f"{type(problem).__name__}: {problem}"
        if await self._persist(lambda: self._runs.retry(self.owner, claim, delay_s, error)):
            log.warning("run_rested", error=str(problem), delay_s=round(delay_s, 2), fails=claim.fails + 1)
        self._let_go(claim)

    async def _record(self) -> None:
        while True:
            outcomes = [await self._outcomes.get()]
            while not self._outcomes.empty() and len(outcomes) < RECORD_BATCH:
                outcomes.append(self._outcomes.get_nowait())
            await self._record_group(outcomes)
            for _ in outcomes:
                self._outcomes.task_done()
            self._claim_wanted.set()

    async def _record_group(self, outcomes: list[Outcome]) -> None:
        """Record together; cut a group that the database refuses in halves, so that only the culprit fails."""
        try:
            recorded = await self._persist(
                lambda: self._runs.record(self.owner, outcomes, self._options.decisions_topic)
            )
        except Exception as problem:
            if len(outcomes) > 1:
                middle = len(outcomes) // 2
                await self._record_group(outcomes[:middle])
                await self._record_group(outcomes[middle:])
            elif outcomes[0].decision is not None:
                log.error("record_refused", run_id=str(outcomes[0].claim.run_id), error=str(problem))
                await self._record_group([self._runner.failure(outcomes[0].claim, problem)])
            else:
                raise
            return
        self.recorded += len(recorded)
        for outcome in outcomes:
            self._let_go(outcome.claim)
            if outcome.claim.run_id in recorded:
                decided = outcome.decision.outcome if outcome.decision else None
                log.info(
                    "decision_recorded",
                    run_id=str(outcome.claim.run_id),
                    decision_id=str(outcome.decision_id),
                    subject=outcome.claim.subject,
                    state=outcome.state.value,
                    outcome=decided,
                )

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._options.lease_s / 5)
            if await self._persist(lambda: self._runs.renew(self.owner, self._options.lease_s)):
                continue
            log.error("lease_lost", worker=str(self.owner), runs=len(self._running))
            for task in self._running:
                task.cancel()
            self._held.clear()
            self.owner = uuid4()
            await self._enlist()

    async def _take_over(self) -> None:
        while True:
            await asyncio.sleep(TAKE_OVER_EVERY_S)
            if await self._persist(self._runs.take_over):
                self._claim_wanted.set()

    async def _persist(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Try until the database answers: every statement of ours is idempotent or fenced."""
        delay_s, told = 0.1, False
        while True:
            try:
                return await call()
            except DatabaseUnreachable as problem:
                self._outages += 1
                if not told:
                    log.warning("database_did_not_answer", error=problem.message, retried=True)
                    told = True
                await asyncio.sleep(delay_s)
                delay_s = min(5.0, delay_s * 2)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
