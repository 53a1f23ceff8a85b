"""What pages show beside single runs: counts, lists with filters, what a stop holds back, where a word is found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString  # Any: arguments of a statement
from uuid import UUID

from tradeloop.domain.runs import RunState, RunView
from tradeloop.store.history import LIVE_STATES, RUNS, RunHistory
from tradeloop.store.retention import run_id_bound
from tradeloop.store.switches import STREAM as SWITCHES
from tradeloop.store.texts import storable

SEARCHED: Final = timedelta(days=30)
"""How far back subjects and DAG runs are looked for: they have no index, which intake would pay for."""
FOUND: Final = 20
OPENED: Final = 500
"""Events that are read to find those of a DAG run."""
MATCHING: Final[LiteralString] = """
WHERE (%(before)s::uuid IS NULL OR i.run_id < %(before)s) AND (%(since)s::uuid IS NULL OR i.run_id >= %(since)s)
  AND (%(desk)s = '' OR i.desk = %(desk)s) AND (%(type)s = '' OR i.event_type = %(type)s)
  AND (%(subject)s = '' OR strpos(lower(i.subject), lower(%(subject)s)) > 0)
  AND (%(states)s::text[] IS NULL OR coalesce(r.state, w.state::text) = ANY(%(states)s))
  AND (%(outcome)s = '' OR r.decision->>'outcome' = %(outcome)s)
  AND (%(by)s = '' OR r.decision->>'decided_by' = %(by)s)
  AND (%(unhandled)s OR r.state IS DISTINCT FROM 'unhandled') AND (NOT %(decided)s OR r.decision IS NOT NULL)
ORDER BY i.run_id DESC LIMIT %(limit)s
"""
AHEAD: Final[LiteralString] = """
WITH waiting AS (SELECT w.run_id, f.first FROM work w CROSS JOIN LATERAL (
    SELECT e.run_id AS first FROM work e WHERE e.desk = w.desk AND e.subject = w.subject AND e.seq < w.seq
    ORDER BY e.seq LIMIT 1) f WHERE w.run_id = ANY(%s))
SELECT run_id, first FROM waiting
"""
HELD: Final[LiteralString] = """
SELECT (SELECT count(*) FROM work w WHERE w.state = 'w' AND w.error LIKE 'switched off: %%'
            AND (%(desk)s = '' OR w.desk = %(desk)s)) AS runs,
       (SELECT count(*) FROM approvals a WHERE a.state IN ('pending', 'approved')
            AND (%(desk)s = '' OR a.desk = %(desk)s)) AS asked,
       (SELECT count(*) FROM effects e WHERE e.run_id >= %(since)s AND e.executing_at > %(stopped_at)s
            AND (%(desk)s = '' OR EXISTS (SELECT 1 FROM work w WHERE w.run_id = e.run_id AND w.desk = %(desk)s)
                 OR EXISTS (SELECT 1 FROM runs r WHERE r.run_id = e.run_id AND r.desk = %(desk)s))) AS begun
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers that every page shows."""

    waiting: int = 0
    letters: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs; what is empty does not narrow."""

    state: str = ""
    desk: str = ""
    subject: str = ""
    type: str = ""
    outcome: str = ""
    by: str = ""
    since: datetime | None = None
    before: UUID | None = None
    """Only older ones than this run."""
    decided: bool = False
    with_unhandled: bool = False

    @property
    def is_narrow(self) -> bool:
        """Whether anything was asked for."""
        return any((self.state, self.desk, self.subject, self.type, self.outcome, self.by, self.since))


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One audit record, without its body."""

    stream: UUID
    n: int
    kind: str
    at: datetime
    hash: str
    is_run: bool
    """Whether its stream is a run's."""


@dataclass(frozen=True, slots=True)
class Turned:
    """One thing that was done to a switch."""

    at: datetime
    what: str
    scope: str
    by: str
    asked_by: str
    reason: str
    """Empty, too, where the text was erased."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a stop holds back."""

    runs: int
    asked: int
    begun: int
    """Effects that began after it: always 0."""


class Overview(RunHistory):
    """Reads for pages; writes nothing."""

    async def counts(self) -> Counts:
        """Questions that wait and letters that are open."""
        row = await self._database.row(
            "SELECT (SELECT count(*) FROM approvals WHERE state = 'pending') AS waiting, "
            "(SELECT count(*) FROM dead_letters WHERE state = 'open') AS letters"
        )
        return Counts(**row) if row else Counts()

    async def runs(self, wanted: Wanted, limit: int) -> list[RunView]:
        """Those that fit, the newest first."""
        arguments = {
            "before": wanted.before,
            "since": run_id_bound(wanted.since) if wanted.since else None,
            "desk": wanted.desk,
            "type": wanted.type,
            "subject": storable(wanted.subject),
            "states": _codes(wanted.state),
            "outcome": wanted.outcome,
            "by": wanted.by,
            "unhandled": wanted.with_unhandled or bool(wanted.state),
            "decided": wanted.decided,
            "limit": limit,
        }
        return [self._view(row) for row in await self._database.rows(RUNS + MATCHING, arguments)]

    async def ahead(self, runs: Sequence[RunView]) -> dict[UUID, RunView]:
        """By run: the earlier event of its subject that is still at work."""
        queued = [run.run_id for run in runs if run.state is RunState.QUEUED]
        if not queued:
            return {}
        pairs = {row["run_id"]: row["first"] for row in await self._database.rows(AHEAD, (queued,))}
        found = {
            view.run_id: view
            for view in map(
                self._view,
                await self._database.rows(RUNS + " WHERE i.run_id = ANY(%s)", (list(set(pairs.values())),)),
            )
        }
        return {run: found[first] for run, first in pairs.items() if first in found}

    async def records(self, stream: UUID, limit: int = 200) -> list[AuditRow]:
        """Audit records of a run, the first first."""
        rows = await self._database.rows(
            "SELECT stream_id, n, kind, at, left(encode(hash, 'hex'), 16) AS hash, true AS is_run FROM audit "
            "WHERE stream_id = %s ORDER BY n LIMIT %s",
            (stream, limit),
        )
        return [_audit(row) for row in rows]

    async def newest_records(self, limit: int = 50) -> list[AuditRow]:
        """Audit records of everything, the newest first."""
        rows = await self._database.rows(
            "SELECT a.stream_id, a.n, a.kind, a.at, left(encode(a.hash, 'hex'), 16) AS hash, "
            "EXISTS (SELECT 1 FROM inbox i WHERE i.run_id = a.stream_id) AS is_run "
            "FROM audit a ORDER BY a.id DESC LIMIT %s",
            (limit,),
        )
        return [_audit(row) for row in rows]

    async def turns(self, limit: int = 30) -> list[Turned]:
        """What was done to switches, the newest first."""
        rows = await self._database.rows(
            "SELECT a.at, a.kind, coalesce(a.body->>'scope', '') AS scope, coalesce(a.body->>'by', '') AS by, "
            "coalesce(a.body->>'asked_by', '') AS asked_by, CASE jsonb_typeof(a.body->'reason') WHEN 'string' "
            "THEN a.body->>'reason' ELSE '' END AS reason "
            "FROM audit_records a WHERE a.stream_id = %s ORDER BY a.n DESC LIMIT %s",
            (SWITCHES, limit),
        )
        return [
            Turned(row["at"], _said(row["kind"]), row["scope"], row["by"], row["asked_by"], row["reason"])
            for row in rows
        ]

    async def held(self, desk: str, stopped_at: datetime) -> Held:
        """What a stop of the desk, or of every desk for '', holds back; effects of runs of the last 30 days."""
        arguments = {"desk": desk, "stopped_at": stopped_at, "since": run_id_bound(stopped_at - SEARCHED)}
        row = await self._database.row(HELD, arguments)
        assert row is not None  # noqa: S101 - of counts there is always a row
        return Held(**row)

    async def named(self, word: str) -> list[RunView]:
        """Runs whose subject holds the word, the newest first, of the last 30 days."""
        return await self.runs(Wanted(subject=word, since=_searched(), with_unhandled=True), FOUND)

    async def of_dag_run(self, dag_id: str, dag_run_id: str) -> list[tuple[RunView, str]]:
        """Runs of events that a DAG run emitted, with the task, and the one whose decision started it (`decision`)."""
        # What is sealed cannot be looked into by the database: the newest of it is opened here.
        rows = await self._database.rows(
            "SELECT i.run_id, i.payload FROM inbox i WHERE i.run_id >= %s "
            "AND (position(%s::bytea IN i.payload) > 0 OR substring(i.payload FROM 1 FOR 1) = '\\x00'::bytea) "
            "ORDER BY i.run_id DESC LIMIT %s",
            (run_id_bound(_searched()), json.dumps(dag_run_id).encode(), OPENED),
        )
        tasks: dict[UUID, str] = {}
        for row in rows:
            event = _event(self._database.cipher.open(bytes(row["payload"])))
            if event.get("workflow_run_id") == dag_run_id and dag_id in ("", event.get("workflow_id")):
                tasks[row["run_id"]] = str(_mapping(event.get("metadata")).get("task_id", ""))
        views = await self._database.rows(
            RUNS + " WHERE i.run_id = ANY(%s) ORDER BY i.run_id DESC LIMIT %s", (list(tasks), FOUND)
        )
        found = [(self._view(row), tasks[row["run_id"]]) for row in views]
        try:
            caused = UUID(dag_run_id)
        except ValueError:
            return found
        rows = await self._database.rows(RUNS + " WHERE r.decision_id = %s", (caused,))
        return [*found, *((self._view(row), "decision") for row in rows)]

    async def of_trace(self, correlation_id: UUID) -> list[tuple[RunView, str]]:
        """Runs of events with that correlation id, or of the event of that id, with `dag/run/task`; the first first."""
        rows = await self._database.rows(
            "SELECT i.run_id, i.event_id, i.payload FROM inbox i WHERE i.run_id >= %s AND (i.event_id = %s "
            "OR position(%s::bytea IN i.payload) > 0 OR substring(i.payload FROM 1 FOR 1) = '\\x00'::bytea) "
            "ORDER BY i.run_id DESC LIMIT %s",
            (run_id_bound(_searched()), correlation_id, str(correlation_id).encode(), OPENED),
        )
        tasks: dict[UUID, str] = {}
        for row in rows:
            event = _event(self._database.cipher.open(bytes(row["payload"])))
            if correlation_id == row["event_id"] or str(event.get("correlation_id", "")).lower() == str(correlation_id):
                task = _mapping(event.get("metadata")).get("task_id")
                names = (event.get("workflow_id"), event.get("workflow_run_id"), task)
                tasks[row["run_id"]] = "/".join(str(name) for name in names if name)
        views = await self._database.rows(
            RUNS + " WHERE i.run_id = ANY(%s) ORDER BY i.run_id LIMIT %s", (list(tasks), FOUND)
        )
        return [(self._view(row), tasks[row["run_id"]]) for row in views]


def _searched() -> datetime:
    return datetime.now(UTC) - SEARCHED


def _codes(state: str) -> list[str] | None:
    if not state:
        return None
    return [state, *(code for code, word in LIVE_STATES.items() if word.value == state)]


def _said(kind: str) -> str:
    return kind.removeprefix("switch_").replace("_", " ")


def _audit(row: Mapping[str, Any]) -> AuditRow:
    return AuditRow(row["stream_id"], row["n"], row["kind"], row["at"], row["hash"] or "", row["is_run"])


def _event(raw: bytes) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(raw))
    except (ValueError, RecursionError):
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
