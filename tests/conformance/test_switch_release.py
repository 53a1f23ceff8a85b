"""The release of a stop by two people: the store's rules and the gate's, in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.domain.switches import AskedRelease, Switch
from tradeloop.errors import Forbidden, NotFound, ReleaseRefused
from tradeloop.gate.release import ask_release, confirm_release
from tradeloop.testing.people import MemoryPeople
from tradeloop.testing.switches import MemorySwitches

ADA = Principal(name="ada.a", roles=frozenset({Role.ADMINISTRATOR}))
BOB = Principal(name="bob.b", roles=frozenset({Role.ADMINISTRATOR}))
HEAD = Principal(name="head.h", roles=frozenset({Role.APPROVER}), delegations=(Delegation(desk="desk"),))
PEOPLE = (ADA, BOB, HEAD)
SCOPE = "desk:desk"


@dataclass
class Desk:
    """A kill switch and those who turn it."""

    switches: Any
    people: Any

    async def stop(self, scope: str = SCOPE, by: str = "otto.o") -> bool:
        return bool(await self.switches.turn(scope, stopped=True, by=by, reason="wrong prices"))

    async def ask(self, by: Principal = ADA, scope: str = SCOPE, valid_s: float = 60) -> AskedRelease:
        asked = await ask_release(self.switches, scope, by=by, reason="right again", valid_s=valid_s)
        assert asked is not None
        return asked

    async def confirm(self, asked: AskedRelease, by: Principal = BOB) -> bool:
        return await confirm_release(self.switches, self.people, asked.release_id, by=by)

    async def stands(self, scope: str = SCOPE) -> Switch:
        return next(one for one in await self.switches.all() if one.scope == scope)


@pytest.fixture(params=["memory", "postgres"])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    if request.param == "memory":
        people = MemoryPeople()
        yield Desk(MemorySwitches(people=people), people)
        return
    from tradeloop.store.database import Database
    from tradeloop.store.people import PostgresPeople
    from tradeloop.store.switches import PostgresSwitches

    async with Database(request.getfixturevalue("database_url"), size=8) as database:
        yield Desk(PostgresSwitches(database), PostgresPeople(database))


@pytest.fixture
async def staffed(desk: Desk) -> Desk:
    for one in PEOPLE:
        await desk.people.add(one, by="tests")
    return desk


async def test_where_nobody_was_added_one_releases(desk: Desk) -> None:
    assert await desk.stop()
    await desk.people.add(Principal(name="dags", kind="service", roles=frozenset({Role.SERVICE})), by="tests")
    assert await desk.switches.turn(SCOPE, stopped=False, by="otto.o", reason="right again")
    assert (await desk.stands()).stopped is False


async def test_with_people_nobody_releases_alone(staffed: Desk) -> None:
    assert not await staffed.switches.turn(SCOPE, stopped=False, by="ada.a", reason="was never stopped")
    await staffed.stop()
    with pytest.raises(Forbidden, match="two of them"):
        await staffed.switches.turn(SCOPE, stopped=False, by="ada.a", reason="right again")
    asked = await staffed.ask()
    with pytest.raises(Forbidden, match="another person"):
        await staffed.confirm(asked, ADA)
    with pytest.raises(Forbidden, match="another person"):
        await staffed.switches.confirm_release(asked.release_id, by="ADA.A")
    found = await staffed.stands()
    assert (found.stopped, found.asked) == (True, asked)


async def test_one_asks_and_another_confirms_and_a_repeated_confirmation_changes_nothing(staffed: Desk) -> None:
    await staffed.stop()
    asked = await staffed.ask()
    assert await staffed.confirm(asked)
    found = await staffed.stands()
    assert (found.stopped, found.changed_by, found.reason, found.asked) == (
        False,
        "ada.a and bob.b",
        "right again",
        None,
    )
    await staffed.stop()
    assert not await staffed.confirm(asked), "the old one releases no new stop"
    assert (await staffed.stands()).stopped
    with pytest.raises(ReleaseRefused, match=r"bob\.b confirmed it"):
        await staffed.confirm(asked, HEAD)


@pytest.mark.parametrize(
    "who",
    [
        Principal(name="carl.v", roles=frozenset({Role.VIEWER, Role.OPERATOR})),
        Principal(name="dags", kind="service", roles=frozenset({Role.SERVICE, Role.ADMINISTRATOR})),
        Principal(name="admin", roles=frozenset({Role.ADMINISTRATOR})),
        Principal(name="gone.g", roles=frozenset({Role.ADMINISTRATOR}), is_active=False),
        HEAD.model_copy(update={"delegations": (Delegation(desk="other"),)}),
        HEAD.model_copy(update={"delegations": (Delegation(desk="desk", up_to=5),)}),
        HEAD.model_copy(update={"roles": frozenset({Role.VIEWER})}),
    ],
    ids=["no role", "service", "shared name", "inactive", "other desk", "bounded", "role lost"],
)
async def test_who_does_not_count_neither_asks_nor_confirms(staffed: Desk, who: Principal) -> None:
    await staffed.stop()
    with pytest.raises(Forbidden, match="cannot take part"):
        await staffed.ask(who)
    asked = await staffed.ask()
    with pytest.raises(Forbidden, match="cannot take part"):
        await staffed.confirm(asked, who)
    assert (await staffed.stands()).stopped


async def test_the_head_of_a_desk_counts_for_it_and_not_for_all(staffed: Desk) -> None:
    await staffed.stop()
    await staffed.stop("global")
    with pytest.raises(Forbidden, match="every desk"):
        await staffed.ask(HEAD, "global")
    assert await staffed.confirm(await staffed.ask(HEAD), ADA)


async def test_who_asked_and_lost_the_right_since_counts_no_more(staffed: Desk) -> None:
    await staffed.stop()
    asked = await staffed.ask()
    await staffed.people.change(ADA.model_copy(update={"roles": frozenset({Role.VIEWER})}), by="tests")
    with pytest.raises(ReleaseRefused, match="may not release any more"):
        await staffed.confirm(asked)
    assert (await staffed.stands()).stopped


async def test_a_release_that_nobody_confirms_in_time_is_void(staffed: Desk) -> None:
    await staffed.stop()
    asked = await staffed.ask(valid_s=0.05)
    await asyncio.sleep(0.1)
    assert (await staffed.stands()).asked is None
    for _ in range(2):
        with pytest.raises(ReleaseRefused, match="nobody confirmed"):
            await staffed.confirm(asked)
    assert (await staffed.ask(BOB)).asked_by == "bob.b"
    assert not await staffed.stop() or (await staffed.stands()).stopped


async def test_a_new_stop_makes_a_release_void(staffed: Desk) -> None:
    assert await staffed.stop()
    asked = await staffed.ask()
    assert await staffed.stop(by="ben.o"), "a stop that ends a release is a new one"
    found = await staffed.stands()
    assert (found.changed_by, found.asked) == ("ben.o", None)
    with pytest.raises(ReleaseRefused, match=r"ben\.o stopped"):
        await staffed.confirm(asked)
    assert not await staffed.stop(), "nothing asks any more: it stood so already"
    asked = await staffed.ask()
    assert await staffed.stop("global"), "the first stop of all makes every release void"
    with pytest.raises(ReleaseRefused):
        await staffed.confirm(asked)


async def test_one_release_at_a_time_waits_and_its_own_wish_can_be_renewed(staffed: Desk) -> None:
    assert await staffed.switches.ask_release(SCOPE, by="ada.a", reason="r", valid_s=60) is None
    await staffed.stop()
    asked = await staffed.ask()
    with pytest.raises(ReleaseRefused, match=r"ada\.a asks for this release already"):
        await staffed.ask(BOB)
    renewed = await staffed.ask()
    assert renewed.release_id != asked.release_id
    with pytest.raises(ReleaseRefused, match="void"):
        await staffed.confirm(asked)
    assert await staffed.confirm(renewed)
    assert await staffed.switches.ask_release(SCOPE, by="ada.a", reason="r", valid_s=60) is None
    with pytest.raises(NotFound):
        await confirm_release(staffed.switches, staffed.people, uuid4(), by=BOB)
    with pytest.raises(NotFound):
        await staffed.switches.confirm_release(uuid4(), by="bob.b")


async def test_of_confirmations_at_once_one_releases(staffed: Desk) -> None:
    voters = [Principal(name=f"v{n}.v", roles=frozenset({Role.ADMINISTRATOR})) for n in range(6)]
    for one in voters:
        await staffed.people.add(one, by="tests")
    await staffed.stop()
    asked = await staffed.ask()
    told = await asyncio.gather(*(staffed.confirm(asked, one) for one in voters), return_exceptions=True)
    assert Counter(type(one).__name__ for one in told) == {"bool": 1, "ReleaseRefused": 5}
    assert (await staffed.stands()).stopped is False


async def test_a_stop_during_a_release_is_never_lost(staffed: Desk) -> None:
    for _ in range(12):
        await staffed.stop()
        asked = await staffed.ask()
        confirmed, stopped = await asyncio.gather(
            staffed.confirm(asked), staffed.stop(by="ben.o"), return_exceptions=True
        )
        assert stopped is True, "either it ends the release, or it stops what was released"
        assert confirmed is True or isinstance(confirmed, ReleaseRefused)
        found = await staffed.stands()
        assert (found.stopped, found.changed_by, found.asked) == (True, "ben.o", None)


async def test_every_turn_of_a_release_is_audited(database_url: str) -> None:
    from tradeloop.store.database import Database
    from tradeloop.store.people import PostgresPeople
    from tradeloop.store.switches import STREAM, PostgresSwitches

    async with Database(database_url, size=2) as database:
        desk = Desk(PostgresSwitches(database), PostgresPeople(database))
        for one in PEOPLE:
            await desk.people.add(one, by="tests")
        await desk.stop()
        await desk.ask()
        await desk.stop()
        await desk.ask(valid_s=0.001)
        await asyncio.sleep(0.02)
        await desk.confirm(await desk.ask(BOB), ADA)
        rows = await database.rows("SELECT kind, body FROM audit_records WHERE stream_id = %s ORDER BY n", (STREAM,))
    assert [row["kind"].removeprefix("switch_") for row in rows] == [
        "stopped", "release_asked", "release_cancelled", "stopped", "release_asked", "release_expired",
        "release_asked", "released",
    ]  # fmt: skip
    assert (rows[-1]["body"]["asked_by"], rows[-1]["body"]["by"]) == ("bob.b", "ada.a")
    assert rows[-2]["body"]["reason"] == "right again"
