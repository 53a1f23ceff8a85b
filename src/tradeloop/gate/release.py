"""The release of a stop is two people's: one asks with a reason, another one confirms exactly that."""

from __future__ import annotations

from uuid import UUID

from tradeloop.domain.people import Principal
from tradeloop.domain.switches import GLOBAL, AskedRelease, may_release
from tradeloop.errors import Forbidden, ReleaseRefused
from tradeloop.gate.look_alikes import folded
from tradeloop.ports import People, Switches


async def ask_release(
    switches: Switches, scope: str, *, by: Principal, reason: str, valid_s: float
) -> AskedRelease | None:
    """Ask that a switch be released; None when it is not stopped.

    Raises:
        Forbidden: this person does not count as one of the two.
        ReleaseRefused: somebody else asks already.
    """
    _need_right(by, scope)
    return await switches.ask_release(scope, by=by.name, reason=reason, valid_s=valid_s)


async def confirm_release(switches: Switches, people: People, release_id: UUID, *, by: Principal) -> bool:
    """Release what another person asked for; the right of both is looked up at this moment. False: they did before.

    Raises:
        Forbidden: this person does not count, or is the one who asked.
        NotFound: nobody asked for it.
        ReleaseRefused: too late, cancelled by a stop, another confirmed it, or who asked has lost the right.
    """
    asked = await switches.asked_release(release_id)
    _need_right(by, asked.scope)
    if folded(by.name) == folded(asked.asked_by):
        raise Forbidden("you asked for this release, so another person confirms it.", hint="tradeloop switch status")
    first = await people.principal(asked.asked_by)
    if first is None or not may_release(first, asked.scope):
        raise ReleaseRefused(
            f"{asked.asked_by}, who asked for it, may not release any more. Nothing was released: ask anew.",
            hint="tradeloop switch status",
        )
    return await switches.confirm_release(release_id, by=by.name)


def _need_right(by: Principal, scope: str) -> None:
    if may_release(by, scope):
        return
    what = "every desk" if scope == GLOBAL else scope.removeprefix("desk:")
    raise Forbidden(
        f"{by.name} cannot take part in the release of {what}: two administrators, or approvers of it without a bound, "
        "do, each a person with a name of their own.",
        hint="tradeloop people list",
    )
