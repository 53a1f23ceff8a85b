"""What came to one desk on one day: the runs, the counts, the events themselves."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final, LiteralString  # Any: columns of a row
from uuid import UUID

from tradeloop.domain.desk_days import Coverage, bounds
from tradeloop.domain.runs import RunView
from tradeloop.store.history import LIVE_STATES, RunHistory
from tradeloop.store.retention import run_id_bound

THE_DAY: Final[LiteralString] = """
WITH d AS MATERIALIZED (
    SELECT run_id FROM inbox WHERE received_at >= %(since)s AND received_at < %(until)s AND desk = %(desk)s
    UNION
    SELECT run_id FROM runs WHERE desk = %(desk)s AND finished_at >= %(since)s AND finished_at < %(until)s
    UNION
    SELECT r.run_id FROM runs r WHERE r.desk = %(desk)s AND r.run_id >= %(first)s AND r.run_id < %(beyond)s
      AND NOT EXISTS (SELECT 1 FROM inbox i WHERE i.run_id = r.run_id)
    UNION
    SELECT w.run_id FROM work w JOIN inbox i ON i.run_id = w.run_id
    WHERE w.desk = %(desk)s AND i.received_at < %(until)s)
"""
"""Runs that came on the day, ended on it, or came before its end and are still open. The inbox is kept for a
shorter time than the runs: of a run without its event, the time in its own id tells when that came."""

RECEIVED: Final[LiteralString] = (
    "coalesce(i.received_at, "
    "to_timestamp(('x' || left(replace(d.run_id::text, '-', ''), 12))::bit(48)::bigint / 1000.0))"
)

VIEWS: Final[LiteralString] = (
    THE_DAY + "SELECT d.run_id, coalesce(r.desk, w.desk) AS desk, coalesce(r.subject, w.subject) AS subject, "
    "coalesce(r.event_id, w.event_id) AS event_id, coalesce(i.event_type, '') AS event_type, "
    "coalesce(i.lane, '') AS lane, coalesce(i.topic, '') AS topic, coalesce(i.partition, 0) AS partition, "
    'coalesce(i."offset", 0) AS "offset", '
    + RECEIVED
    + " AS received_at, coalesce(i.appended_at, "
    + RECEIVED
    + """) AS appended_at, coalesce(r.state, w.state::text) AS state,
       coalesce(r.graph, w.graph, '') AS graph, coalesce(r.graph_version, w.graph_version, '') AS graph_version,
       coalesce(r.error, w.error, '') AS error, coalesce(r.fails, w.fails, 0) AS fails,
       coalesce(r.generation, w.generation, 0) AS generation, r.decision_id, r.decision, r.finished_at,
       coalesce(nullif(r.effect, '{}'), e.effect, '{}') AS effect
FROM d LEFT JOIN inbox i ON i.run_id = d.run_id LEFT JOIN runs r ON r.run_id = d.run_id
LEFT JOIN work w ON w.run_id = d.run_id
LEFT JOIN LATERAL (
    SELECT jsonb_build_object(
               'kind', kind, 'target', target, 'result', result, 'error', coalesce(nullif(blocked_reason, ''), error),
               'state', CASE WHEN state = 'prepared' AND blocked_reason <> '' THEN 'blocked' ELSE state END) AS effect
    FROM effects WHERE effects.run_id = d.run_id ORDER BY prepared_at DESC LIMIT 1) e ON true
WHERE r.run_id IS NOT NULL OR w.run_id IS NOT NULL ORDER BY d.run_id DESC LIMIT %(limit)s
"""
)

COUNTS: Final[LiteralString] = (
    THE_DAY
    + """,
x AS MATERIALIZED (
    SELECT coalesce(i.event_id, r.event_id) AS event_id, coalesce(i.lane, '') AS lane, w.state::text AS live,
           """
    + RECEIVED
    + """ AS received_at, r.state, r.decision, r.effect, r.finished_at,
           coalesce(r.finished_at >= %(since)s AND r.finished_at < %(until)s, false) AS over
    FROM d LEFT JOIN inbox i ON i.run_id = d.run_id
    LEFT JOIN runs r ON r.run_id = d.run_id LEFT JOIN work w ON w.run_id = d.run_id),
y AS MATERIALIZED (
    SELECT x.*, over AND decision IS NOT NULL AS decided, extract(epoch FROM finished_at - received_at) AS took,
           received_at >= %(since)s AND received_at < %(until)s AS came FROM x)
SELECT 'received' AS what, '' AS word, count(DISTINCT event_id) AS n, NULL::float AS s FROM y WHERE came
UNION ALL SELECT 'lanes', lane, count(DISTINCT event_id), NULL FROM y WHERE came GROUP BY lane
UNION ALL SELECT 'decided', '', count(*), NULL FROM y WHERE decided
UNION ALL SELECT 'decided_of_earlier', '', count(*), NULL FROM y WHERE decided AND NOT came
UNION ALL SELECT 'ended', state, count(*), NULL FROM y WHERE over AND NOT decided GROUP BY state
UNION ALL SELECT 'open', live, count(*), NULL FROM y WHERE live IS NOT NULL GROUP BY live
UNION ALL SELECT 'outcomes', decision->>'outcome', count(*), NULL FROM y WHERE decided GROUP BY 2
UNION ALL SELECT 'decided_by', decision->>'decided_by', count(*), NULL FROM y WHERE decided GROUP BY 2
UNION ALL SELECT 'degraded', '', count(*), NULL FROM y WHERE decided AND (decision->>'degraded')::boolean
UNION ALL SELECT 'policies', decision->>'policy_version', count(*), NULL FROM y WHERE decided GROUP BY 2
UNION ALL SELECT 'effects', effect->>'state', count(*), NULL FROM y WHERE decided AND effect ? 'state' GROUP BY 2
UNION ALL SELECT 'median_s', '', 0, percentile_cont(0.5) WITHIN GROUP (ORDER BY took) FROM y WHERE decided
UNION ALL SELECT 'slowest_s', '', 0, max(took) FROM y WHERE decided
UNION ALL SELECT 'doubles', '', count(*), NULL FROM inbox_doubles b
    WHERE b.seen_at >= %(since)s AND b.seen_at < %(until)s
      AND EXISTS (SELECT 1 FROM inbox i WHERE i.event_id = b.event_id AND i.desk = %(desk)s)
UNION ALL SELECT 'dead_letters', l.state, count(*), NULL FROM dead_letters l JOIN inbox i ON i.run_id = l.run_id
    WHERE l.created_at >= %(since)s AND l.created_at < %(until)s AND i.desk = %(desk)s GROUP BY 2
ORDER BY 1, 3 DESC, 2
"""
)


class DeskDays(RunHistory):
    """Reads the days of a desk; writes nothing. Days are those of UTC."""

    async def runs(self, desk: str, day: date, *, limit: int) -> tuple[list[RunView], int]:
        """The newest runs of the day, the newest first, and how many there are in all."""
        arguments = self._arguments(desk, day)
        row = await self._database.row(THE_DAY + "SELECT count(*) AS n FROM d", arguments)
        rows = await self._database.rows(VIEWS, arguments | {"limit": limit})
        return [self._view(found) for found in rows], int(row["n"]) if row else 0

    async def coverage(self, desk: str, day: date) -> Coverage:
        """The day in figures."""
        found: dict[str, dict[str, Any]] = {}
        for row in await self._database.rows(COUNTS, self._arguments(desk, day)):
            found.setdefault(row["what"], {})[row["word"] or ""] = row["n"] if row["s"] is None else row["s"]

        def told(what: str) -> dict[str, int]:
            return {word or "unknown": int(n) for word, n in found.get(what, {}).items()}

        def number(what: str) -> int:
            return int(found.get(what, {}).get("", 0))

        def seconds(what: str) -> float | None:
            value = found.get(what, {}).get("")
            return float(value) if value and number("decided") else None

        return Coverage(
            received=number("received"),
            decided=number("decided"),
            decided_of_earlier=number("decided_of_earlier"),
            ended=told("ended"),
            open={LIVE_STATES[state].value: n for state, n in told("open").items()},
            outcomes=told("outcomes"),
            decided_by=told("decided_by"),
            degraded=number("degraded"),
            effects=told("effects"),
            policies=tuple(word for word in found.get("policies", {}) if word),
            doubles=number("doubles"),
            lanes=told("lanes"),
            dead_letters=told("dead_letters"),
            median_s=seconds("median_s"),
            slowest_s=seconds("slowest_s"),
        )

    async def payload(self, run_id: UUID) -> bytes | None:
        """The original bytes of a run's event; None: they are over their time."""
        row = await self._database.row("SELECT payload FROM inbox WHERE run_id = %s", (run_id,))
        return self._database.cipher.open(bytes(row["payload"])) if row else None

    async def last_before(self, desk: str, moment: datetime) -> date | None:
        """The last day before that moment on which the desk decided something."""
        row = await self._database.row(
            "SELECT max(finished_at) AS at FROM runs WHERE desk = %s AND finished_at < %s", (desk, moment)
        )
        return row["at"].astimezone(UTC).date() if row and row["at"] else None

    async def is_known(self, desk: str) -> bool:
        """Whether anything ever came to a desk of that name."""
        row = await self._database.row(
            "SELECT EXISTS (SELECT 1 FROM runs WHERE desk = %(desk)s) "
            "OR EXISTS (SELECT 1 FROM work WHERE desk = %(desk)s) AS yes",
            {"desk": desk},
        )
        return bool(row and row["yes"])

    @staticmethod
    def _arguments(desk: str, day: date) -> dict[str, Any]:
        since, until = bounds(day)
        ids = {"first": run_id_bound(since), "beyond": run_id_bound(until)}
        return {"desk": desk, "since": since, "until": until, **ids}
