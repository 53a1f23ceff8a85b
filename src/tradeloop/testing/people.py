"""Principals, keys and sessions in memory."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tradeloop.domain.keys import (
    SECRET_BYTES,
    ApiKey,
    NewKey,
    SignedIn,
    digest_of_secret,
    key_id_of,
    new_key_text,
)
from tradeloop.domain.people import Principal, fitting
from tradeloop.errors import NotFound, Settled, Unauthenticated


@dataclass
class MemoryPeople:
    """ports.People and ports.Sessions."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    audit: list[tuple[str, str, str]] = field(default_factory=list)
    """Kind, name or key, who."""
    _people: dict[str, Principal] = field(default_factory=dict)
    _keys: dict[str, tuple[ApiKey, bytes]] = field(default_factory=dict)
    _sessions: dict[bytes, tuple[str, str, datetime, datetime, datetime]] = field(default_factory=dict)
    _signing: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES))

    async def find(self, name: str) -> Principal:
        """The principal of that name."""
        if name not in self._people:
            raise NotFound(f"there is nobody called {name!r}.")
        return self._people[name]

    async def principal(self, name: str) -> Principal | None:
        """The principal of that name; None when there is none."""
        return self._people.get(name)

    async def all(self) -> list[Principal]:
        """Everybody, by name."""
        return [self._people[name] for name in sorted(self._people)]

    async def add(self, principal: Principal, *, by: str) -> None:
        """Add somebody."""
        if fitting(principal).name.lower() in {name.lower() for name in self._people}:
            raise Settled(f"the name {principal.name!r} is taken.")
        self._people[principal.name] = principal
        self.audit.append(("principal_added", principal.name, by))

    async def change(self, principal: Principal, *, by: str) -> None:
        """Put roles, delegations and `is_active`."""
        former = await self.find(fitting(principal).name)
        if former.kind != principal.kind:
            raise NotFound(f"there is nobody called {principal.name!r}.")
        self._people[principal.name] = principal
        self.audit.append(("principal_changed", principal.name, by))

    async def remove(self, name: str, *, by: str) -> int:
        """Make inactive, revoke every key, end every session."""
        former = await self.find(name)
        self._people[name] = former.model_copy(update={"is_active": False})
        live = [key for key, _ in self._keys.values() if key.principal == name and not key.revoked_at]
        for key in live:
            self._end(key, by)
        await self.close_all(name)
        self.audit.append(("principal_removed", name, by))
        return len(live)

    async def new_key(self, principal: str, *, label: str, expires_at: datetime | None, by: str) -> NewKey:
        """Make a key."""
        if not (await self.find(principal)).is_active:
            raise Settled(f"{principal} is inactive.")
        key_id, text = new_key_text()
        key = ApiKey(key_id, principal, label, by, self.now(), expires_at)
        self._keys[key_id] = (key, digest_of_secret(text))
        self.audit.append(("key_made", key_id, by))
        return NewKey(key, text)

    async def keys(self, principal: str = "") -> list[ApiKey]:
        """Keys, the newest first."""
        return [key for key, _ in reversed(self._keys.values()) if principal in ("", key.principal)]

    async def revoke_key(self, key_id: str, *, by: str) -> None:
        """End a key at once."""
        if key_id not in self._keys:
            raise NotFound(f"there is no key {key_id!r}.")
        if self._keys[key_id][0].revoked_at:
            raise Settled(f"key {key_id} was revoked before.")
        self._end(self._keys[key_id][0], by)
        self.audit.append(("key_revoked", key_id, by))

    async def by_key(self, text: str) -> Principal:
        """Whose key this is."""
        key, kept = self._keys.get(key_id_of(text), (None, b""))
        if key is None or not hmac.compare_digest(kept, digest_of_secret(text)):
            raise Unauthenticated("the key is unknown.", where="key_unknown")
        if (state := key.state_at(self.now())) != "live":
            raise Unauthenticated(f"the key is {state}.", where=f"key_{state}")
        principal = self._people[key.principal]
        if not principal.is_active:
            raise Unauthenticated("the key's owner is inactive.", where="inactive")
        self._keys[key.key_id] = (replace(key, last_used_at=self.now()), kept)
        return principal

    async def open(self, principal: str, *, key_id: str = "", life_s: float) -> str:
        """Begin a session."""
        if not (await self.find(principal)).is_active:
            raise Settled(f"{principal} is inactive.")
        secret, now = secrets.token_urlsafe(SECRET_BYTES), self.now()
        self._sessions[digest_of_secret(secret)] = (principal, key_id, now, now, now + timedelta(seconds=life_s))
        return secret

    async def signed_in(self, secret: str, *, idle_s: float) -> SignedIn:
        """Who is behind a session."""
        digest, now = digest_of_secret(secret), self.now()
        name, key_id, signed_in_at, seen_at, expires_at = self._sessions.get(digest, ("", "", now, now, now))
        is_idle = seen_at + timedelta(seconds=idle_s) <= now
        if expires_at <= now or is_idle or not self._people[name].is_active:
            raise Unauthenticated("the session is over: sign in again.", where="session_over")
        self._sessions[digest] = (name, key_id, signed_in_at, now, expires_at)
        return SignedIn(self._people[name], signed_in_at, expires_at)

    async def close(self, secret: str) -> None:
        """End a session."""
        self._sessions.pop(digest_of_secret(secret), None)

    async def close_all(self, principal: str) -> int:
        """End every session of a principal."""
        return self._drop_sessions(lambda name, _: name == principal)

    async def signing_key(self) -> bytes:
        """The key that cookies are signed with."""
        return self._signing

    def _end(self, key: ApiKey, by: str) -> None:
        self._keys[key.key_id] = (replace(key, revoked_at=self.now(), revoked_by=by), self._keys[key.key_id][1])
        self._drop_sessions(lambda _, key_id: key_id == key.key_id)

    def _drop_sessions(self, is_meant: Callable[[str, str], bool]) -> int:
        gone = [digest for digest, one in self._sessions.items() if is_meant(one[0], one[1])]
        for digest in gone:
            del self._sessions[digest]
        return len(gone)
