"""What every store of people promises: names, roles, keys that are shown once, sessions that can be ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.errors import NotFound, Settled, Unauthenticated, UsageInvalid
from tradeloop.testing.people import MemoryPeople

ANNA = Principal(
    name="anna.k",
    roles=frozenset({Role.VIEWER, Role.APPROVER}),
    delegations=(Delegation(desk="fx", up_to=Decimal("1000000.50"), currency="EUR"), Delegation(desk="rates")),
)


@dataclass
class Store:
    people: Any
    sessions: Any
    audited: Callable[[], Awaitable[list[tuple[str, str, str]]]]
    """Kind, name or key, who."""


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        memory = MemoryPeople()

        async def kept() -> list[tuple[str, str, str]]:
            return memory.audit

        yield Store(memory, memory, kept)
        return
    from tradeloop.store.database import Database
    from tradeloop.store.people import STREAM, PostgresPeople
    from tradeloop.store.sessions import PostgresSessions

    async with Database(request.getfixturevalue("database_url"), size=4) as database:

        async def audited() -> list[tuple[str, str, str]]:
            rows = await database.rows("SELECT kind, body FROM audit WHERE stream_id = %s ORDER BY n", (STREAM,))
            return [(row["kind"], row["body"].get("key_id") or row["body"]["name"], row["body"]["by"]) for row in rows]

        yield Store(PostgresPeople(database), PostgresSessions(database), audited)


async def test_a_principal_comes_back_as_it_was_added(store: Store) -> None:
    await store.people.add(ANNA, by="root.r")

    assert await store.people.find("anna.k") == ANNA
    assert await store.people.all() == [ANNA]
    assert await store.audited() == [("principal_added", "anna.k", "root.r")]
    assert await store.people.principal("anna.k") == ANNA
    assert await store.people.principal("ben.o") is None
    with pytest.raises(NotFound):
        await store.people.find("ben.o")


async def test_a_name_is_given_once_whatever_its_case_and_fate(store: Store) -> None:
    await store.people.add(ANNA, by="x")
    await store.people.remove("anna.k", by="x")

    with pytest.raises(Settled):
        await store.people.add(Principal(name="Anna.K"), by="x")


@pytest.mark.parametrize(
    "principal",
    [
        Principal(name="admin", roles=frozenset({Role.APPROVER})),
        Principal(name="Anonymous"),
        Principal(name="аnna.k"),  # a Cyrillic a
        Principal(name="anna k"),
        Principal(name="bot", kind="service", roles=frozenset({Role.APPROVER})),
        Principal(name="bot", kind="service", roles=frozenset({Role.ADMINISTRATOR})),
        Principal(name="anna", roles=frozenset({Role.SERVICE})),
        Principal(name="anna", roles=frozenset({Role.VIEWER}), delegations=(Delegation(),)),
    ],
    ids=lambda one: f"{one.name}-{one.kind}",
)
async def test_what_does_not_fit_is_refused(store: Store, principal: Principal) -> None:
    with pytest.raises(UsageInvalid):
        await store.people.add(principal, by="x")
    assert await store.people.all() == []


async def test_roles_and_delegations_are_changed_at_once(store: Store) -> None:
    await store.people.add(ANNA, by="x")
    key = await store.people.new_key("anna.k", label="", expires_at=None, by="x")
    changed = ANNA.model_copy(update={"roles": frozenset({Role.VIEWER}), "delegations": ()})

    await store.people.change(changed, by="root.r")

    assert await store.people.by_key(key.text) == changed
    with pytest.raises(NotFound):
        await store.people.change(Principal(name="ben.o"), by="x")
    with pytest.raises(NotFound):
        await store.people.change(Principal(name="anna.k", kind="service"), by="x")


async def test_a_key_opens_until_it_is_revoked(store: Store) -> None:
    await store.people.add(ANNA, by="x")
    made = await store.people.new_key("anna.k", label="laptop", expires_at=None, by="root.r")

    assert await store.people.by_key(made.text) == ANNA
    (kept,) = await store.people.keys("anna.k")
    assert (kept.label, kept.created_by, kept.state_at(datetime.now(UTC))) == ("laptop", "root.r", "live")
    assert kept.last_used_at is not None
    await store.people.revoke_key(made.key.key_id, by="ben.o")
    with pytest.raises(Unauthenticated):
        await store.people.by_key(made.text)
    with pytest.raises(Settled):
        await store.people.revoke_key(made.key.key_id, by="ben.o")
    with pytest.raises(NotFound):
        await store.people.revoke_key("000000000000", by="ben.o")
    assert [(kind, who) for kind, _, who in await store.audited()][1:] == [
        ("key_made", "root.r"),
        ("key_revoked", "ben.o"),
    ]


async def test_another_secret_under_a_known_id_opens_nothing(store: Store) -> None:
    await store.people.add(ANNA, by="x")
    made = await store.people.new_key("anna.k", label="", expires_at=None, by="x")

    for wrong in (
        made.text[:-1] + ("A" if made.text[-1] != "A" else "B"),
        made.text + "A",
        "",
        "tlk_",
        made.text.upper(),
    ):
        with pytest.raises(Unauthenticated):
            await store.people.by_key(wrong)


async def test_an_expired_key_and_one_of_the_inactive_open_nothing(store: Store) -> None:
    await store.people.add(ANNA, by="x")
    over = await store.people.new_key("anna.k", label="", expires_at=datetime.now(UTC) - timedelta(seconds=1), by="x")
    good = await store.people.new_key("anna.k", label="", expires_at=datetime.now(UTC) + timedelta(days=1), by="x")

    with pytest.raises(Unauthenticated, match="expired"):
        await store.people.by_key(over.text)
    await store.people.change(ANNA.model_copy(update={"is_active": False}), by="x")
    with pytest.raises(Unauthenticated, match="inactive"):
        await store.people.by_key(good.text)
    with pytest.raises(Settled):
        await store.people.new_key("anna.k", label="", expires_at=None, by="x")
    with pytest.raises(NotFound):
        await store.people.new_key("ben.o", label="", expires_at=None, by="x")


async def test_removal_ends_keys_and_sessions(store: Store) -> None:
    await store.people.add(ANNA, by="x")
    key = await store.people.new_key("anna.k", label="", expires_at=None, by="x")
    session = await store.sessions.open("anna.k", life_s=60)

    assert await store.people.remove("anna.k", by="x") == 1

    with pytest.raises(Unauthenticated):
        await store.people.by_key(key.text)
    with pytest.raises(Unauthenticated):
        await store.sessions.signed_in(session, idle_s=60)
    with pytest.raises(NotFound):
        await store.people.remove("ben.o", by="x")


async def test_a_session_holds_until_it_is_closed(store: Store) -> None:
    await store.people.add(ANNA, by="x")
    one, other = [await store.sessions.open("anna.k", life_s=60) for _ in range(2)]

    found = await store.sessions.signed_in(one, idle_s=60)
    assert found.principal == ANNA
    assert abs((datetime.now(UTC) - found.signed_in_at).total_seconds()) < 30
    await store.sessions.close(one)
    await store.sessions.close("never there")
    with pytest.raises(Unauthenticated):
        await store.sessions.signed_in(one, idle_s=60)
    assert await store.sessions.close_all("anna.k") == 1
    with pytest.raises(Unauthenticated):
        await store.sessions.signed_in(other, idle_s=60)


async def test_a_session_ends_with_its_time_its_key_and_its_rest(store: Store) -> None:
    await store.people.add(ANNA, by="x")
    key = await store.people.new_key("anna.k", label="", expires_at=None, by="x")
    over = await store.sessions.open("anna.k", life_s=0)
    of_key = await store.sessions.open("anna.k", key_id=key.key.key_id, life_s=60)
    idle = await store.sessions.open("anna.k", life_s=60)
    await asyncio.sleep(0.01)

    await store.people.revoke_key(key.key.key_id, by="x")

    for secret, idle_s in ((over, 60), (of_key, 60), (idle, 0)):
        with pytest.raises(Unauthenticated):
            await store.sessions.signed_in(secret, idle_s=idle_s)
    with pytest.raises(NotFound):
        await store.sessions.open("ben.o", life_s=60)


async def test_the_signing_key_is_the_same_for_all(store: Store) -> None:
    keys = await asyncio.gather(*[store.sessions.signing_key() for _ in range(8)])

    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
