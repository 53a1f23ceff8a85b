"""What every store promises about seals: nothing is sealed twice, nothing is left out, one sealer wins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tradeloop.audit.record import ZERO, entry_of
from tradeloop.audit.seal import make_seal
from tradeloop.engine.sealer import Sealer
from tradeloop.ports import SealStore, Unsealed
from tradeloop.store.audit_chain import PostgresAuditChain
from tradeloop.store.database import Database
from tradeloop.testing.audit import MemorySeals


@dataclass
class Store:
    seals: SealStore
    write: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        memory = MemorySeals()

        async def add() -> None:
            number = len(memory.waiting) + sum(len(seal.ids) for seal in memory.seals) + 1
            memory.waiting[number] = Unsealed(number, entry_of(uuid4(), 1, bytes(32)), datetime.now(UTC))

        yield Store(memory, add)
    else:
        async with Database(request.getfixturevalue("database_url"), size=2) as database:

            async def write() -> None:
                await database.rows("SELECT append_audit(gen_random_uuid(), 'k', '{}')")

            yield Store(PostgresAuditChain(database), write)


async def test_every_record_is_sealed_once_in_order_and_seals_follow_each_other(store: Store) -> None:
    assert ((await store.seals.head()).seal, (await store.seals.head()).hash) == (0, ZERO)
    for _ in range(5):
        await store.write()
    waiting = await store.seals.unsealed(3)
    assert [one.id for one in waiting] == sorted(one.id for one in waiting)
    assert await Sealer(store.seals, None, batch=2).tick() == 5
    assert await store.seals.unsealed(10) == []
    head = await store.seals.head()
    assert head.seal == 3
    assert await Sealer(store.seals, None).tick() == 0
    assert await store.seals.head() == head
    assert await store.seals.pruned_since(0) == []


async def test_a_sealer_that_was_slower_writes_nothing(store: Store) -> None:
    await store.write()
    head, waiting = await store.seals.head(), await store.seals.unsealed(9)
    mine = make_seal(waiting, head, at=datetime.now(UTC), pruned_to=0, key=None)
    theirs = make_seal(waiting, head, at=datetime.now(UTC), pruned_to=0, key=None)
    assert await store.seals.append(theirs)
    assert not await store.seals.append(mine)
    assert (await store.seals.head()).hash == theirs.hash
