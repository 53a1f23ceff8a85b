"""Who acts: people and services, their roles, and what an approver may release."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tradeloop.errors import UsageInvalid

ANYWHERE: Final = "*"
"""In place of a desk's name: every desk."""
SERVICE_NAMES: Final = frozenset({"anonymous", "tradeloop", "airflow", "admin", "root", "system"})
"""Names that several people could stand behind: none of them is a person who can answer."""

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+'-]{0,199}")
"""Of whoever is added: plain letters, so that no two names look alike."""


class Role(StrEnum):
    """What a principal may do; they do not include one another."""

    VIEWER = "viewer"
    """Reads."""
    OPERATOR = "operator"
    """Stops desks, replays dead letters, cancels runs, settles unknown outcomes."""
    APPROVER = "approver"
    """Answers approvals, within its delegations; one of the two who release its desks, where they have no bound."""
    ADMINISTRATOR = "administrator"
    """Manages people and keys, is one of the two who release switches. Approves nothing by this role."""
    SERVICE = "service"
    """A program: triggers workflows and reads what became of them. Approves nothing, whatever else it is given."""


Amount = Annotated[Decimal, BeforeValidator(lambda value: Decimal(str(value)) if isinstance(value, int) else value)]


class Delegation(BaseModel):
    """Authority to release actions of a desk, up to an amount."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    desk: str = Field(default=ANYWHERE, min_length=1, max_length=100)
    up_to: Amount | None = None
    """Of one action, in the action's own currency; None: any amount."""
    currency: str = Field(default="", pattern=r"^([A-Z]{3})?$")
    """Only for amounts in this currency; empty: any."""


class Principal(BaseModel):
    """An authenticated identity, as it stands at this moment."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(min_length=1, max_length=200)
    """The login name, unique; what every record names."""
    kind: Literal["person", "service"] = "person"
    roles: frozenset[Role] = frozenset()
    delegations: tuple[Delegation, ...] = ()
    is_active: bool = True

    def has(self, *roles: Role) -> bool:
        """Whether it is active and has one of the roles."""
        return self.is_active and not self.roles.isdisjoint(roles)

    @property
    def is_a_person(self) -> bool:
        """Whether it is an active person with a name of their own."""
        has_own_name = NAME.fullmatch(self.name) is not None and self.name.lower() not in SERVICE_NAMES
        return self.kind == "person" and self.is_active and has_own_name

    @property
    def can_answer(self) -> bool:
        """Whether it can be a decision-maker at all: an active person with a name of their own, and the role."""
        return self.is_a_person and self.has(Role.APPROVER)

    def may_release(self, desk: str, amount: Decimal | None, currency: str = "") -> bool:
        """Whether a delegation covers an action of the desk. An action without amount needs one for the desk alone."""
        return self.can_answer and any(
            one.desk in (ANYWHERE, desk)
            and (amount is None or ((not one.currency or one.currency == currency) and _within(amount, one.up_to)))
            for one in self.delegations
        )


def _within(amount: Decimal, up_to: Decimal | None) -> bool:
    return up_to is None or abs(amount) <= up_to


def fitting(principal: Principal) -> Principal:
    """The principal, when name, kind and roles fit together.

    Raises:
        UsageInvalid: the name has other letters or is one that several people stand behind; a service would approve or
            administrate, a person would be a service.
    """
    if not NAME.fullmatch(principal.name):
        raise UsageInvalid(
            f"{principal.name!r} is no name: up to 200 of a-z, 0-9 and . _ @ + ' - are expected, a letter or digit "
            "first."
        )
    if principal.name.lower() in SERVICE_NAMES:
        raise UsageInvalid(f"{principal.name!r} could be several people: a name of their own is expected.")
    wrong = {"service": {Role.APPROVER, Role.ADMINISTRATOR}, "person": {Role.SERVICE}}[principal.kind] & principal.roles
    if wrong:
        raise UsageInvalid(f"a {principal.kind} cannot be {', '.join(sorted(wrong))}.")
    if principal.delegations and Role.APPROVER not in principal.roles:
        raise UsageInvalid("delegations are for approvers: add the role approver, or leave them out.")
    return principal
