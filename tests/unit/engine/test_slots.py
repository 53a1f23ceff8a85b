"""The division of a worker's slots among desks."""

from __future__ import annotations

import random

from tradeloop.engine.slots import Slots


def test_one_desk_alone_gets_every_slot() -> None:
    assert Slots(8, ["a"]).for_arrivals({"a": 100}) == {"a": 8}


def test_no_desk_gets_more_than_it_has_runs() -> None:
    assert Slots(8, ["a", "b"]).for_arrivals({"a": 2, "b": 100}) == {"a": 2, "b": 6}


def test_a_flood_leaves_a_slot_free_for_each_other_desk() -> None:
    slots = Slots(8, ["flood", "b", "c"])
    given = slots.for_arrivals({"flood": 100})
    assert given == {"flood": 6}
    for _ in range(given["flood"]):
        slots.take("flood")
    assert slots.for_arrivals({"flood": 100, "b": 1, "c": 1}) == {"flood": 0, "b": 1, "c": 1}


def test_many_desks_with_few_slots_keep_no_more_than_a_quarter_idle() -> None:
    slots = Slots(8, [f"desk-{number}" for number in range(20)])
    given = slots.for_arrivals({"desk-0": 100})
    assert given == {"desk-0": 6}
    assert Slots(4, ["a", "b", "c", "d"]).for_arrivals({"a": 100}) == {"a": 3}
    assert Slots(2, ["a", "b", "c"]).for_arrivals({"a": 100}) == {"a": 1}


def test_what_is_free_goes_to_the_desk_that_holds_the_fewest() -> None:
    slots = Slots(10, ["a", "b"])
    for _ in range(4):
        slots.take("a")
    assert slots.for_arrivals({"a": 100, "b": 100}) == {"a": 1, "b": 5}


def test_a_single_slot_serves_every_desk_in_turn() -> None:
    slots = Slots(1, ["a", "b"])
    assert sum(slots.for_arrivals({"a": 1, "b": 1}).values()) == 1


def test_with_fewer_slots_than_desks_each_is_asked_for_in_its_turn() -> None:
    slots = Slots(1, ["marketdata", "prices", "trades"])
    asked = [next(desk for desk, count in slots.for_claims().items() if count) for _ in range(6)]
    assert asked[:3] == asked[3:]
    assert set(asked) == {"marketdata", "prices", "trades"}


def test_a_desk_that_waits_for_its_turn_is_asked_at_once_after_one_that_had_nothing() -> None:
    slots = Slots(1, ["marketdata", "prices"])
    slots.accepted({"prices": 2}, {})
    turns = 1
    while not (quotas := slots.for_claims())["prices"]:
        assert slots.claimed(quotas, {})
        turns += 1
    assert turns <= 2
    assert not slots.claimed(quotas, {})


def test_promised_slots_are_not_given_twice() -> None:
    slots = Slots(4, ["a"])
    with slots.promise(3):
        assert slots.for_arrivals({"a": 9}) == {"a": 1}
    assert slots.for_arrivals({"a": 9}) == {"a": 4}


def test_arrivals_of_a_desk_with_older_runs_wait_behind_them() -> None:
    slots = Slots(4, ["a", "b"])
    slots.accepted({"a": 5}, {"a": 3})
    assert slots.is_behind
    assert slots.for_arrivals({"a": 1, "b": 1}) == {"b": 1}
    asked = slots.for_claims()
    assert asked == {"a": 3, "b": 1}
    slots.claimed(asked, {"a": 3})
    assert slots.for_claims()["a"] == 3
    slots.claimed(asked, {"a": 2})
    assert not slots.is_behind
    assert slots.for_claims() == {"a": 1, "b": 1}


def test_a_desk_that_could_not_be_asked_is_still_behind() -> None:
    slots = Slots(2, ["a", "b"])
    slots.accepted({"a": 5}, {})
    slots.take("a")
    asked = slots.for_claims()
    assert asked == {"a": 0, "b": 1}
    slots.claimed(asked, {})
    assert slots.is_behind


def test_slots_never_go_below_none_and_never_above_their_number() -> None:
    dice = random.Random(7)
    for _ in range(300):
        desks = [f"d{n}" for n in range(dice.randint(1, 5))]
        slots = Slots(dice.randint(1, 12), desks)
        for _ in range(dice.randint(0, 10)):
            slots.take(dice.choice(desks))
        free = slots.free
        demand = {desk: dice.randint(0, 20) for desk in desks}
        given = slots.for_arrivals(demand)
        assert sum(given.values()) <= free
        assert all(0 <= given[desk] <= demand[desk] for desk in desks)
