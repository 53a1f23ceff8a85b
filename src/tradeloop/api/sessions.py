"""Browser sessions: a signed cookie that scripts cannot read, which the server can end, and tokens against forgery."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import Response

from tradeloop.api.problems import Refusal
from tradeloop.domain.keys import SignedIn
from tradeloop.errors import Unauthenticated
from tradeloop.ports import Sessions
from tradeloop.settings import Settings

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PLAIN: Final = "tradeloop_session"
"""On loopback without TLS."""
SECURE: Final = "__Host-tradeloop"
"""With https: browsers take this name only with Secure, Path=/ and no Domain (RFC 6265bis, 4.1.3.2)."""
MAX_COOKIE: Final = 200
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Cookies:
    """Opens, recognises and ends the sessions of browsers."""

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        self._sessions = sessions
        self._url = settings.api_url.rstrip("/")
        self.is_secure = self._url.startswith("https://")
        self.name = SECURE if self.is_secure else PLAIN
        self.life_s = settings.session_hours * 3600
        self._idle_s = settings.session_idle_minutes * 60
        self._key = b""

    async def open(self, response: Response, principal: str, *, key_id: str = "") -> str:
        """Sign somebody in who has just proved who they are: sets the cookie; returns the CSRF token.

        Always a new session: one that a stranger planted before is not taken over.

        Raises:
            NotFound, Settled: there is no such active principal.
        """
        secret = await self._sessions.open(principal, key_id=key_id, life_s=self.life_s)
        response.set_cookie(
            self.name,
            f"{secret}.{await self._sign('cookie', secret)}",
            max_age=int(self.life_s),
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="lax",
        )
        return await self._sign("csrf", secret)

    async def close(self, response: Response, cookies: Mapping[str, str]) -> None:
        """Sign out: the session ends on the server, and the cookie goes."""
        with suppress(Unauthenticated):  # it was over before
            await self._sessions.close(await self._secret(cookies))
        response.delete_cookie(self.name, path="/", secure=self.is_secure, httponly=True, samesite="lax")

    def is_there(self, cookies: Mapping[str, str]) -> bool:
        """Whether the browser sent a cookie of ours."""
        return self.name in cookies

    async def signed_in(self, cookies: Mapping[str, str]) -> SignedIn:
        """Who is behind the cookie.

        Raises:
            Unauthenticated: it is missing, altered, ended or over.
        """
        return await self._sessions.signed_in(await self._secret(cookies), idle_s=self._idle_s)

    async def token(self, cookies: Mapping[str, str]) -> str:
        """The session's CSRF token, for the page's forms and scripts.

        Raises:
            Unauthenticated: there is no session.
        """
        return await self._sign("csrf", await self._secret(cookies))

    async def is_token(self, cookies: Mapping[str, str], given: str) -> bool:
        """Whether this is the session's CSRF token."""
        return hmac.compare_digest(given.encode(), (await self.token(cookies)).encode())

    def check_origin(self, method: str, origin: str | None, host: str) -> None:
        """Turn down an unsafe request that another site made a browser send.

        Raises:
            Refusal: 403, `Origin` is missing or another's.
        """
        if method in SAFE_METHODS:
            return
        ours = self._origins(host)
        if (origin or "").lower().rstrip("/") not in ours:
            raise Refusal(403, "origin", "the request comes from another site.", field="Origin", allowed=sorted(ours))

    def _origins(self, host: str) -> set[str]:
        """The address of the settings, on loopback by its other names, too; without one, the host that was asked."""
        if not self._url:
            return {f"{scheme}://{host.lower()}" for scheme in ("http", "https") if host}
        known = urlsplit(self._url.lower())
        try:
            asked = urlsplit(f"//{host.lower()}")
            is_here = {known.hostname, asked.hostname} <= LOOPBACK and known.port == asked.port
        except ValueError:  # no host at all: rubbish in brackets, or no port
            asked, is_here = known, False
        return {f"{known.scheme}://{known.netloc}"} | ({f"{known.scheme}://{asked.netloc}"} if is_here else set())

    async def _secret(self, cookies: Mapping[str, str]) -> str:
        given = cookies.get(self.name, "")
        secret, _, signature = given[:MAX_COOKIE].partition(".")
        if not hmac.compare_digest(signature.encode(), (await self._sign("cookie", secret)).encode()):
            raise Unauthenticated("the session is over: sign in again.", where="session_forged")
        return secret

    async def _sign(self, purpose: str, secret: str) -> str:
        if not self._key:
            self._key = await self._sessions.signing_key()
        return hmac.new(self._key, f"{purpose}\x1f{secret}".encode(), hashlib.sha256).hexdigest()
