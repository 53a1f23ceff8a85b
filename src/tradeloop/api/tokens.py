"""Tokens of an OpenID provider: they prove a name, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final  # Any: claims

import jwt

from tradeloop.api.keyset import KeySet
from tradeloop.errors import Unauthenticated
from tradeloop.settings import Settings

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones alone: with `none` or HS256 anybody who knows the public key could write tokens (RFC 8725, 3.1)."""
MAX_NAME: Final = 200


class Tokens:
    """Checks JSON Web Tokens (RFC 7519, RFC 8725)."""

    def __init__(self, keys: KeySet, settings: Settings) -> None:
        settings.require("oidc_audience")
        self._keys = keys
        self._issuer = settings.oidc_issuer
        self._audience = settings.oidc_audience
        self._claim = settings.oidc_name_claim
        self._leeway_s = settings.oidc_leeway_s

    async def name_in(self, token: str) -> tuple[str, datetime | None]:
        """The name that a token proves, and when its bearer signed in, where it says so.

        Raises:
            Unauthenticated: it is malformed, of a foreign issuer or audience, expired, not signed by a key of the
                issuer, or without a name.
            PartUnreachable: the issuer's keys cannot be had.
        """
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise Unauthenticated("the token is signed in a way that is not taken.", where="token_algorithm")
            if "crit" in header:
                raise Unauthenticated("the token demands an extension that is not known.", where="token_malformed")
            key = await self._keys.key(str(header.get("kid", "")), str(header["alg"]))
            claims = jwt.decode(
                token,
                key,
                algorithms=[str(header["alg"])],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as problem:
            raise Unauthenticated("the token is expired.", where="token_expired") from problem
        except jwt.InvalidAudienceError as problem:
            raise Unauthenticated("the token is for somebody else.", where="token_audience") from problem
        except jwt.InvalidIssuerError as problem:
            raise Unauthenticated("the token is of a foreign issuer.", where="token_issuer") from problem
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as problem:
            raise Unauthenticated("the token does not hold.", where="token_invalid") from problem
        return self._name(claims), _moment(claims.get("auth_time"))

    def _name(self, claims: dict[str, Any]) -> str:
        name = claims.get(self._claim)
        if not isinstance(name, str) or not name or len(name) > MAX_NAME:
            raise Unauthenticated(f"the token has no name in its claim {self._claim!r}.", where="token_nameless")
        return name


def _moment(value: object) -> datetime | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
