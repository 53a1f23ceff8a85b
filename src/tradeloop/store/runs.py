"""Ownership of runs, from claim to record."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from psycopg.rows import DictRow

from tradeloop.audit.record import part_digest
from tradeloop.domain.canonical import sha256_hex
from tradeloop.domain.decisions import Decision
from tradeloop.domain.records import Lane
from tradeloop.domain.runs import Claim, Outcome, RunState
from tradeloop.kafka.messages import to_record
from tradeloop.ports import Tended
from tradeloop.store import arrays
from tradeloop.store.arrays import Argument
from tradeloop.store.cipher import Cipher
from tradeloop.store.database import Database
from tradeloop.store.line import positional
from tradeloop.store.texts import header_text, headers_from, storable

SALT_BYTES: Final = 16
EFFECT_FACTS: Final = ("kind", "target", "state", "digest")
MAX_ERROR_CHARS: Final = 4000
"""An error text is for people; a stack of megabytes in every row would slow every list."""

SUSPENDED: Final = {RunState.OUTCOME_UNKNOWN: "u", RunState.VERSION_UNAVAILABLE: "v"}

RECORD: Final = """
SELECT record_runs(
    %(owner)s, %(topic)s, %(dead_topic)s, %(runs)s::uuid[], %(fences)s::integer[], %(states)s::text[],
    %(decision_ids)s::uuid[], %(graphs)s::text[], %(versions)s::text[], %(decisions)s::jsonb[], %(effects)s::jsonb[],
    %(errors)s::text[], %(classes)s::text[], %(stacks)s::text[], %(values)s::bytea[], %(headers)s::jsonb[],
    %(audits)s::jsonb[]) AS recorded
"""


RECORD_STATEMENT, RECORD_NAMES = positional(RECORD)


class PostgresRuns:
    """ports.Runs on PostgreSQL."""

    def __init__(self, database: Database, dead_letters_topic: str = "workflow-dead-letters") -> None:
        self._database = database
        self._dead_letters_topic = dead_letters_topic

    async def enlist(self, owner: UUID, build: str, lease_s: float, graphs: Sequence[str] = ()) -> None:
        """Make `owner` known, with a lease and the graph versions that it can run."""
        await self._database.rows(
            "INSERT INTO workers (worker_id, kind, host, pid, build, graphs, lease_until) "
            "VALUES (%s, 'worker', %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s)) "
            "ON CONFLICT DO NOTHING",  # the answer to the first try may have been lost
            (owner, socket.gethostname(), os.getpid(), build, list(graphs), lease_s),
        )

    async def renew(self, owner: UUID, lease_s: float) -> bool:
        """Heartbeat; False when the lease had ended and others took the runs over."""
        row = await self._database.row(
            "UPDATE workers SET lease_until = clock_timestamp() + make_interval(secs => %s) "
            "WHERE worker_id = %s AND state <> 'dead' RETURNING worker_id",
            (lease_s, owner),
        )
        return row is not None

    async def retire(self, owner: UUID) -> None:
        """Give back every run and the lease."""
        await self._database.rows("SELECT retire_worker(%s)", (owner,))

    async def take_over(self) -> int:
        """Bury workers whose lease ended, requeue what nobody owns, wake what is due; returns how many."""
        row = await self._database.row("SELECT take_over() AS moved")
        return int(row["moved"]) if row else 0

    async def claim(
        self,
        owner: UUID,
        desks: Sequence[str],
        limit: int,
        *,
        quotas: Mapping[str, int] | None = None,
        graphs: Sequence[tuple[str, str]] | None = None,
    ) -> list[Claim]:
        """Own up to `limit` runs: only the head of a subject, the oldest first, up to `quotas` of each desk."""
        if not desks or limit < 1:
            return []
        # Whoever may take least comes first: the limit must not cut off a desk that has but one run.
        order = sorted(((limit if quotas is None else quotas.get(desk, 0)), desk) for desk in desks)
        known = graphs or ()
        rows = await self._database.line("claim").call(
            b"SELECT * FROM claim_runs($1, $2, $3, $4, $5, $6)",
            (
                arrays.uuid(owner),
                arrays.texts([desk for quota, desk in order if quota > 0]),
                arrays.integers([quota for quota, _ in order if quota > 0]),
                arrays.integer(limit),
                arrays.texts([event_type for event_type, _ in known]),
                arrays.texts([version for _, version in known]),
            ),
        )
        return [_claimed(row, self._database.cipher) for row in rows]

    async def tend(self, grace_s: float) -> Tended:
        """Repair missing heads; stop runs whose graph version no live worker has had for `grace_s`, and wake them."""
        row = await self._database.row("SELECT * FROM tend_runs(%s)", (grace_s,))
        return Tended(**row) if row else Tended()

    async def cancellable(self, owner: UUID) -> Mapping[UUID, str]:
        """Of the runs in hand those that somebody wants cancelled, with the reason, and that began no effect."""
        rows = await self._database.rows("SELECT * FROM cancellable_runs(%s)", (owner,))
        return {row["run_id"]: row["cancel"] for row in rows}

    async def backlog(self, limit: int) -> int:
        """How many runs are queued; counted up to `limit`."""
        row = await self._database.row("SELECT backlog(%s) AS queued", (limit,))
        return int(row["queued"]) if row else 0

    async def owned(self, owner: UUID) -> list[Claim]:
        """Every run that `owner` owns."""
        rows = await self._database.rows(
            "SELECT w.run_id, w.fence, w.desk, w.subject, i.event_type, w.event_id, w.generation, w.fails, "
            "w.takeovers, w.graph_version, coalesce(w.cancel, '') AS cancel, i.payload, i.headers "
            "FROM work w JOIN inbox i ON i.run_id = w.run_id "
            "WHERE w.owner = %s AND w.state = 'r' ORDER BY w.seq",
            (owner,),
        )
        return [_claim(row, self._database.cipher) for row in rows]

    async def retry(self, owner: UUID, claim: Claim, delay_s: float, error: str) -> bool:
        """Let the run rest and come back; False when another worker owns it."""
        error_class, _, text = error.partition(": ")
        row = await self._database.row(
            "SELECT retry_run(%s, %s, %s, %s, %s, %s, '') AS mine",
            (owner, claim.run_id, claim.fence, delay_s, storable(text)[:MAX_ERROR_CHARS], error_class),
        )
        return bool(row and row["mine"])

    async def suspend(self, owner: UUID, claim: Claim, state: RunState, reason: str) -> bool:
        """Leave the run until somebody acts; queue it when no effect of it is unknown any more. False: it was lost."""
        text = storable(reason)[:MAX_ERROR_CHARS]
        row = await self._database.row(
            "SELECT suspend_run(%s, %s, %s, %s, %s, %s) AS mine",
            (owner, claim.run_id, claim.fence, SUSPENDED[state], text, state.value),
        )
        return bool(row and row["mine"])

    async def record(self, owner: UUID, outcomes: Sequence[Outcome], decisions_topic: str) -> set[UUID]:
        """Write decision, audit record, outbox row and the run's end in one transaction."""
        given = {
            "owner": arrays.uuid(owner),
            "topic": arrays.text(decisions_topic),
            "dead_topic": arrays.text(self._dead_letters_topic),
            **_columns(outcomes, decisions_topic),
        }
        rows = await self._database.line("record").call(RECORD_STATEMENT, [given[name] for name in RECORD_NAMES])
        return set(arrays.read_uuids(rows[0][0] or b"")) if rows else set()


def _columns(outcomes: Sequence[Outcome], topic: str) -> dict[str, Argument]:
    records = [to_record(o.event, topic, Lane.OUTBOX) if o.event else None for o in outcomes]
    decisions = [o.decision.canonical if o.decision else None for o in outcomes]
    effects = [json.dumps(o.effect) for o in outcomes]
    errors = [storable(o.error)[:MAX_ERROR_CHARS] for o in outcomes]
    return {
        "runs": arrays.uuids([o.claim.run_id for o in outcomes]),
        "fences": arrays.integers([o.claim.fence for o in outcomes]),
        "states": arrays.texts([o.state.value for o in outcomes]),
        "decision_ids": arrays.uuids([o.decision_id for o in outcomes]),
        "graphs": arrays.texts([o.graph for o in outcomes]),
        "versions": arrays.texts([o.graph_version for o in outcomes]),
        "decisions": arrays.documents(decisions),
        "effects": arrays.documents(effects),
        "errors": arrays.texts(errors),
        "classes": arrays.texts([o.error_class for o in outcomes]),
        "stacks": arrays.texts([o.stack_hash for o in outcomes]),
        "values": arrays.blobs([record.value if record else None for record in records]),
        "headers": arrays.documents([header_text(record.headers) if record else None for record in records]),
        "audits": arrays.documents(
            [_audit_text(*parts) for parts in zip(outcomes, decisions, effects, errors, strict=True)]
        ),
    }


def _audit_text(outcome: Outcome, decision: str | None, effect: str, error: str) -> str:
    """The body of the audit record.

    What may have to be erased one day (reasons, findings, texts of models, parameters, results, errors) is its part
    `evidence`; the record itself has who decided what under which policy, and the digests of event and decision.
    """
    text = f'{{"decision":{decision or "null"},"effect":{effect},"error":{json.dumps(error)}}}'
    salt = secrets.token_bytes(SALT_BYTES)
    known = {
        "decision": _decision_facts(outcome.decision),
        "effect": {name: outcome.effect[name] for name in EFFECT_FACTS if name in outcome.effect},
        "decision_id": str(outcome.decision_id),
        "decision_sha256": sha256_hex(decision) if decision else None,
        "event_id": str(outcome.claim.event_id),
        "event_sha256": sha256_hex(outcome.claim.payload),
        "graph": outcome.graph,
        "graph_version": outcome.graph_version,
        "evidence": {"$redacted": {"sha256": part_digest(salt, text)}},
        "$clear": {"evidence": {"salt": salt.hex(), "text": text}},
    }
    return json.dumps(known)


def _decision_facts(decision: Decision | None) -> dict[str, object] | None:
    if decision is None:
        return None
    action = decision.action
    return {
        "outcome": decision.outcome,
        "decided_by": decision.decided_by,
        "degraded": decision.degraded,
        "policy_version": decision.policy_version,
        "policy_hash": decision.policy_hash,
        "cited": decision.cited,
        "model": decision.model.get("name") if decision.model else None,
        "action": {"kind": action.kind, "target": action.target, "digest": action.digest} if action else None,
    }


def _claimed(row: Sequence[bytes | None], cipher: Cipher) -> Claim:
    """A row of claim_runs, in binary form; the first byte of jsonb is its version."""
    values = [value or b"" for value in row]
    run_id, fence, desk, subject, event_type, event_id, generation, fails, takeovers = values[:9]
    graph_version, cancel, payload, headers = values[9:]
    return Claim(
        run_id=arrays.read_uuid(run_id),
        fence=arrays.read_integer(fence),
        desk=desk.decode(),
        subject=subject.decode(),
        event_type=event_type.decode(),
        event_id=arrays.read_uuid(event_id),
        generation=arrays.read_integer(generation),
        payload=cipher.open(payload),
        fails=arrays.read_integer(fails),
        takeovers=arrays.read_integer(takeovers),
        headers=headers_from(json.loads(headers[1:])),
        graph_version=graph_version.decode(),
        cancel=cancel.decode(),
    )


def _claim(row: DictRow, cipher: Cipher) -> Claim:
    return Claim(
        run_id=row["run_id"],
        fence=row["fence"],
        desk=row["desk"],
        subject=row["subject"],
        event_type=row["event_type"],
        event_id=row["event_id"],
        generation=row["generation"],
        payload=cipher.open(bytes(row["payload"])),
        fails=row["fails"],
        takeovers=row["takeovers"],
        headers=headers_from(row["headers"]),
        graph_version=row["graph_version"],
        cancel=row["cancel"],
    )
