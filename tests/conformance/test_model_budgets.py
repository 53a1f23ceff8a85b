"""What every keeper of models' budgets promises: nothing is overspent, whoever races."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from tradeloop.ports import Budgets, Limits, ModelCall, Used
from tradeloop.testing.budgets import MemoryBudgets

NO_LIMIT = Limits()


@pytest.fixture(params=["memory", "postgres"])
async def budgets(request: pytest.FixtureRequest) -> AsyncIterator[Budgets]:
    if request.param == "memory":
        yield MemoryBudgets()
        return
    from tradeloop.store.budgets import PostgresBudgets
    from tradeloop.store.database import Database

    async with Database(request.getfixturevalue("database_url"), size=8) as database:
        yield PostgresBudgets(database)


def call(tokens: int = 100, cost: str = "0.5", *, run: UUID | None = None, desk: str = "settlement") -> ModelCall:
    return ModelCall(
        call_id=uuid4(), run_id=run or uuid4(), desk=desk, model="ollama:x", tokens=tokens, cost=Decimal(cost)
    )


async def test_a_reservation_counts_in_full_until_it_is_settled(budgets: Budgets) -> None:
    one = call(100, "0.5")

    assert await budgets.reserve(one, NO_LIMIT) == ""
    assert await budgets.used_today() == Used(100, Decimal("0.5"))
    assert await budgets.used_today("settlement") == Used(100, Decimal("0.5"))
    assert await budgets.used_today("marketdata") == Used(0, Decimal(0))

    await budgets.settle(one.call_id, Used(30, Decimal("0.125")))
    assert await budgets.used_today() == await budgets.used_today("settlement") == Used(30, Decimal("0.125"))


async def test_a_second_settlement_changes_nothing_and_an_unknown_call_neither(budgets: Budgets) -> None:
    one = call(100)
    await budgets.reserve(one, NO_LIMIT)

    await budgets.settle(one.call_id, Used(10, Decimal(0)))
    await budgets.settle(one.call_id, Used(99, Decimal(9)))
    await budgets.settle(uuid4(), Used(99, Decimal(9)))

    assert await budgets.used_today() == Used(10, Decimal(0))


async def test_a_call_of_which_nobody_can_tell_stays_as_it_was_reserved(budgets: Budgets) -> None:
    one = call(100, "0.5")
    await budgets.reserve(one, NO_LIMIT)

    await budgets.settle(one.call_id, None)
    await budgets.settle(one.call_id, Used(1, Decimal(0)))

    assert await budgets.used_today() == Used(100, Decimal("0.5"))


async def test_a_call_may_use_more_than_it_reserved(budgets: Budgets) -> None:
    one = call(10, "0")
    await budgets.reserve(one, Limits(day_tokens=20))
    await budgets.settle(one.call_id, Used(25, Decimal("0.1")))

    assert await budgets.used_today() == Used(25, Decimal("0.1"))
    assert await budgets.reserve(call(1, "0"), Limits(day_tokens=20)) == "day_tokens"


@pytest.mark.parametrize(
    ("limits", "same_run", "same_desk"),
    [
        (Limits(run_tokens=150), True, True),
        (Limits(desk_tokens=150), False, True),
        (Limits(day_tokens=150), False, False),
        (Limits(run_cost=Decimal("0.9")), True, True),
        (Limits(desk_cost=Decimal("0.9")), False, True),
        (Limits(day_cost=Decimal("0.9")), False, False),
    ],
)
async def test_each_limit_holds_its_own_scope_and_a_refused_call_counts_nothing(
    budgets: Budgets, limits: Limits, same_run: bool, same_desk: bool
) -> None:
    run = uuid4()
    name = next(iter(limits.model_fields_set))

    assert await budgets.reserve(call(run=run), limits) == ""
    assert await budgets.reserve(call(run=run), limits) == name
    another = call(run=run if same_run else uuid4(), desk="settlement" if same_desk else "marketdata")
    assert await budgets.reserve(another, limits) == name
    assert await budgets.used_today() == Used(100, Decimal("0.5"))
    elsewhere = call(run=uuid4(), desk="risk")
    assert await budgets.reserve(elsewhere, limits) == (name if name.startswith("day") else "")


async def test_the_last_token_may_be_used(budgets: Budgets) -> None:
    assert await budgets.reserve(call(100, "0.5"), Limits(run_tokens=100, run_cost=Decimal("0.5"))) == ""


@pytest.mark.parametrize("scope", ["run", "desk", "day"])
async def test_racing_reservations_cannot_overspend(budgets: Budgets, scope: str) -> None:
    run = uuid4()
    limits = Limits(**{f"{scope}_tokens": 1000})

    async def spend(n: int) -> str:
        desk = f"desk{n % 3}" if scope == "day" else "settlement"
        one = call(100, "0", run=run if scope == "run" else uuid4(), desk=desk)
        refusal = await budgets.reserve(one, limits)
        assert (await budgets.used_today()).tokens <= 1000
        return refusal

    refusals = await asyncio.gather(*(spend(n) for n in range(40)))

    assert sum(not one for one in refusals) == 10
    assert {one for one in refusals if one} == {f"{scope}_tokens"}
    assert (await budgets.used_today()).tokens == 1000


async def test_races_of_reservations_and_settlements_end_in_the_sum(budgets: Budgets) -> None:
    async def use(n: int) -> None:
        one = call(1000, "1", desk=f"desk{n % 4}")
        assert await budgets.reserve(one, NO_LIMIT) == ""
        await budgets.settle(one.call_id, Used(n, Decimal(n) / 1000))

    await asyncio.gather(*(use(n) for n in range(60)))

    assert await budgets.used_today() == Used(sum(range(60)), Decimal(sum(range(60))) / 1000)
    of_desks = [await budgets.used_today(f"desk{n}") for n in range(4)]
    assert sum(one.tokens for one in of_desks) == sum(range(60))
