"""Runs as people look for them: live and finished, by any id or its beginning."""

from __future__ import annotations

from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import DictRow

from tradeloop.domain.decisions import Decision
from tradeloop.domain.runs import RunState, RunView, decision_id_of
from tradeloop.errors import Ambiguous, NotFound, UsageInvalid
from tradeloop.store.database import Database

AMBIGUOUS_SHOWN: Final = 10
LIVE_STATES: Final = {
    "q": RunState.QUEUED,
    "r": RunState.RUNNING,
    "w": RunState.RETRYING,
    "p": RunState.PARKED,
    "u": RunState.OUTCOME_UNKNOWN,
    "v": RunState.VERSION_UNAVAILABLE,
}

RUNS: Final[LiteralString] = """
SELECT i.run_id, i.desk, i.subject, i.event_id, i.event_type, i.lane, i.topic, i.partition, i."offset",
       i.received_at, i.appended_at, coalesce(r.state, w.state::text) AS state, coalesce(r.graph, w.graph, '') AS graph,
       coalesce(r.graph_version, w.graph_version, '') AS graph_version, coalesce(r.error, w.error, '') AS error,
       coalesce(r.fails, w.fails, 0) AS fails, coalesce(r.generation, w.generation, 0) AS generation,
       r.decision_id, r.decision, coalesce(nullif(r.effect, '{}'), e.effect, '{}') AS effect, r.finished_at
FROM inbox i LEFT JOIN runs r ON r.run_id = i.run_id LEFT JOIN work w ON w.run_id = i.run_id
LEFT JOIN LATERAL (
    SELECT jsonb_build_object(
               'kind', kind, 'target', target, 'digest', digest, 'result', result,
               'state', CASE WHEN state = 'prepared' AND blocked_reason <> '' THEN 'blocked' ELSE state END,
               'error', coalesce(nullif(blocked_reason, ''), error)) AS effect
    FROM effects WHERE effects.run_id = i.run_id ORDER BY prepared_at DESC LIMIT 1) e ON true
"""
"""A run without a recorded effect shows its newest one of the ledger; `blocked`: its target cannot take it now."""


class RunHistory:
    """Reads runs; writes nothing."""

    def __init__(self, database: Database, instance: str) -> None:
        self._database = database
        self._instance = instance

    async def recent(  # noqa: PLR0913 - each narrows the list
        self,
        *,
        limit: int = 50,
        state: str = "",
        desk: str = "",
        since: datetime | None = None,
        with_unhandled: bool = True,
        event_type: str = "",
        subject: str = "",
        decided: bool = False,
        before: UUID | None = None,
    ) -> list[RunView]:
        """The newest runs first; `state` is a word of RunState, `before` the id of the last one seen.

        Raises:
            UsageInvalid: no state is called so.
        """
        rows = await self._database.rows(
            RUNS + " WHERE (%(desk)s = '' OR i.desk = %(desk)s) AND (%(state)s::text[] IS NULL "
            "OR coalesce(r.state, w.state::text) = ANY(%(state)s)) AND (%(since)s::timestamptz IS NULL "
            "OR i.received_at >= %(since)s) AND (%(unhandled)s OR r.state IS DISTINCT FROM 'unhandled') "
            "AND (%(type)s = '' OR i.event_type = %(type)s) AND (%(subject)s = '' OR i.subject = %(subject)s) "
            "AND (NOT %(decided)s OR r.decision IS NOT NULL) AND (%(before)s::uuid IS NULL OR i.run_id < %(before)s) "
            "ORDER BY i.run_id DESC LIMIT %(limit)s",
            {
                "desk": desk,
                "state": _state_codes(state),
                "since": since,
                "unhandled": with_unhandled,
                "type": event_type,
                "subject": subject,
                "decided": decided,
                "before": before,
                "limit": limit,
            },
        )
        return [self._view(row) for row in rows]

    async def of_event(self, event_id: UUID) -> RunView | None:
        """The newest run of an event."""
        row = await self._database.row(
            RUNS + " WHERE i.event_id = %s ORDER BY coalesce(r.generation, w.generation) DESC LIMIT 1", (event_id,)
        )
        return self._view(row) if row else None

    async def find(self, prefix: str) -> RunView:
        """The run whose own id, event id or decision id begins with `prefix`.

        Raises:
            NotFound: no run.
            Ambiguous: several; the message lists them.
        """
        low, high = id_bounds(prefix)
        rows = await self._database.rows(
            RUNS + " WHERE i.run_id IN (SELECT run_id FROM inbox WHERE run_id BETWEEN %(low)s AND %(high)s "
            "UNION SELECT run_id FROM inbox WHERE event_id BETWEEN %(low)s AND %(high)s "
            "UNION SELECT run_id FROM runs WHERE decision_id BETWEEN %(low)s AND %(high)s "
            "UNION SELECT run_id FROM work WHERE run_id = ANY(%(live)s)) ORDER BY i.run_id LIMIT 11",
            {"low": low, "high": high, "live": await self._live(low, high)},
        )
        if not rows:
            raise NotFound(f"no run begins with {prefix!r}.", hint="tradeloop runs list")
        views = [self._view(row) for row in rows]
        if low == high:  # a whole id: of an event that was decided again the newest run is meant
            return views[-1]
        if len(views) > 1:
            ids = [i for v in views for i in (v.run_id, v.event_id, v.decision_id) if low <= i <= high]
            raise ambiguous("run", prefix, ids)
        return views[0]

    async def _live(self, low: UUID, high: UUID) -> list[UUID]:
        rows = await self._database.rows("SELECT run_id, event_id, generation FROM work")
        return [
            row["run_id"]
            for row in rows
            if low <= decision_id_of(self._instance, row["event_id"], row["generation"]) <= high
        ]

    def _view(self, row: DictRow) -> RunView:
        return RunView(
            run_id=row["run_id"],
            state=LIVE_STATES.get(row["state"]) or RunState(row["state"]),
            desk=row["desk"],
            subject=row["subject"],
            event_id=row["event_id"],
            event_type=row["event_type"],
            graph=row["graph"],
            graph_version=row["graph_version"],
            received_at=row["received_at"],
            appended_at=row["appended_at"],
            finished_at=row["finished_at"],
            decision_id=row["decision_id"] or decision_id_of(self._instance, row["event_id"], row["generation"]),
            decision=Decision.model_validate(row["decision"]) if row["decision"] else None,
            effect=row["effect"],
            error=row["error"],
            lane=row["lane"],
            topic=row["topic"],
            partition=row["partition"],
            offset=row["offset"],
            fails=row["fails"],
        )


def ambiguous(noun: str, prefix: str, ids: list[UUID]) -> Ambiguous:
    """The error for a beginning that several ids share: it shows each as far as they can be told apart."""
    texts = sorted({str(one) for one in ids})
    length = next((n for n in range(8, 36) if len({text[:n] for text in texts}) == len(texts)), 36)
    shown = " ".join(text[:length] for text in texts[:AMBIGUOUS_SHOWN])
    count = f"{len(texts)}" if len(texts) <= AMBIGUOUS_SHOWN else f"more than {AMBIGUOUS_SHOWN}"
    return Ambiguous(f"{count} {noun}s begin with {prefix!r}: {shown}", hint="give one more character")


def _state_codes(state: str) -> list[str] | None:
    if not state:
        return None
    try:
        wanted = RunState(state)
    except ValueError as problem:
        words = ", ".join(known.value for known in RunState)
        raise UsageInvalid(f"no state is called {state!r}; known: {words}") from problem
    return [wanted.value, *(code for code, word in LIVE_STATES.items() if word is wanted)]


def id_bounds(prefix: str) -> tuple[UUID, UUID]:
    """The smallest and the largest id that begin so.

    Raises:
        NotFound: these are no hexadecimal digits.
    """
    digits = prefix.replace("-", "").lower()
    if not digits or len(digits) > 32 or set(digits) - set("0123456789abcdef"):
        raise NotFound(f"{prefix!r} is no id: hexadecimal digits are expected.", hint="tradeloop runs list")
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
