"""Who asks: a key, a token or a browser's session; and with what roles, at this moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, cast

from starlette.requests import HTTPConnection

from tradeloop.api.problems import Refusal
from tradeloop.api.services import Services
from tradeloop.api.sessions import SAFE_METHODS
from tradeloop.domain.people import Principal
from tradeloop.errors import Unauthenticated

KEY_BEGINS: Final = "tlk_"
MAX_CREDENTIAL: Final = 16_384
"""Longer than any token; a larger header is not worth reading."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated request."""

    principal: Principal
    """As it stands at this moment."""
    by: Literal["key", "token", "session"]
    signed_in_at: datetime | None = None
    """When the person last proved who they are; None: this way cannot tell."""


def services_of(request: HTTPConnection) -> Services:
    """What the app was made with."""
    return cast(Services, request.app.state.services)


async def caller_of(request: HTTPConnection) -> Caller:
    """Who asks; found once a request. With a session, the origin of an unsafe request is checked, not its CSRF token.

    Raises:
        Unauthenticated: nobody, or with something that does not hold.
    """
    known = getattr(request.state, "caller", None)
    if isinstance(known, Caller):
        return known
    services = services_of(request)
    services.limits.check_address(address_of(request))
    try:
        caller = await _found(request, services)
    except Unauthenticated as problem:
        services.limits.note_failure(address_of(request))
        services.metrics.refused(problem.where or "missing")
        raise
    request.state.caller = caller
    return caller


async def principal_of(request: HTTPConnection) -> Principal:
    """Who asks, alone."""
    return (await caller_of(request)).principal


async def check_forgery(request: HTTPConnection, form_token: str = "") -> None:
    """For unsafe requests of a session: its CSRF token must come in `X-CSRF-Token`, or be the one of a form.

    Raises:
        Refusal: 403, the token is missing or another's.
    """
    caller = await caller_of(request)
    if caller.by != "session" or request.scope.get("method") in SAFE_METHODS:
        return
    cookies = services_of(request).cookies
    given = form_token or request.headers.get("x-csrf-token", "")
    if not await cookies.is_token(request.cookies, given):
        raise Refusal(403, "csrf", "the form's token is missing or old: load the page again.", field="X-CSRF-Token")


def address_of(request: HTTPConnection) -> str:
    """The address that asks."""
    return request.client.host if request.client else ""


async def _found(request: HTTPConnection, services: Services) -> Caller:
    given = request.headers.get("authorization", "")
    if given:
        return await _by_header(given, services)
    return await _by_cookie(request, request.cookies, services)


async def _by_header(given: str, services: Services) -> Caller:
    scheme, _, credential = given.partition(" ")
    credential = credential.strip()
    if scheme.lower() != "bearer" or not credential or len(credential) > MAX_CREDENTIAL:
        raise Unauthenticated("Authorization: Bearer with a key or token is expected.", where="malformed")
    if credential.startswith(KEY_BEGINS):
        return Caller(await services.people.by_key(credential), "key")
    if services.tokens is None:
        raise Unauthenticated("tokens are not taken here, only keys.", where="no_issuer")
    name, signed_in_at = await services.tokens.name_in(credential)
    return Caller(await services.known(name), "token", signed_in_at)


async def _by_cookie(request: HTTPConnection, cookies: Mapping[str, str], services: Services) -> Caller:
    if not services.cookies.is_there(cookies):
        raise Unauthenticated("sign in, or send a key or token.", where="missing")
    method = str(request.scope.get("method", "GET"))
    services.cookies.check_origin(method, request.headers.get("origin"), request.headers.get("host", ""))
    found = await services.cookies.signed_in(cookies)
    return Caller(found.principal, "session", found.signed_in_at)
