"""The public keys of an OpenID provider: from a file or its address, remembered, and read again when they rotate."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final  # Any: JSON

import httpx
import jwt
import structlog

from tradeloop.errors import PartUnreachable, Unauthenticated
from tradeloop.settings import Settings

log = structlog.get_logger()
FRESH_S: Final = 300.0
"""After this the set is asked for again, when a token needs it; a key that was withdrawn is taken for so long."""
STALE_S: Final = 3_600.0
"""For so long an issuer that does not answer is done without."""
ROTATED_S: Final = 10.0
"""Tokens of unknown keys make it be asked at most so often: anybody can invent a key's id."""
TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 256_000


class KeySet:
    """Keys by id. The address is the operator's: nothing in a token can choose another (no `jku`, no `x5u`)."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._url = settings.oidc_jwks_url
        self._file: Path | None = settings.oidc_jwks_file
        if not self._file:
            settings.require("oidc_jwks_url")
        self._now = now
        self._rows: list[dict[str, Any]] = []
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._stamp = (0, 0)
        self._one_at_a_time = asyncio.Lock()

    async def key(self, key_id: str, algorithm: str) -> jwt.PyJWK:
        """The key of that id, for that algorithm.

        Raises:
            Unauthenticated: the issuer has no such key.
            PartUnreachable: the set cannot be had.
        """
        if self._file or self._age_s() > FRESH_S:
            await self._refresh()
        found = self._fitting(key_id, algorithm)
        if found is None:
            await self._refresh()
            found = self._fitting(key_id, algorithm)
        if self._age_s() > STALE_S:
            raise PartUnreachable("the issuer's keys cannot be had.")
        if found is None:
            raise Unauthenticated("the token is signed by a key that the issuer does not have.", where="token_key")
        return found

    def _age_s(self) -> float:
        return self._now() - self._read_at

    def _fitting(self, key_id: str, algorithm: str) -> jwt.PyJWK | None:
        rows = [row for row in self._rows if not key_id or row.get("kid") == key_id]
        fitting = [key for row in rows if (key := _key(row, algorithm)) is not None]
        return fitting[0] if len(fitting) == 1 else None

    async def _refresh(self) -> None:
        async with self._one_at_a_time:
            if not self._file and self._now() - self._tried_at < ROTATED_S:
                return
            try:
                text = await asyncio.to_thread(self._from_file) if self._file else await self._from_url()
                if text is not None:
                    self._rows = _read(text)
                self._read_at = self._now()
            except (httpx.HTTPError, OSError, ValueError) as problem:
                log.warning("issuer_keys_not_read", error_class=type(problem).__name__)
            finally:
                self._tried_at = self._now()

    def _from_file(self) -> str | None:
        assert self._file is not None  # noqa: S101 - the caller knows
        found = self._file.stat()
        stamp = (found.st_mtime_ns, found.st_size)
        if stamp == self._stamp and self._rows:
            return None
        text = self._file.read_text()
        self._stamp = stamp
        return text

    async def _from_url(self) -> str:
        body = b""
        # No redirect is followed, and no proxy or .netrc of the environment is read: the address is all there is.
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", self._url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise ValueError(f"the issuer answered {response.status_code}")
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_BYTES:
                    raise ValueError("the issuer's answer is too large")
        return body.decode()


def _read(text: str) -> list[dict[str, Any]]:
    content = json.loads(text)
    rows: list[Any] = content.get("keys", []) if isinstance(content, dict) else []
    found = [
        row for row in rows if isinstance(row, dict) and row.get("kty") != "oct" and row.get("use", "sig") == "sig"
    ]
    if not found:
        raise ValueError("there is no key in it that could sign a token")
    return found


def _key(row: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    """The key, when it is one for that algorithm: a token's header does not choose how a key is used."""
    if row.get("alg", algorithm) != algorithm:
        return None
    try:
        return jwt.PyJWK(row, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
