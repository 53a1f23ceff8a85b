"""The kill switch: of one desk, or of all."""

from __future__ import annotations

import re
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict

from tradeloop.errors import UsageInvalid

GLOBAL: Final = "global"
DESK: Final = re.compile(r"desk:[A-Za-z0-9_.-]{1,100}")


class Switch(BaseModel):
    """How a switch stands since when; a scope that was never stopped has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    scope: str
    """`global` or `desk:NAME`."""
    stopped: bool
    changed_by: str
    reason: str
    changed_at: AwareDatetime


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
