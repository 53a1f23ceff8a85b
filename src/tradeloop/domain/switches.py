"""The kill switch: of one desk, or of all."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from tradeloop.domain.people import ANYWHERE, Principal, Role
from tradeloop.errors import UsageInvalid

GLOBAL: Final = "global"
DESK: Final = re.compile(r"desk:[A-Za-z0-9_.-]{1,100}")


class AskedRelease(BaseModel):
    """A release that one person asks for; a second one confirms exactly it, or it ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    release_id: UUID
    scope: str
    asked_by: str
    reason: str
    asked_at: AwareDatetime
    valid_until: AwareDatetime

    def stands(self, now: datetime) -> bool:
        """Whether it can still be confirmed."""
        return now < self.valid_until


class Switch(BaseModel):
    """How a switch stands since when; a scope that was never stopped has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    scope: str
    """`global` or `desk:NAME`."""
    stopped: bool
    changed_by: str
    reason: str
    changed_at: AwareDatetime
    asked: AskedRelease | None = None
    """The release that waits for a second person; None when nobody asks, or nobody confirmed in time."""


def may_release(principal: Principal, scope: str) -> bool:
    """Whether somebody counts as one of the two who release: an administrator, or the head of the desk.

    A desk's head is an approver whose delegation is for the desk and without a bound. Services and names that several
    people could stand behind never count.
    """
    if not principal.is_a_person:
        return False
    desk = scope.removeprefix("desk:") if scope != GLOBAL else ANYWHERE
    return principal.has(Role.ADMINISTRATOR) or any(
        principal.has(Role.APPROVER) and one.desk in (ANYWHERE, desk) and one.up_to is None
        for one in principal.delegations
    )


def scope_of(desk: str | None) -> str:
    """The scope of a desk's switch; of all desks for None.

    Raises:
        UsageInvalid: no desk can have this name.
    """
    if desk is None:
        return GLOBAL
    scope = f"desk:{desk}"
    if not DESK.fullmatch(scope):
        raise UsageInvalid(f"{desk!r} is no desk's name.", hint="tradeloop switch status lists the desks")
    return scope
