"""`tradeloop bench gate`: many answers at once, and many questions through a kill of everything."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final, TypeVar

from tradeloop.bench.engine_stage import EngineStage
from tradeloop.bench.gate_workflow import CALLS, asking_event
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import say, wait_for
from tradeloop.domain.approvals import Approval, ApprovalFilter, Ballot
from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.errors import AnswerRefused
from tradeloop.gate.policy import SHIPPED
from tradeloop.store.approvals import PostgresApprovals
from tradeloop.store.database import Database
from tradeloop.store.people import PostgresPeople

T = TypeVar("T")
AT_ONCE: Final = 64
"""Answers under way: more than the pool has connections, so that they meet."""
REASON: Final = "read, and held against the second source"
PARTS: Final = ("postgres", "kafka")
MODULES: Final = {
    "workflows": ["tradeloop.bench.gate_workflow:workflow"],
    "effects": ["tradeloop.bench.gate_workflow:CountedCalls"],
}


@dataclass
class Answered:
    """What became of the answers."""

    took_s: float = 0.0
    counted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    times_ms: list[float] = field(default_factory=list)


def measure(home: Path, *, questions: int, answers: int, waiting: int, seed: int) -> Leg:
    """Answer `questions` by `answers` ballots at once, beside as many that nobody may answer; then kill everything
    while `waiting` questions are open, and answer those."""
    leg = Leg("gate", f"{answers:,} answers on {questions} approvals; {waiting:,} approvals through a kill -9 of all")
    calls, policy = home.parent / "calls", home.parent / "gate.yaml"
    policy.write_text(SHIPPED.read_text().replace("max_pending: 2000", f"max_pending: {2 * (questions + waiting)}"))
    os.environ[CALLS] = str(calls)
    try:
        with EngineStage(home, gate_policy=policy, **MODULES) as stage:
            _flood(stage, leg, calls, questions, answers, random.Random(seed))  # noqa: S311 - a schedule, no secret
            _outage(stage, leg, calls, waiting)
    finally:
        del os.environ[CALLS]
    leg.notes.append(
        f"Answers: {AT_ONCE} at a time, of 20 people, each answer repeated, mixed with foreign digests and versions, "
        "the agent, services and people without authority. The target honours no key, so that a second call counts."
    )
    return leg


def _flood(stage: EngineStage, leg: Leg, calls: Path, questions: int, answers: int, dice: random.Random) -> None:
    voters = [_person(f"person.{number}") for number in range(20)]
    with stage.running():
        stage.publish(asking_event(number) for number in range(2 * questions))
        _await_open(stage, 2 * questions)
        open_ones = asyncio.run(_with_store(stage, lambda store: _open(store, 2 * questions), voters))
        dice.shuffle(open_ones)
        good, held = open_ones[:questions], open_ones[questions:]
        ballots = [*_wrong(held, dice), *_wrong(good, dice)]
        right = max(questions, answers - len(ballots))  # of every question at least one
        ballots += [(one, _ballot(one), dice.choice(voters)) for one in (good * (right // questions + 1))[:right]]
        dice.shuffle(ballots)
        say(f"gate: {len(ballots):,} answers, {AT_ONCE} at a time")
        found = asyncio.run(_with_store(stage, lambda store: _answer(store, ballots), voters))
        wait_for(lambda: True if len(_lines(calls)) >= questions else None, 120, "the effects")
        time.sleep(2.0)  # what would come twice comes soon
    lines = _lines(calls)
    allowed = {one.digest for one in good}
    without = sum(line.split()[1] not in allowed for line in lines)
    leg.add(
        "answers",
        {
            "answers": len(ballots),
            "counted": found.counted,
            "refused": sum(found.refused.values()),
            "effects": len(lines),
            "effects_without_approval": without,
            "effects_twice": len(lines) - len(set(lines)),
            "answers_per_s": round(len(ballots) / found.took_s, 1),
            "answer_p50_ms": round(median(found.times_ms), 1),
            "answer_p99_ms": round(sorted(found.times_ms)[int(len(found.times_ms) * 0.99)], 1),
        },
    )
    exact = len(lines) == len(set(lines)) == questions and without == 0
    leg.aim(f"{len(lines)} effects of {questions} approvals, {without} without approval", met=exact)
    calls.unlink(missing_ok=True)
    stage.rows("UPDATE approvals SET deadline_at = clock_timestamp() WHERE state = 'pending'")


def _outage(stage: EngineStage, leg: Leg, calls: Path, waiting: int) -> None:
    voters = [_person(f"person.{number}") for number in range(20)]
    first = 1_000_000
    names = stage.begin("relay", "relay"), stage.begin("worker-1", "worker")
    wait_for(lambda: True if not _pending(stage) else None, 60, "the end of what nobody answered")
    stage.publish(asking_event(first + number) for number in range(waiting))
    _await_open(stage, waiting)
    say(f"gate: {waiting:,} questions are open; kill -9 of worker, relay, broker and database")
    for child in names:
        child.signal(signal.SIGKILL)
        child.popen.wait()
    for part in PARTS:
        stage.stack.signal(part, signal.SIGKILL)
    began = time.perf_counter()
    for part in PARTS:
        stage.stack.restart(part)
    stage.begin("relay", "relay")
    stage.begin("worker-1", "worker")
    back_s = time.perf_counter() - began
    open_ones = asyncio.run(_with_store(stage, lambda store: _open(store, waiting), voters))
    ballots = [(one, _ballot(one), voters[number % len(voters)]) for number, one in enumerate(open_ones)]
    found = asyncio.run(_with_store(stage, lambda store: _answer(store, ballots), voters))
    wait_for(lambda: True if len(_lines(calls)) >= waiting else None, 300, "the effects")
    time.sleep(2.0)
    lines = _lines(calls)
    stage.end("worker-1", "relay")
    leg.add(
        "kill -9 of everything",
        {
            "pending_before": waiting,
            "pending_after": len(open_ones),
            "answered": found.counted,
            "effects": len(lines),
            "effects_twice": len(lines) - len(set(lines)),
            "all_back_s": round(back_s, 1),
        },
    )
    met = len(open_ones) == found.counted == waiting == len(lines) == len(set(lines))
    leg.aim(f"{len(open_ones):,} of {waiting:,} pending survive and are answered, {len(lines):,} effects", met=met)


def _person(name: str, *roles: Role) -> Principal:
    return Principal(name=name, roles=frozenset(roles or {Role.APPROVER}), delegations=(Delegation(),))


def _ballot(one: Approval, **more: object) -> Ballot:
    given = {"answer": "approve", "digest": one.digest, "reason": REASON, "relied_on": ("F-01",)}
    if one.requirement.tier >= 3:
        raise AssertionError("the shipped policy asks for tier 3 here")
    return Ballot.model_validate({**given, **more})


def _wrong(held: Sequence[Approval], dice: random.Random) -> list[tuple[Approval, Ballot, Principal]]:
    """Answers that must not count, whoever gives them."""
    found: list[tuple[Approval, Ballot, Principal]] = []
    for one in held:
        other = held[dice.randrange(len(held))]
        strangers = [
            Principal(name=one.agent, roles=frozenset({Role.APPROVER}), delegations=(Delegation(),)),
            Principal(name="robot", kind="service", roles=frozenset({Role.SERVICE}), delegations=(Delegation(),)),
            Principal(name="viewer.v", roles=frozenset({Role.VIEWER}), delegations=(Delegation(),)),
            Principal(name="other.desk", roles=frozenset({Role.APPROVER}), delegations=(Delegation(desk="x"),)),
        ]
        found += [(one, _ballot(one), stranger) for stranger in strangers]
        if other is not one:
            found.append((one, _ballot(other), _person("person.1")))
        found.append((one, _ballot(one, version=2), _person("person.2")))
    return found


async def _answer(store: PostgresApprovals, ballots: Sequence[tuple[Approval, Ballot, Principal]]) -> Answered:
    found, gate = Answered(), asyncio.Semaphore(AT_ONCE)

    async def one(approval: Approval, ballot: Ballot, voter: Principal) -> None:
        async with gate:
            began = time.perf_counter()
            try:
                await store.answer(approval.approval_id, ballot, voter)
                found.counted += 1
            except AnswerRefused as problem:
                found.refused[type(problem).__name__] += 1
            found.times_ms.append(1000 * (time.perf_counter() - began))

    began = time.perf_counter()
    await asyncio.gather(*(one(*each) for each in ballots))
    found.took_s = time.perf_counter() - began
    return found


async def _open(store: PostgresApprovals, count: int) -> list[Approval]:
    found: list[Approval] = []
    after = ""
    while len(found) < count:
        page = await store.matching(ApprovalFilter(limit=1000, after=after))
        if not page:
            break
        found += page
        after = f"{page[-1].deadline_at.isoformat()}~{page[-1].approval_id}"
    return found


async def _with_store(
    stage: EngineStage, ask: Callable[[PostgresApprovals], Awaitable[T]], voters: Sequence[Principal]
) -> T:
    async with Database(stage.settings.database_url, size=16) as database:
        people = PostgresPeople(database)
        for one in voters:  # looked up again before each release
            if await people.principal(one.name) is None:
                await people.add(one, by="bench")
        return await ask(PostgresApprovals(database))


def _pending(stage: EngineStage) -> int:
    return int(stage.rows("SELECT count(*) AS n FROM approvals WHERE state = 'pending'")[0]["n"])


def _await_open(stage: EngineStage, count: int) -> None:
    wait_for(lambda: True if _pending(stage) >= count else None, 180, f"{count} questions")


def _lines(calls: Path) -> list[str]:
    return calls.read_text().splitlines() if calls.exists() else []
