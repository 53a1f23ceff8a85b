"""What a seed decides, and what the account says of what came out."""

from __future__ import annotations

from collections import Counter
from uuid import UUID, uuid4

import pytest

from tradeloop.bench.chaos.account import Books, balance
from tradeloop.bench.chaos.feed import Plan, Sent
from tradeloop.bench.chaos.schedule import KILLS, Fault, draw
from tradeloop.bench.chaos.target import Account
from tradeloop.bench.chaos.watch import Seen
from tradeloop.bench.chaos.wounds import Wound, add_times, longest_wait
from tradeloop.bench.report import Leg

PARTS = tuple(KILLS)


def test_a_seed_is_a_schedule_and_another_seed_is_another_one() -> None:
    assert draw(7, 30, PARTS, 15) == draw(7, 30, PARTS, 15)
    assert draw(7, 30, PARTS, 15) != draw(8, 30, PARTS, 15)


@pytest.mark.parametrize("kills", [6, 10, 30, 100])
def test_every_part_dies_and_the_kills_are_as_many_as_were_asked_for(kills: int) -> None:
    faults = draw(1, kills, PARTS, 15)

    died = Counter(fault.part for fault in faults if fault.kind == "kill")
    assert (sum(died.values()), set(died)) == (kills, set(PARTS))
    assert {fault.part for fault in faults if fault.kind == "stop"} == {"kafka", "worker"}
    assert all(fault.lasts_s > 15 for fault in faults if (fault.part, fault.kind) == ("worker", "stop"))


def test_few_kills_are_of_the_first_parts() -> None:
    assert sum(fault.kind == "kill" for fault in draw(1, 2, PARTS, 15)) == 2


def test_a_seed_is_a_series_of_events_with_some_that_come_again() -> None:
    one, other = Plan(3, ("hook", "dag")), Plan(3, ("hook", "dag"))
    drawn = [one.next() for _ in range(200)]

    assert [sent.event_id for sent, _, _ in drawn] == [other.next()[0].event_id for _ in range(200)]
    assert {sent.effect for sent, _, _ in drawn} == {"hook", "dag"}
    assert 5 < sum(again > 0 for _, _, again in drawn) < 50


def sent(subject: str, place: int, *, acknowledged: bool = True) -> Sent:
    return Sent(uuid4(), subject, place, "hook", 0.0, acknowledged)


def books(*events: Sent, seen: list[Seen], effects: list[Sent]) -> Books:
    return Books({one.event_id: one for one in events}, seen, [[one.event_id for one in effects]], 0, 0)


def decided(event: Sent, ce_id: str = "") -> Seen:
    return Seen(ce_id or f"of {event.event_id}", event.event_id, event.subject, 0.0)


def zeros(**more: int) -> dict[str, int]:
    names = "lost effects_missing duplicate_effects decisions_doubled orders_broken effect_orders_broken"
    return {**dict.fromkeys(names.split(), 0), **more}


FIRST, SECOND, OTHER = sent("a", 1), sent("a", 2), sent("b", 1)
NEVER_TAKEN = sent("b", 2, acknowledged=False)


@pytest.mark.parametrize(
    ("seen", "effects", "wrong"),
    [
        ([FIRST, SECOND, OTHER], [FIRST, OTHER, SECOND], {}),
        ([FIRST, FIRST, SECOND, FIRST, OTHER], [FIRST, SECOND, OTHER], {}),
        ([FIRST, SECOND], [FIRST, SECOND, OTHER], {"lost": 1}),
        ([FIRST, SECOND, OTHER], [FIRST, SECOND], {"effects_missing": 1}),
        ([FIRST, SECOND, OTHER], [FIRST, SECOND, OTHER, OTHER], {"duplicate_effects": 1}),
        ([SECOND, FIRST, OTHER], [FIRST, SECOND, OTHER], {"orders_broken": 1}),
        ([FIRST, SECOND, OTHER], [SECOND, FIRST, OTHER], {"effect_orders_broken": 1}),
    ],
)
def test_the_account_finds_what_is_missing_twice_or_out_of_order(
    seen: list[Sent], effects: list[Sent], wrong: dict[str, int]
) -> None:
    kept = books(FIRST, SECOND, OTHER, NEVER_TAKEN, seen=[decided(one) for one in seen], effects=effects)
    figures = balance(kept)
    assert {name: figures[name] for name in zeros()} == zeros(**wrong)
    assert figures["events"] == 3
    assert figures["repeated_records"] == len(seen) - len(set(map(id, seen)))


def test_two_decisions_on_one_event_are_doubled_whatever_their_ids() -> None:
    figures = balance(books(FIRST, seen=[decided(FIRST, "x"), decided(FIRST, "y")], effects=[FIRST]))
    assert figures["decisions_doubled"] == 1


def test_a_target_that_honours_keys_does_each_once_and_counts_every_call() -> None:
    account, event_id = Account(), UUID(int=1)
    done = [account.take(key, event_id) for key in ("k", "k", "other")]
    assert (done, account.calls, account.repeats) == ([True, False, True], 3, 1)
    assert account.done == [event_id, event_id]


def wound(
    part: str, *, next_at: float | None = None, longest_s: float | None = None, alone: bool = True, kind: str = "kill"
) -> Wound:
    return Wound(Fault(0, part, kind, 0, 0.0), 100.0, 110.0, next_at, longest_s, alone)


def test_a_worker_is_timed_from_its_kill_and_a_server_from_its_answer() -> None:
    leg = Leg("chaos", "chaos")
    wounds = [
        wound("worker", next_at=101, longest_s=18),
        wound("worker", next_at=107, kind="stop"),
        wound("relay", next_at=102, longest_s=16),
        wound("kafka", next_at=116),
        wound("kafka", next_at=300, alone=False),
    ]
    add_times(leg, "engine", wounds, 15)
    assert {row.case: row.figures["max_s"] for row in leg.rows} == {
        "engine: kafka killed, next decision": 6.0,
        "engine: relay killed, next decision": 2.0,
        "engine: relay killed, longest wait": 16.0,
        "engine: worker killed, next decision": 1.0,
        "engine: worker killed, longest wait": 18.0,
        "engine: worker stopped, next decision": 7.0,
    }
    assert [(target.text, target.met) for target in leg.targets] == [
        ("engine: kafka killed: p99 6.0 s from its answer, at most 5", False),
        ("engine: relay killed: p99 16 s from the kill, at most 10", False),
        ("engine: worker killed: p99 18 s from the kill, at most 20", True),
    ]


def test_the_longest_wait_counts_from_the_fault_on() -> None:
    assert longest_wait([(90, 105), (103, 111), (120, 121), (104, None)], since=100) == 8
    assert longest_wait([], since=100) is None
