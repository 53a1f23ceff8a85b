"""One leg of chaos: a scene, a feed, the schedule, and the account at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

from tradeloop.bench.chaos.account import Books, balance
from tradeloop.bench.chaos.feed import Feed, Plan
from tradeloop.bench.chaos.scene import AIRFLOW, SERVERS, Scene
from tradeloop.bench.chaos.schedule import Fault, draw
from tradeloop.bench.chaos.watch import Watch
from tradeloop.bench.chaos.workflow import DAG, FOLLOWUP, HOOK
from tradeloop.bench.chaos.wounds import LEASES, Wound, add_times, longest_wait
from tradeloop.bench.figures import Figure
from tradeloop.bench.report import Leg
from tradeloop.bench.stage import POLL_S, say

CALM_S: Final = 2.0
"""An event older than this that is not decided is in trouble: until there is none, the next fault waits."""
CALM_WITHIN_S: Final = 30.0
SETTLED_WITHIN_S: Final = 180.0
SLOW_S: Final = 12.0
"""Longer waits for a worker or relay are told one by one on stderr, so that their reason can be looked for."""
NOTHING_NEW_S: Final = 30.0
"""At the end: longer than the lease, so what is not decided after it never will be."""
ZEROS: Final = (
    "lost",
    "effects_missing",
    "duplicate_effects",
    "decisions_doubled",
    "orders_broken",
    "effect_orders_broken",
)
STARTED: Final = "SELECT conf ->> 'event_id' FROM dag_run WHERE dag_id = %s ORDER BY id"
TRIES: Final = """
SELECT ended_at, outcome, error FROM tradeloop.attempts
WHERE run_id = (SELECT run_id FROM tradeloop.runs WHERE event_id = %s LIMIT 1) ORDER BY fence
"""
DEAD: Final = "SELECT count(*) FROM tradeloop.dead_letters"


@dataclass(frozen=True)
class Size:
    """How much is done."""

    kills: int
    events: int
    rate: float
    lease_s: float
    with_airflow: bool = True


class Course:
    """The faults of one leg, one after the other."""

    def __init__(self, scene: Scene, feed: Feed, watch: Watch) -> None:
        self._scene, self._feed, self._watch = scene, feed, watch
        self.wounds: list[tuple[Fault, float, float]] = []

    def run(self, faults: Sequence[Fault]) -> None:
        """Do them all; between two the system comes to rest, unless they overlap."""
        for fault in faults:
            if not fault.overlaps:
                self.wait_until_calm()
            time.sleep(fault.pause_s)
            at = time.monotonic()
            say(f"chaos: {fault.number + 1} of {len(faults)}: {fault.part} {fault.kind}, {len(self._open())} in hand")
            answered_at = self._scene.harm(fault)
            self.wounds.append((fault, at, answered_at))

    def wait_until_calm(self) -> None:
        """Wait until a decision came after the last fault and none older than a moment is open; gives up after a while.

        Without the first, a fault could follow another so soon that what it delays would be told as the other's.
        """
        deadline = time.monotonic() + CALM_WITHIN_S
        while (self._open(CALM_S) or not self._has_gone_on()) and time.monotonic() < deadline:
            self._scene.look_after()
            time.sleep(POLL_S)

    def _has_gone_on(self) -> bool:
        last_at = self._watch.seen[-1].at if self._watch.seen else 0.0
        return not self.wounds or last_at > self.wounds[-1][2]

    def _open(self, older_than_s: float = 0.0) -> list[UUID]:
        until = time.monotonic() - older_than_s
        decided = dict(self._watch.first_at)
        return [
            one.event_id for one in dict(self._feed.sent).values() if one.at < until and one.event_id not in decided
        ]


def measure(home: Path, name: str, seed: int, size: Size, *, of_the_seed: bool = False) -> Leg:
    """The schedule of this seed against the engine, or against the design that it replaced."""
    leg = Leg(name, f"chaos: {name}, {size.kills} kills, {size.rate:g} events a second, lease {size.lease_s:g} s")
    with_airflow = size.with_airflow and not of_the_seed
    parts = ("worker", "relay", *SERVERS, *(AIRFLOW[:2] if size.with_airflow else ()))
    faults = draw(seed, size.kills, parts, size.lease_s)
    if of_the_seed:
        faults = [fault for fault in faults if fault.part in ("worker", "kafka")]
    plan = Plan(seed, (HOOK,) if of_the_seed else (*(HOOK,) * 19, DAG))
    begun = time.monotonic()
    with Scene(home, with_airflow=with_airflow, of_the_seed=of_the_seed, lease_s=size.lease_s) as scene:
        settings = scene.stack.settings
        with (
            Watch(settings.kafka_bootstrap, settings.decisions_topic) as watch,
            Feed(settings.kafka_bootstrap, settings.events_topic, plan, size.rate) as feed,
        ):
            say(f"chaos: {name}: all ready after {time.monotonic() - begun:.0f} s")
            course = Course(scene, feed, watch)
            course.run(faults)
            while len(feed.sent) < size.events:
                scene.look_after()
                time.sleep(POLL_S)
            unsent = feed.finish(60)
            _settle(scene, feed, watch)
            figures = balance(_books(scene, feed, watch))
            leg.add(f"{name}: account", {"faults": len(faults), **figures})
            _aim(leg, name, figures, unsent, scene, _dead_letters(scene) if not of_the_seed else 0)
            add_times(leg, name, _wounds(scene, course, feed, watch), size.lease_s)
    return leg


def _settle(scene: Scene, feed: Feed, watch: Watch) -> None:
    """Wait until everything is decided, or until nothing has come for long."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while time.monotonic() < deadline:
        decided = dict(watch.first_at)  # a copy: the other thread goes on
        newest = max([*decided.values(), *(sent.at for sent in feed.sent.values())])
        if not feed.sent.keys() - decided.keys() or time.monotonic() - newest > NOTHING_NEW_S:
            break
        scene.look_after()
        time.sleep(POLL_S)
    time.sleep(CALM_S)  # what comes twice comes late


def _books(scene: Scene, feed: Feed, watch: Watch) -> Books:
    account = scene.target.account
    effects = [list(account.done)]
    if scene.with_airflow:
        with psycopg.connect(scene.stack.airflow_database_url) as connection:
            rows = connection.execute(STARTED, [FOLLOWUP]).fetchall()
        effects.append([UUID(event_id) for (event_id,) in rows])
    return Books(feed.sent, list(watch.seen), effects, account.repeats, feed.doubles)


def _dead_letters(scene: Scene) -> int:
    with psycopg.connect(scene.stack.settings.database_url) as connection:
        row = connection.execute(DEAD).fetchone()
    return int(row[0]) if row else 0


def is_balanced(leg: Leg) -> bool:
    """Whether nothing was lost, doubled or out of order."""
    accounts = [row.figures for row in leg.rows if "lost" in row.figures]
    return bool(accounts) and not any(figures[key] for figures in accounts for key in ZEROS)


def _aim(leg: Leg, name: str, figures: dict[str, Figure], unsent: int, scene: Scene, dead: int) -> None:
    counts = ", ".join(f"{key.replace('_', ' ')} {figures[key]}" for key in ZEROS)
    leg.aim(f"{name}: of {figures['events']} events {counts}: all 0", met=not any(figures[key] for key in ZEROS))
    leg.aim(f"{name}: dead letters {dead}, never taken by the broker {unsent}: all 0", met=not dead and not unsent)
    fell = scene.crew.ended_by_themselves
    leg.aim(f"{name}: workers and relays that ended by themselves: {len(fell)}, at most 0", met=not fell)
    if scene.fell:
        leg.notes.append(f"Servers that ended by themselves and were started again: {', '.join(scene.fell)}.")


def _wounds(scene: Scene, course: Course, feed: Feed, watch: Watch) -> list[Wound]:
    found = []
    for index, (fault, at, answered_at) in enumerate(course.wounds):
        since = at if fault.part in LEASES else answered_at
        follower = course.wounds[index + 1] if index + 1 < len(course.wounds) else None
        until = follower[1] if follower else time.monotonic()
        wound = Wound(
            fault=fault,
            at=at,
            answered_at=answered_at,
            next_at=watch.next_after(since),
            longest_s=longest_wait(_waits(feed, watch, at, until), since),
            alone=not fault.overlaps and not (follower and follower[0].overlaps),
        )
        found.append(wound)
        if wound.alone and fault.part in LEASES and (wound.longest_s or 0.0) > SLOW_S:
            _tell_slow(scene, feed, watch, wound, until)
    return found


def _tell_slow(scene: Scene, feed: Feed, watch: Watch, wound: Wound, until: float) -> None:
    """Of the events that waited long: when they came and went, and what each try of their run met."""
    for sent in list(feed.sent.values()):
        decided = watch.first_at.get(sent.event_id)
        if sent.at >= until - CALM_S or decided is None or decided - max(sent.at, wound.at) <= SLOW_S:
            continue
        with psycopg.connect(scene.stack.settings.database_url) as connection:
            tries = connection.execute(TRIES, [sent.event_id]).fetchall()
        told = "; ".join(f"{ended:%H:%M:%S.%f} {outcome} {error[:100]}" for ended, outcome, error in tries)
        say(
            f"chaos: {wound.fault.number + 1}: {sent.effect}, sent {sent.at - wound.at:+.1f} s, "
            f"decided {decided - wound.at:+.1f} s; tries that ended badly: {told or 'none'}"
        )


def _waits(feed: Feed, watch: Watch, at: float, until: float) -> list[tuple[float, float | None]]:
    """Of the events that were open at that moment or came until the next fault: when sent, when decided."""
    times = [(sent.at, watch.first_at.get(sent.event_id)) for sent in feed.sent.values() if sent.at < until - CALM_S]
    return [(sent, decided) for sent, decided in times if decided is None or decided > at]
