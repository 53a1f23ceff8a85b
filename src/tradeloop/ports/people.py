"""Who may act, and how they prove it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from tradeloop.domain.keys import ApiKey, NewKey, SignedIn
from tradeloop.domain.people import Principal


class People(Protocol):
    """Principals and their keys; every change is audited. The authority on roles and delegations."""

    async def find(self, name: str) -> Principal:
        """The principal of that name, active or not. Raises NotFound."""
        ...

    async def principal(self, name: str) -> Principal | None:
        """The principal of that name, active or not; None when there is none."""
        ...

    async def all(self) -> list[Principal]:
        """Everybody, by name; those who were removed, too."""
        ...

    async def add(self, principal: Principal, *, by: str) -> None:
        """Add somebody.

        Raises:
            Settled: the name is taken, in any case, also by somebody who was removed.
            UsageInvalid: name, kind and roles do not fit together.
        """
        ...

    async def change(self, principal: Principal, *, by: str) -> None:
        """Put roles, delegations and `is_active`; kind and name stay. Raises NotFound, UsageInvalid."""
        ...

    async def remove(self, name: str, *, by: str) -> int:
        """Make inactive, revoke every key, end every session; returns how many keys. Raises NotFound."""
        ...

    async def new_key(self, principal: str, *, label: str, expires_at: datetime | None, by: str) -> NewKey:
        """Make a key. Raises NotFound; Settled when the principal is inactive."""
        ...

    async def keys(self, principal: str = "") -> list[ApiKey]:
        """Keys, the newest first, of one principal or of all."""
        ...

    async def revoke_key(self, key_id: str, *, by: str) -> None:
        """End a key at once, and every session that was opened with it. Raises NotFound; Settled when it was before."""
        ...

    async def by_key(self, text: str) -> Principal:
        """Whose key this is, as they stand at this moment.

        Raises:
            Unauthenticated: unknown, revoked or expired, or its principal is inactive; says which to nobody but a log.
        """
        ...


class Sessions(Protocol):
    """Browser sessions, kept by the server, so that they can be ended there."""

    async def open(self, principal: str, *, key_id: str = "", life_s: float) -> str:
        """Begin one; returns its secret, which only the browser keeps. Raises NotFound, Settled (inactive)."""
        ...

    async def signed_in(self, secret: str, *, idle_s: float) -> SignedIn:
        """Who is behind it. Raises Unauthenticated: unknown, ended, over, not used for `idle_s`, or inactive."""
        ...

    async def close(self, secret: str) -> None:
        """End it; one that is not there is no error."""
        ...

    async def close_all(self, principal: str) -> int:
        """End every session of a principal; returns how many."""
        ...

    async def signing_key(self) -> bytes:
        """The key that cookies are signed with, 32 bytes: the same in every process of this installation."""
        ...
