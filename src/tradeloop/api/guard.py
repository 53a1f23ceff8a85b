"""Around every request: size limits, security headers, one line of log, figures; whatever fails ends as a problem."""

from __future__ import annotations

import time
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradeloop.api import problems
from tradeloop.api.metrics import Metrics
from tradeloop.api.problems import Refusal

log = structlog.get_logger()
MAX_BODY: Final = 64_000
"""Bytes of a body; a trigger's may have as many as an event."""
MAX_TRIGGER: Final = 1_000_000
TRIGGER: Final = "/api/v1/workflows/trigger"
STREAM: Final = "/api/v1/events/stream"
MAX_QUERY: Final = 8_000
MOST_AT_ONCE: Final = 256
"""Requests in hand; some seconds of work. More would all wait beyond their callers' patience, and none be answered."""
QUIET: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: logged only when they fail."""
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Unless a route says otherwise, as pages do."""


class Guard:
    """ASGI middleware; the outermost."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, is_secure: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._in_hand = 0
        self._headers = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if is_secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        waits = (
            b"wait_s=" in scope.get("query_string", b"") or scope["path"] == STREAM
        )  # these have limits of their own
        self._in_hand += not waits
        try:
            _check(scope)
            if self._in_hand > MOST_AT_ONCE:
                raise Refusal(503, "busy", "too many requests are in hand; try again.", headers={"Retry-After": "1"})
            await self._app(scope, _limited(scope, receive), answer)
        except Refusal as problem:
            await problems.of_http(problem)(scope, receive, answer)
        except Exception as problem:
            if status:
                raise  # the answer has begun: breaking off the connection is all that is left
            await problems.defect(problem)(scope, receive, answer)
        finally:
            self._in_hand -= not waits
            self._tell(scope, status, time.perf_counter() - begun)

    def _tell(self, scope: Scope, status: int, took_s: float) -> None:
        route = str(getattr(scope.get("route"), "path", "")) or "none"
        self._metrics.answered(route, scope["method"], status, took_s)
        if scope["path"] in QUIET and status < 400:
            return
        caller = scope.get("state", {}).get("caller")
        log.info(
            "request_answered",
            method=scope["method"],
            route=route,
            status=status,
            took_ms=round(took_s * 1000, 1),
            principal=caller.principal.name if caller else "",
            by=caller.by if caller else "",
            address=scope["client"][0] if scope.get("client") else "",
        )


def _check(scope: Scope) -> None:
    query = scope.get("query_string", b"")
    if len(query) > MAX_QUERY:
        raise Refusal(414, "too_large", f"the query has {len(query):,} bytes; at most {MAX_QUERY:,} are taken.")
    if b"%00" in query or b"\x00" in query or "\x00" in scope["path"]:
        raise Refusal(400, "unstorable", "U+0000 in the address; no database stores it.")
    declared = Headers(scope=scope).get("content-length", "0")
    if declared.isdigit() and int(declared) > _most(scope):
        raise _too_large(scope)


def _limited(scope: Scope, receive: Receive) -> Receive:
    count = 0

    async def read() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > _most(scope):
            raise _too_large(scope)
        return message

    return read


def _most(scope: Scope) -> int:
    return MAX_TRIGGER if scope["path"] == TRIGGER else MAX_BODY


def _too_large(scope: Scope) -> Refusal:
    return Refusal(413, "too_large", f"the body has more than {_most(scope):,} bytes.", field="body")
