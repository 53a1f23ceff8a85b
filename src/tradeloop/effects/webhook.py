"""Effect `webhook`: one signed POST to a target that the operator has named."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Final, Self

import httpx
from pydantic import JsonValue

from tradeloop.domain.actions import Action, Effect, TargetClass
from tradeloop.domain.canonical import canonical_json
from tradeloop.domain.events import WorkflowEvent
from tradeloop.effects.effector import provenance
from tradeloop.effects.webhook_targets import WebhookTarget
from tradeloop.errors import EffectBlocked, EffectRefused, EffectUnanswered

SIGNATURE: Final = "Tradeloop-Signature"
KEY: Final = "Idempotency-Key"
"""IETF draft-ietf-httpapi-idempotency-key-header."""
TOLERANCE_S: Final = 300.0
"""How old a signature may be at the receiver: longer than clocks differ, shorter than a replay is worth."""
MAX_ANSWER_BYTES: Final = 65_536
"""What is read of an answer; the rest is left on the wire."""
BODY_WITHIN_S: Final = 2.0
KEPT_CHARS: Final = 2000
"""What the ledger keeps of an answer."""
REFUSED_FOR_NOW: Final = frozenset({401, 403, 404, 407})
"""Rights, and a path that is not there: an operator's to put right, and nothing has happened."""
NO_ANSWERS: Final = frozenset({408, 409, 425, 429})
"""Time-out, conflict (it may be our own first call), too early, too many: none says that nothing happened."""
LOOPBACK: Final = ("all://127.0.0.1", "all://localhost", "all://[::1]")
"""Never behind a proxy of the environment, which is for the world outside."""
RESENT: Final = frozenset({307, 308})
"""RFC 9110: the target did not act and wants the same request elsewhere."""


class Webhooks:
    """Posts to the targets of TRADELOOP_WEBHOOKS; follows no redirect."""

    kind = "webhook"
    target_class = TargetClass.BLIND

    def __init__(self, targets: Mapping[str, WebhookTarget]) -> None:
        self._targets = targets
        self._http = httpx.AsyncClient(follow_redirects=False, mounts=dict.fromkeys(LOOPBACK))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    def class_for(self, action: Action) -> TargetClass:
        """Keyed when the target was declared to honour the key."""
        target = self._targets.get(action.target)
        return TargetClass.KEYED if target and target.honours_key else TargetClass.BLIND

    async def execute(self, effect: Effect, cause: WorkflowEvent) -> Mapping[str, JsonValue]:
        """Post the action, signed."""
        target = self._targets.get(effect.action.target)
        if target is None:
            raise EffectBlocked(
                f"no webhook is called {effect.action.target!r}; known: {', '.join(sorted(self._targets)) or 'none'}",
                hint="name it in the file of TRADELOOP_WEBHOOKS",
            )
        body = _body(effect, cause)
        headers = {
            "content-type": "application/json",
            KEY: effect.key,
            SIGNATURE: signature(target.secret.get_secret_value(), effect.key, body),
        }
        try:
            async with asyncio.timeout(target.timeout_s) as limit:
                return await self._post(target, headers, body, limit)
        except (httpx.ConnectError, httpx.ConnectTimeout) as problem:
            raise EffectBlocked(f"webhook {target.name} cannot be reached: {problem}") from problem
        except (httpx.HTTPError, TimeoutError) as problem:
            words = str(problem) or f"no answer within {target.timeout_s:g} s"
            raise EffectUnanswered(f"webhook {target.name}: {words}") from problem

    async def _post(
        self, target: WebhookTarget, headers: Mapping[str, str], body: bytes, limit: asyncio.Timeout
    ) -> Mapping[str, JsonValue]:
        timeout = httpx.Timeout(target.timeout_s)
        async with self._http.stream("POST", target.url, content=body, headers=headers, timeout=timeout) as answer:
            status = answer.status_code
            limit.reschedule(None)  # answered: what the body says is worth a moment, and changes nothing
            if answer.is_success:
                return {"status": status, "answer": await _beginning(answer)}
            if status in RESENT:
                raise EffectBlocked(f"webhook {target.name} redirects to {_host(answer)}: no redirect is followed")
            if status in REFUSED_FOR_NOW:
                raise EffectBlocked(f"webhook {target.name} answered {status}: {await _beginning(answer)}")
            if answer.is_client_error and status not in NO_ANSWERS:
                raise EffectRefused(f"webhook {target.name} answered {status}: {await _beginning(answer)}")
            raise EffectUnanswered(f"webhook {target.name} answered {status}")


def signature(secret: str, key: str, body: bytes, at: float | None = None) -> str:
    """The header's value: `t=SECONDS,v1=HEX`, HMAC-SHA256 over `SECONDS.KEY.BODY`."""
    stamp = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{stamp}.{key}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> bool:
    """For receivers: whether these headers (any case) sign this body, not longer ago than TOLERANCE_S."""
    given = {name.lower(): value for name, value in headers.items()}
    fields = dict(part.partition("=")[::2] for part in given.get(SIGNATURE.lower(), "").split(","))
    try:
        stamp = int(fields.get("t", ""))
    except ValueError:
        return False
    wanted = signature(secret, given.get(KEY.lower(), ""), body, stamp)
    is_fresh = abs((time.time() if now is None else now) - stamp) <= TOLERANCE_S
    return is_fresh and hmac.compare_digest(wanted.encode(), f"t={stamp},v1={fields.get('v1', '')}".encode())


def _body(effect: Effect, cause: WorkflowEvent) -> bytes:
    """The same bytes for every call of this effect."""
    return canonical_json(
        {
            **provenance(effect, cause),
            "effect_key": effect.key,
            "target": effect.action.target,
            "params": effect.action.params,
            "subject": cause.subject,
            "event_id": str(cause.event_id),
        }
    ).encode()


async def _beginning(answer: httpx.Response) -> str:
    """The beginning of the answer, as text that can be stored. One that breaks off was an answer all the same."""
    read = b""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in answer.aiter_bytes():
                read += chunk
                if len(read) >= MAX_ANSWER_BYTES:
                    break
    except (httpx.HTTPError, TimeoutError):
        read += b" (broken off)"
    text = read[: 4 * KEPT_CHARS].decode("utf-8", "replace").replace("\x00", "\ufffd")
    return text if len(text) <= KEPT_CHARS else f"{text[:KEPT_CHARS]}… (cut)"


def _host(answer: httpx.Response) -> str:
    try:
        return answer.url.join(answer.headers.get("location", "")).host or "nowhere"
    except httpx.InvalidURL:
        return "an address that is none"
