"""Who asks."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from fastapi import Request
from pydantic import AwareDatetime, BaseModel

from tradeloop.api.identity import caller_of
from tradeloop.api.router import new_router, reading
from tradeloop.domain.people import Role

router = new_router("me")


class MayRelease(BaseModel):
    """Authority over a desk's actions."""

    desk: str
    """`*`: every desk."""
    up_to: str | None
    """An amount as decimal text; null: any."""
    currency: str
    """Empty: any."""


class Me(BaseModel):
    """The caller, as they stand at this moment."""

    name: str
    kind: Literal["person", "service"]
    roles: list[Role]
    delegations: list[MayRelease]
    by: Literal["key", "token", "session"]
    signed_in_at: AwareDatetime | None


def amount_text(amount: Decimal | None) -> str | None:
    """An amount as JSON has it: text, so that no reader rounds it."""
    return None if amount is None else f"{amount:f}"


@router.get("/me", responses=reading())
async def get_me(request: Request) -> Me:
    """Who the caller is, and what they may."""
    caller = await caller_of(request)
    return Me(
        name=caller.principal.name,
        kind=caller.principal.kind,
        roles=sorted(caller.principal.roles),
        delegations=[
            MayRelease(desk=one.desk, up_to=amount_text(one.up_to), currency=one.currency)
            for one in caller.principal.delegations
        ],
        by=caller.by,
        signed_in_at=caller.signed_in_at,
    )
