"""Browser sessions on PostgreSQL: of a session only the hash of its secret is kept."""

from __future__ import annotations

import secrets
from typing import Final

from tradeloop.domain.keys import SECRET_BYTES, SignedIn, digest_of_secret
from tradeloop.domain.people import Principal
from tradeloop.errors import Unauthenticated
from tradeloop.store.database import Database
from tradeloop.store.people import COLUMNS, PostgresPeople, inactive
from tradeloop.store.texts import storable

COOKIES: Final = "cookies"


class PostgresSessions:
    """ports.Sessions on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, principal: str, *, key_id: str = "", life_s: float) -> str:
        """Begin one; returns its secret, which only the browser keeps. What is over is cleared away meanwhile.

        Raises:
            NotFound: there is no such principal.
            Settled: it is inactive.
        """
        secret = secrets.token_urlsafe(SECRET_BYTES)
        row = await self._database.row(
            "WITH over AS (DELETE FROM web_sessions WHERE session_hash IN (SELECT session_hash FROM web_sessions "
            "WHERE expires_at < clock_timestamp() - interval '1 day' ORDER BY expires_at LIMIT 100)) "
            "INSERT INTO web_sessions (session_hash, principal, key_id, expires_at) "
            "SELECT %(hash)s, name, %(key)s, clock_timestamp() + make_interval(secs => %(life)s) FROM principals "
            "WHERE name = %(name)s AND is_active RETURNING principal",
            {"hash": digest_of_secret(secret), "name": storable(principal), "key": key_id, "life": life_s},
        )
        if row is None:
            await PostgresPeople(self._database).find(principal)
            raise inactive(principal)
        return secret

    async def signed_in(self, secret: str, *, idle_s: float) -> SignedIn:
        """Who is behind it, as they stand at this moment; notes its use, at most once a minute.

        Raises:
            Unauthenticated: unknown, ended, over, not used for `idle_s`, or inactive.
        """
        row = await self._database.row(
            "WITH used AS (UPDATE web_sessions SET seen_at = clock_timestamp() WHERE session_hash = %(hash)s "
            "AND seen_at < clock_timestamp() - interval '1 minute' "
            "AND seen_at > clock_timestamp() - make_interval(secs => %(idle)s)) "
            "SELECT " + COLUMNS + ", s.signed_in_at, s.expires_at FROM web_sessions s "
            "JOIN principals p ON p.name = s.principal WHERE s.session_hash = %(hash)s AND s.ended_at IS NULL "
            "AND p.is_active AND s.expires_at > clock_timestamp() "
            "AND s.seen_at > clock_timestamp() - make_interval(secs => %(idle)s)",
            {"hash": digest_of_secret(secret), "idle": idle_s},
        )
        if row is None:
            raise Unauthenticated("the session is over: sign in again.", where="session_over")
        signed_in_at, expires_at = row.pop("signed_in_at"), row.pop("expires_at")
        return SignedIn(Principal.model_validate(row), signed_in_at, expires_at)

    async def close(self, secret: str) -> None:
        """End it; one that is not there is no error."""
        await self._database.rows(
            "UPDATE web_sessions SET ended_at = clock_timestamp() WHERE session_hash = %s AND ended_at IS NULL",
            (digest_of_secret(secret),),
        )

    async def close_all(self, principal: str) -> int:
        """End every session of a principal; returns how many."""
        rows = await self._database.rows(
            "UPDATE web_sessions SET ended_at = clock_timestamp() WHERE principal = %s AND ended_at IS NULL "
            "AND expires_at > clock_timestamp() RETURNING 1",
            (storable(principal),),
        )
        return len(rows)

    async def signing_key(self) -> bytes:
        """The key that cookies are signed with; made by the first process that asks."""
        fresh = secrets.token_bytes(SECRET_BYTES)
        await self._database.rows(
            "INSERT INTO signing_keys (name, key) VALUES (%s, %s) ON CONFLICT DO NOTHING", (COOKIES, fresh)
        )
        (row,) = await self._database.rows("SELECT key FROM signing_keys WHERE name = %s", (COOKIES,))
        return bytes(row["key"])
