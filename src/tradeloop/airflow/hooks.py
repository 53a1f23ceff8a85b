"""The connection type `tradeloop`: its API, as tasks, triggers and the connection test use it.

httpx comes with Airflow itself. Nothing here is imported where nobody asks.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self  # Any: JSON of the service's, connections of Airflow's
from urllib.parse import urlsplit

import httpx
from airflow.sdk import BaseHook

from tradeloop.airflow.questions import Answer, Asked, AskRefused, AskUnanswered, Question

DEFAULT_PORT: Final = 8088
DEFAULT_TIMEOUT_S: Final = 15.0
LONGEST_WAIT_S: Final = 30
"""Of one long poll; the service takes no longer one."""
POLICY_S: Final = 30.0
"""For policy's own answer; the service gives up earlier."""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same request may succeed."""
MAY_ASK: Final = frozenset({"service", "operator"})
"""Roles of which one is needed to ask."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service is, and who asks; made of an Airflow connection."""

    url: str
    key: str
    web_url: str
    timeout_s: float
    ca_file: str

    @classmethod
    def of(cls, connection: Any) -> Self:
        """Of a connection whose host is a name or an address, and whose password is the API key.

        Raises:
            AskRefused: names the field, what it holds and what is expected.
        """
        where = f"connection {connection.conn_id!r}"
        url = _url(connection, where)
        extra = connection.extra_dejson or {}
        try:
            timeout_s = float(extra.get("timeout_s") or DEFAULT_TIMEOUT_S)
        except (TypeError, ValueError):
            raise AskRefused(f"{where}: timeout_s is {extra['timeout_s']!r}, a number of seconds is expected") from None
        if not 0 < timeout_s <= 300:
            raise AskRefused(f"{where}: timeout_s is {timeout_s:g}, 1 to 300 seconds are expected")
        web_url = str(extra.get("web_url") or "").strip()
        if web_url and urlsplit(web_url).scheme not in ("http", "https"):
            raise AskRefused(f"{where}: web_url is {web_url!r}, https://HOST is expected")
        return cls(url, str(connection.password or ""), web_url or url, timeout_s, str(extra.get("ca_file") or ""))

    @property
    def headers(self) -> dict[str, str]:
        """Who asks."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    @property
    def arguments(self) -> dict[str, Any]:
        """Of an httpx client. A proxy of the environment is for the world outside, never for loopback."""
        is_local = urlsplit(self.url).hostname in LOOPBACK
        verify: ssl.SSLContext | bool = self.url.startswith("https:")
        if verify and self.ca_file:
            verify = ssl.create_default_context(cafile=self.ca_file)
        return {
            "base_url": self.url,
            "headers": self.headers,
            "timeout": self.timeout_s,
            "trust_env": not is_local,
            "verify": verify,
        }


class TradeloopHook(BaseHook):
    """tradeloop's API for tasks and triggers."""

    conn_name_attr: ClassVar[str] = "tradeloop_conn_id"
    default_conn_name: ClassVar[str] = "tradeloop_default"
    conn_type: ClassVar[str] = "tradeloop"
    hook_name: ClassVar[str] = "tradeloop"

    def __init__(self, tradeloop_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.tradeloop_conn_id = tradeloop_conn_id
        self._address: Address | None = None

    @property
    def address(self) -> Address:
        """What the connection says, read once."""
        if self._address is None:
            self._address = Address.of(self.get_connection(self.tradeloop_conn_id))
        return self._address

    @contextmanager
    def get_conn(self) -> Iterator[httpx.Client]:
        """A client that is signed in."""
        with _named(self.address), httpx.Client(**self.address.arguments) as client:
            yield client

    @asynccontextmanager
    async def get_async_conn(self) -> AsyncIterator[httpx.AsyncClient]:
        """The same for a trigger; certificates are read beside the event loop."""
        if self._address is None:
            self._address = Address.of(await self.aget_connection(self.tradeloop_conn_id))
        address = self._address
        with _named(address):
            arguments = await asyncio.to_thread(lambda: address.arguments)
            async with httpx.AsyncClient(**arguments) as client:
                yield client

    def ask(self, question: Question) -> Asked:
        """Ask; the same question again is the same event.

        Raises:
            AskRefused: key, role, event type or data are not taken.
            AskUnanswered: no answer; ask again.
        """
        with self.get_conn() as client:
            told = answered(
                client.post("/api/v1/workflows/trigger", json=question.body, headers={"Idempotency-Key": question.key})
            )
        return Asked(str(told["event_id"]), str(told.get("decision_id") or ""))

    def answer(self, event_id: str, wait_s: float = 0) -> Answer:
        """How the question stands, after at most `wait_s` (30) seconds of waiting for a final state."""
        with self.get_conn() as client:
            return Answer.of(event_id, answered(client.get(**_look(event_id, wait_s, self.address))))

    async def aanswer(self, client: httpx.AsyncClient, event_id: str, wait_s: float = 0) -> Answer:
        """The same, for a trigger."""
        assert self._address is not None  # noqa: S101 - the client was made of it
        response = await client.get(**_look(event_id, wait_s, self._address))
        return Answer.of(event_id, answered(response))

    def policy_answer(self, event_id: str) -> Mapping[str, Any]:
        """What deterministic policy alone decides of the event: no model, no person, no effect."""
        with self.get_conn() as client:
            told = answered(client.get(f"/api/v1/events/{event_id}/policy", timeout=POLICY_S))
        decision = told.get("decision")
        if not isinstance(decision, Mapping):
            raise AskRefused(f"tradeloop: policy gives no answer to event {event_id}: {told.get('error') or 'none'}")
        return decision

    def test_connection(self) -> tuple[bool, str]:
        """Whether the service is ready, knows the key, and lets it ask; for the button in Airflow's form."""
        try:
            with self.get_conn() as client:
                ready = client.get("/readyz")
                if ready.status_code != httpx.codes.OK:
                    return False, f"{self.address.url} is not ready ({ready.status_code}): {_detail(ready)}"
                told = answered(client.get("/api/v1/me"))
        except (AskRefused, AskUnanswered) as problem:
            return False, str(problem)
        name, roles = told.get("name", "?"), sorted(told.get("roles") or [])
        if MAY_ASK.isdisjoint(roles):
            return False, (
                f"signed in as {name!r} with the roles {', '.join(roles) or 'none'}: "
                "asking needs service or operator; give the key one of them"
            )
        return True, f"tradeloop at {self.address.url} answers; signed in as {name!r} ({', '.join(roles)})"


def answered(response: httpx.Response) -> Mapping[str, Any]:
    """The JSON of a good answer.

    Raises:
        AskRefused: a no that stays; AskUnanswered: a no that passes, or what is no answer of tradeloop's.
    """
    status = response.status_code
    if status in PASSING:
        raise AskUnanswered(f"tradeloop answered {status}: {_detail(response)}")
    if status == httpx.codes.UNAUTHORIZED:
        raise AskRefused(
            f"tradeloop does not know the API key ({_detail(response)}); put a valid one into the connection's password"
        )
    if status == httpx.codes.FORBIDDEN:
        raise AskRefused(f"tradeloop does not let this key ask ({_detail(response)}); give it the role service")
    if response.is_error:
        raise AskRefused(f"tradeloop answered {status}: {_detail(response)}")
    try:
        told = response.json()
    except ValueError:
        told = None
    if not isinstance(told, Mapping):
        raise AskUnanswered(
            f"{response.request.url.copy_with(query=None)} answered {status} and no JSON object: "
            "the connection's host is not tradeloop's API"
        )
    return told


@contextmanager
def _named(address: Address) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise AskUnanswered(
            f"tradeloop at {address.url} did not answer: {type(problem).__name__} {problem}"
        ) from problem
    except OSError as problem:
        raise AskRefused(f"ca_file {address.ca_file!r} cannot be read: {problem}") from problem


def _look(event_id: str, wait_s: float, address: Address) -> dict[str, Any]:
    wait = int(min(LONGEST_WAIT_S, max(0.0, wait_s)))
    params = {"wait_s": wait} if wait else None
    return {"url": f"/api/v1/events/{event_id}/decision", "params": params, "timeout": address.timeout_s + wait}


def _detail(response: httpx.Response) -> str:
    """A problem's own words: what, which field, what is allowed."""
    try:
        told = response.json()
    except ValueError:
        return " ".join(response.text.split())[:300]
    if not isinstance(told, Mapping):
        return json.dumps(told)[:300]
    words = [str(told[name]) for name in ("detail", "hint") if told.get(name)] or [str(told.get("title") or told)]
    allowed = told.get("allowed")
    if isinstance(allowed, list) and allowed:
        words.append(f"allowed: {', '.join(map(str, allowed))}")
    fields = told.get("errors")
    if isinstance(fields, list):
        words += [f"{one.get('field')}: {one.get('detail')}" for one in fields if isinstance(one, Mapping)]
    return "; ".join(words)[:1000]


def _url(connection: Any, where: str) -> str:
    host = str(connection.host or "").strip()
    if not host:
        raise AskRefused(f"{where}: host is empty; the address of tradeloop's API is expected, such as https://HOST")
    if "://" not in host:
        is_local = host.partition(":")[0] in LOOPBACK
        scheme = connection.schema or ("http" if is_local else "https")
        port = f":{connection.port}" if connection.port else f":{DEFAULT_PORT}" if is_local and ":" not in host else ""
        host = f"{scheme}://{host}{port}"
    elif connection.port and urlsplit(host).port is None:
        parts = urlsplit(host)
        host = parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    parts = urlsplit(host)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise AskRefused(f"{where}: host and schema make {host!r}; https://HOST or http://HOST is expected")
    return host.rstrip("/")
