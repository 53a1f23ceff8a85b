"""The application on a real database, somebody of every role, an issuer of tokens, and rows to read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI

from tradeloop.api.services import Services
from tradeloop.domain.actions import Action, TargetClass
from tradeloop.domain.approvals import Approval, ApprovalFilter, Pattern, Requirement
from tradeloop.domain.canonical import canonical_json
from tradeloop.domain.decisions import Decision
from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.domain.records import DeadLetter, Received
from tradeloop.domain.runs import Claim, Outcome, RunState, decision_id_of, new_run_id
from tradeloop.ports import Arrival, Ask
from tradeloop.store.effects import PostgresEffects
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns
from tradeloop.workflow import Workflow

TOPIC = UUID("00000000-0000-0000-0000-0000000000a9")
ISSUER, AUDIENCE = "https://login.firm.example", "tradeloop"
EVENT_TYPE = "prices.loaded"
DESK = "prices"
ACTION = Action(kind="trigger_dag", target="publish_batch", params={"amount": "12.50"})


def decide(state: dict[str, Any]) -> dict[str, Any]:
    """A graph that accepts everything but what asks to be refused."""
    if state["event"]["payload"]["data"].get("break"):
        raise ValueError("broken data")
    return {"decision": Decision(outcome="ACCEPT")}


def workflow() -> Workflow:
    return Workflow.chain(EVENT_TYPE, decide, desk=DESK)


class Issuer:
    """An OpenID provider: a key, its public half in a file, and tokens."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "jwks.json"
        self.key, self.key_id = rsa.generate_private_key(public_exponent=65537, key_size=2048), "one"
        self.publish()

    def publish(self) -> None:
        self.file.write_text(canonical_json({"keys": [self.public()]}))

    def public(self) -> dict[str, Any]:
        return jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True) | {
            "kid": self.key_id,
            "use": "sig",
        }

    def token(self, name: str, *, algorithm: str = "RS256", key: Any = None, kid: str = "", **changed: Any) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": name, "exp": now + 300, "iat": now, "auth_time": now - 5}
        claims = {name: value for name, value in (claims | changed).items() if value is not None}
        return jwt.encode(claims, key or self.key, algorithm, headers={"kid": kid or self.key_id})


@dataclass
class House:
    """The application and those who call it."""

    app: FastAPI
    services: Services
    client: httpx.AsyncClient
    issuer: Issuer
    keys: dict[str, str] = field(default_factory=dict)
    """By name."""
    _offset: int = 0
    _owner: UUID | None = None

    async def add(self, name: str, *roles: Role, kind: str = "person", **more: Any) -> str:
        """A principal with a key; returns the key."""
        principal = Principal(name=name, kind=kind, roles=frozenset(roles), **more)
        await self.services.people.add(principal, by="tests")
        made = await self.services.people.new_key(name, label="", expires_at=None, by="tests")
        self.keys[name] = made.text
        return made.text

    async def call(self, method: str, path: str, who: str = "", **more: Any) -> httpx.Response:
        """A request with the key of a name; empty: without credentials."""
        headers = dict(more.pop("headers", {}))
        if who:
            headers["Authorization"] = f"Bearer {self.keys[who]}"
        return await self.client.request(
            method, path if path.startswith("/") else f"/api/v1/{path}", headers=headers, **more
        )

    async def take_in(self, count: int = 1, *, subject: str = "", data: Mapping[str, Any] | None = None) -> list[Claim]:
        """Runs that a worker has in hand."""
        if self._owner is None:
            self._owner = uuid4()
            await PostgresRuns(self.services.database).enlist(self._owner, "test", 3600, (workflow().version,))
        arrivals = []
        for _ in range(count):
            self._offset += 1
            event = event_of(subject or f"s{self._offset}", data or {})
            received = Received("events", TOPIC, 0, self._offset, b"k", event.to_json().encode())
            arrivals.append(Arrival(received, event.event_id, EVENT_TYPE, DESK, event.subject, new_run_id()))
        return await PostgresInbox(self.services.database).accept("g", self._owner, arrivals, [], count)

    async def finish(self, claim: Claim, state: RunState = RunState.DONE) -> UUID:
        """Record a run's end; returns its decision's id."""
        assert self._owner
        decision_id = decision_id_of(self.services.settings.instance, claim.event_id, 0)
        decision = Decision(outcome="ACCEPT", reasons=["22 of 22"]) if state is RunState.DONE else None
        outcome = Outcome(claim, state, decision_id, "g", "v1", decision, error="" if decision else "boom")
        await PostgresRuns(self.services.database).record(self._owner, [outcome], "decisions")
        return decision_id

    async def ask(self, action: Action = ACTION, **more: Any) -> Approval:
        """A question to people."""
        assert self.services.approvals
        (claim,) = await self.take_in()
        wanted = Requirement(pattern=Pattern.MAKER_CHECKER, rule="r1", why="because", deadline_s=600, **more)
        ask = Ask("i", "act", uuid4(), action, wanted, "hash", "agent", "", {"event_type": EVENT_TYPE, "facts": []})
        assert self._owner
        await self.services.approvals.park(self._owner, claim, [ask], 1000)
        (found,) = await self.services.approvals.matching(ApprovalFilter(run_id=claim.run_id))
        return found

    async def unknown_effect(self) -> str:
        """An effect whose outcome nobody can tell; returns its key."""
        assert self._owner
        ledger = PostgresEffects(self.services.database)
        (claim,) = await self.take_in()
        effect = await ledger.prepare(self._owner, claim, "act", uuid4(), ACTION)
        await ledger.begin(self._owner, claim, effect.key, TargetClass.BLIND, 60)
        await ledger.doubt(self._owner, claim, effect.key, "no answer")
        return effect.key

    async def bury(self, raw: bytes) -> int:
        """A dead letter; returns its number."""
        self._offset += 1
        letter = DeadLetter("kafka", "cannot be read", "EventInvalid", raw, "events", TOPIC, 0, self._offset)
        received = Received("events", TOPIC, 0, self._offset, b"k", raw)
        await PostgresInbox(self.services.database).accept("g", uuid4(), [], [(received, letter)], 0)
        (row,) = await self.services.database.rows("SELECT max(dl_id) AS n FROM dead_letters")
        return int(row["n"])


def event_of(subject: str, data: Mapping[str, Any]) -> WorkflowEvent:
    return WorkflowEvent.model_validate(
        {
            "event_id": uuid4(),
            "event_type": EVENT_TYPE,
            "timestamp": "2026-11-23T16:59:21Z",
            "source": "tests",
            "workflow_id": "w",
            "workflow_run_id": "r",
            "subject": subject,
            "payload": {"data": dict(data)},
        }
    )


PEOPLE: dict[str, tuple[str, Role, tuple[Delegation, ...]]] = {
    "vera.v": ("person", Role.VIEWER, ()),
    "otto.o": ("person", Role.OPERATOR, ()),
    "anna.k": ("person", Role.APPROVER, (Delegation(),)),
    "adam.a": ("person", Role.ADMINISTRATOR, ()),
    "nightly": ("service", Role.SERVICE, ()),
}
"""One of each role, and of nothing else."""
