"""Principals and API keys on PostgreSQL."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any, Final, LiteralString  # Any: a row

from psycopg.types.json import Jsonb

from tradeloop.domain.keys import ApiKey, NewKey, digest_of_secret, key_id_of, new_key_text
from tradeloop.domain.people import Principal, fitting
from tradeloop.domain.runs import derive_id
from tradeloop.errors import NotFound, Settled, Unauthenticated
from tradeloop.store.database import Database
from tradeloop.store.texts import storable

STREAM: Final = derive_id("audit_stream", "people")
"""Audit stream of people and keys."""
COLUMNS: Final[LiteralString] = "p.name, p.kind, p.roles, p.delegations, p.is_active"
KEYS: Final[LiteralString] = (
    "SELECT key_id, principal, label, created_by, created_at, expires_at, revoked_at, revoked_by, last_used_at "
    "FROM api_keys"
)
AUDIT: Final[LiteralString] = "append_audit(%(stream)s, %(kind)s, %(body)s)"


class PostgresPeople:
    """ports.People on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, name: str) -> Principal:
        """The principal of that name, active or not.

        Raises:
            NotFound: there is none.
        """
        found = await self.principal(name)
        if found is None:
            raise unknown(name)
        return found

    async def principal(self, name: str) -> Principal | None:
        """The principal of that name, active or not; None when there is none."""
        row = await self._database.row("SELECT " + COLUMNS + " FROM principals p WHERE p.name = %s", (storable(name),))
        return Principal.model_validate(row) if row else None

    async def all(self) -> list[Principal]:
        """Everybody, by name; those who were removed, too."""
        rows = await self._database.rows("SELECT " + COLUMNS + " FROM principals p ORDER BY p.name")
        return [Principal.model_validate(row) for row in rows]

    async def add(self, principal: Principal, *, by: str) -> None:
        """Add somebody.

        Raises:
            Settled: the name is taken, in any case, also by somebody who was removed.
            UsageInvalid: name, kind and roles do not fit together.
        """
        row = await self._database.row(
            "WITH added AS (INSERT INTO principals (name, kind, roles, delegations, is_active) "
            "VALUES (%(name)s, %(person)s, %(roles)s, %(delegations)s, %(active)s) ON CONFLICT DO NOTHING RETURNING 1) "
            "SELECT " + AUDIT + " FROM added",
            _arguments(fitting(principal), "principal_added", by),
        )
        if row is None:
            raise taken(principal.name)

    async def change(self, principal: Principal, *, by: str) -> None:
        """Put roles, delegations and `is_active`; kind and name stay.

        Raises:
            NotFound: there is nobody of that name and kind.
            UsageInvalid: kind and roles do not fit together.
        """
        row = await self._database.row(
            "WITH changed AS (UPDATE principals SET roles = %(roles)s, delegations = %(delegations)s, "
            "is_active = %(active)s, changed_at = clock_timestamp() WHERE name = %(name)s AND kind = %(person)s "
            "RETURNING 1) SELECT " + AUDIT + " FROM changed",
            _arguments(fitting(principal), "principal_changed", by),
        )
        if row is None:
            raise unknown(principal.name)

    async def remove(self, name: str, *, by: str) -> int:
        """Make inactive, revoke every key, end every session; returns how many keys.

        Raises:
            NotFound: there is none.
        """
        row = await self._database.row(
            "WITH gone AS (UPDATE principals SET is_active = false, changed_at = clock_timestamp() "
            "WHERE name = %(name)s RETURNING name), "
            "keys AS (UPDATE api_keys k SET revoked_at = clock_timestamp(), revoked_by = %(by)s FROM gone "
            "WHERE k.principal = gone.name AND k.revoked_at IS NULL RETURNING k.key_id), "
            "sessions AS (UPDATE web_sessions s SET ended_at = clock_timestamp() FROM gone "
            "WHERE s.principal = gone.name AND s.ended_at IS NULL) "
            "SELECT (SELECT count(*) FROM keys) AS n, append_audit(%(stream)s, 'principal_removed', "
            "jsonb_build_object('name', gone.name, 'by', %(by)s::text, "
            "'keys', (SELECT coalesce(jsonb_agg(key_id), '[]') FROM keys))) FROM gone",
            {"name": storable(name), "by": storable(by), "stream": STREAM},
        )
        if row is None:
            raise unknown(name)
        return int(row["n"])

    async def new_key(self, principal: str, *, label: str, expires_at: datetime | None, by: str) -> NewKey:
        """Make a key.

        Raises:
            NotFound: there is no such principal.
            Settled: it is inactive.
        """
        key_id, text = new_key_text()
        row = await self._database.row(
            "WITH made AS (INSERT INTO api_keys (key_id, principal, secret_hash, label, created_by, expires_at) "
            "SELECT %(id)s, name, %(hash)s, %(label)s, %(by)s, %(expires)s FROM principals "
            "WHERE name = %(name)s AND is_active RETURNING *) "
            "SELECT made.*, append_audit(%(stream)s, 'key_made', jsonb_build_object('key_id', key_id, "
            "'principal', principal, 'label', label, 'by', created_by, 'expires_at', expires_at)) FROM made",
            {
                "id": key_id,
                "name": storable(principal),
                "hash": digest_of_secret(text),
                "label": storable(label),
                "by": storable(by),
                "expires": expires_at,
                "stream": STREAM,
            },
        )
        if row is None:
            await self.find(principal)
            raise inactive(principal)
        return NewKey(_key(row), text)

    async def keys(self, principal: str = "") -> list[ApiKey]:
        """Keys, the newest first, of one principal or of all."""
        rows = await self._database.rows(
            KEYS + " WHERE %(name)s = '' OR principal = %(name)s ORDER BY created_at DESC",
            {"name": storable(principal)},
        )
        return [_key(row) for row in rows]

    async def revoke_key(self, key_id: str, *, by: str) -> None:
        """End a key at once, and every session that was opened with it.

        Raises:
            NotFound: there is none.
            Settled: it was revoked before.
        """
        row = await self._database.row(
            "WITH gone AS (UPDATE api_keys SET revoked_at = clock_timestamp(), revoked_by = %(by)s "
            "WHERE key_id = %(id)s AND revoked_at IS NULL RETURNING key_id, principal), "
            "sessions AS (UPDATE web_sessions s SET ended_at = clock_timestamp() FROM gone "
            "WHERE s.key_id = gone.key_id AND s.ended_at IS NULL) "
            "SELECT append_audit(%(stream)s, 'key_revoked', jsonb_build_object('key_id', key_id, "
            "'principal', principal, 'by', %(by)s::text)) FROM gone",
            {"id": storable(key_id), "by": storable(by), "stream": STREAM},
        )
        if row is None:
            if await self._database.row("SELECT 1 FROM api_keys WHERE key_id = %s", (storable(key_id),)):
                raise Settled(f"key {key_id} was revoked before.", hint="tradeloop keys list")
            raise NotFound(f"there is no key {key_id!r}.", hint="tradeloop keys list")

    async def by_key(self, text: str) -> Principal:
        """Whose key this is, as they stand at this moment; notes its use, at most once a minute and without waiting for
        the disk.

        Raises:
            Unauthenticated: unknown, revoked or expired, or its principal is inactive.
        """
        row = await self._database.row(
            "WITH used AS (UPDATE api_keys SET last_used_at = clock_timestamp() WHERE key_id = %(id)s "
            "AND secret_hash = %(hash)s AND (last_used_at IS NULL "
            "OR last_used_at < clock_timestamp() - interval '1 minute')) "
            "SELECT " + COLUMNS + ", k.secret_hash, k.revoked_at IS NOT NULL AS revoked, "
            "coalesce(k.expires_at <= clock_timestamp(), false) AS expired "
            "FROM api_keys k JOIN principals p ON p.name = k.principal "
            "CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) unsynced WHERE k.key_id = %(id)s",
            {"id": key_id_of(text), "hash": digest_of_secret(text)},
        )
        kept = bytes(row.pop("secret_hash")) if row else bytes(32)
        if not hmac.compare_digest(kept, digest_of_secret(text)) or row is None:
            raise Unauthenticated("the key is unknown.", where="key_unknown")
        for word in ("revoked", "expired"):
            if row.pop(word):
                raise Unauthenticated(f"the key is {word}.", where=f"key_{word}")
        principal = Principal.model_validate(row)
        if not principal.is_active:
            raise Unauthenticated("the key's owner is inactive.", where="inactive")
        return principal


def unknown(name: str) -> NotFound:
    """The error for a name that nobody has."""
    return NotFound(f"there is nobody called {name!r}.", hint="tradeloop people list")


def taken(name: str) -> Settled:
    """The error for a name that somebody has or had."""
    return Settled(
        f"the name {name!r} is taken: names differ by more than case, and are never given twice.",
        hint=f"tradeloop people change {name}",
    )


def inactive(name: str) -> Settled:
    """The error for somebody who was removed."""
    return Settled(f"{name} is inactive.", hint=f"tradeloop people change {name} --active")


def _arguments(principal: Principal, kind: str, by: str) -> dict[str, Any]:
    told = principal.model_dump(mode="json") | {"roles": sorted(principal.roles), "by": storable(by)}
    return {
        "name": principal.name,
        "person": principal.kind,
        "roles": sorted(principal.roles),
        "delegations": Jsonb(told["delegations"]),
        "active": principal.is_active,
        "stream": STREAM,
        "kind": kind,
        "body": Jsonb(told),
    }


def _key(row: dict[str, Any]) -> ApiKey:
    return ApiKey(**{name: row[name] for name in ApiKey.__dataclass_fields__})
