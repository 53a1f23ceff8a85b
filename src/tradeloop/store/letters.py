"""Dead letters: read, put back, discarded."""

from __future__ import annotations

from typing import Any, Final, LiteralString  # Any: arguments of a statement
from uuid import UUID

from psycopg.rows import DictRow

from tradeloop.domain.letters import (
    DEAD_LETTER_STREAM,
    Letter,
    LetterFilter,
    LetterGroup,
    LetterState,
    Replay,
    ReplayResult,
)
from tradeloop.errors import NotFound
from tradeloop.ports import Arrival
from tradeloop.store.cipher import Cipher
from tradeloop.store.database import Database
from tradeloop.store.texts import storable

# A run's letter has its place in the inbox, where the record was read.
LETTERS: Final[LiteralString] = """
SELECT d.dl_id, d.source, coalesce(i.topic, d.topic) AS topic, coalesce(i.partition, d.partition) AS partition,
       coalesce(i."offset", d."offset") AS "offset", d.event_id, d.run_id, d.cause, d.error_class, d.stack_hash,
       d.attempts, d.graph_version, d.raw, d.state, d.decided_by, d.reason, d.created_at, d.decided_at, d.replay_run_id
FROM dead_letters d LEFT JOIN inbox i ON i.run_id = d.run_id
"""
MATCHING: Final[LiteralString] = """
WHERE (%(ids)s::bigint[] IS NULL OR d.dl_id = ANY(%(ids)s)) AND (%(state)s::text IS NULL OR d.state = %(state)s)
  AND (%(cause)s::text IS NULL OR position(lower(%(cause)s) IN lower(d.cause)) > 0)
  AND (%(kind)s::text IS NULL OR d.error_class = %(kind)s) AND (%(source)s::text IS NULL OR d.source = %(source)s)
  AND (%(topic)s::text IS NULL OR coalesce(i.topic, d.topic) = %(topic)s)
  AND (%(since)s::timestamptz IS NULL OR d.created_at >= %(since)s)
"""


class PostgresLetters:
    """ports.Letters on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(self, wanted: LetterFilter, limit: int = 50, before: int | None = None) -> list[Letter]:
        """Matching letters, the newest first; `before` is the number of the last one seen."""
        rows = await self._database.rows(
            LETTERS
            + MATCHING
            + " AND (%(before)s::bigint IS NULL OR d.dl_id < %(before)s) ORDER BY d.dl_id DESC LIMIT %(limit)s",
            _arguments(wanted) | {"limit": limit, "before": before},
        )
        return [_letter(row, self._database.cipher) for row in rows]

    async def after(self, letter_id: int, wanted: LetterFilter, limit: int) -> list[Letter]:
        """Matching letters with a larger number, the oldest first."""
        rows = await self._database.rows(
            LETTERS + MATCHING + " AND d.dl_id > %(after)s ORDER BY d.dl_id LIMIT %(limit)s",
            _arguments(wanted) | {"after": letter_id, "limit": limit},
        )
        return [_letter(row, self._database.cipher) for row in rows]

    async def count(self, wanted: LetterFilter) -> int:
        """How many letters match."""
        row = await self._database.row(
            "SELECT count(*) AS n FROM dead_letters d LEFT JOIN inbox i ON i.run_id = d.run_id " + MATCHING,
            _arguments(wanted),
        )
        return int(row["n"]) if row else 0

    async def groups(self) -> list[LetterGroup]:
        """Open letters by kind of error, source and place in the code, the most frequent first."""
        rows = await self._database.rows(
            "SELECT error_class, source, stack_hash, count(*) AS count, min(created_at) AS first_at, "
            "max(created_at) AS last_at, max(dl_id) AS example FROM dead_letters WHERE state = 'open' "
            "GROUP BY 1, 2, 3 ORDER BY 4 DESC, 7 DESC"
        )
        return [LetterGroup(**row) for row in rows]

    async def find(self, letter_id: int) -> Letter:
        """The letter of that number.

        Raises:
            NotFound: there is none.
        """
        row = await self._database.row(LETTERS + " WHERE d.dl_id = %s", (letter_id,))
        if row is None:
            raise NotFound(f"there is no dead letter {letter_id}.", hint="tradeloop dlq list")
        return _letter(row, self._database.cipher)

    async def between(self, low: UUID, high: UUID) -> list[int]:
        """Numbers of letters whose event or run has an id from `low` to `high`; at most ten."""
        rows = await self._database.rows(
            "SELECT dl_id FROM dead_letters WHERE event_id BETWEEN %(low)s AND %(high)s "
            "OR run_id BETWEEN %(low)s AND %(high)s ORDER BY dl_id LIMIT 10",
            {"low": low, "high": high},
        )
        return [row["dl_id"] for row in rows]

    async def replay(self, letter_id: int, arrival: Arrival, by: str) -> Replay:
        """Put the letter's event back through the inbox, in one transaction; a double is dropped there."""
        row = await self._database.row(
            "SELECT * FROM replay_letter(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                letter_id,
                arrival.run_id,
                arrival.event_id,
                arrival.event_type,
                arrival.desk,
                storable(arrival.subject),
                self._database.cipher.close(arrival.received.value),
                DEAD_LETTER_STREAM,
                storable(by),
            ),
        )
        assert row is not None  # noqa: S101 - the function returns a row on every way
        return Replay(ReplayResult(row["result"]), row["new_run"], row["new_generation"])

    async def discard(self, letter_id: int, by: str, reason: str) -> bool:
        """Give the letter up and keep it; False when it is not open."""
        row = await self._database.row(
            "SELECT discard_letter(%s, %s, %s, %s) AS discarded",
            (letter_id, DEAD_LETTER_STREAM, storable(by), storable(reason)),
        )
        return bool(row and row["discarded"])


def _arguments(wanted: LetterFilter) -> dict[str, Any]:
    return {
        "ids": list(wanted.ids) or None,
        "cause": wanted.cause or None,
        "kind": wanted.kind or None,
        "source": wanted.source or None,
        "topic": wanted.topic or None,
        "state": wanted.state.value if wanted.state else None,
        "since": wanted.since,
    }


def _letter(row: DictRow, cipher: Cipher) -> Letter:
    facts = {name: value for name, value in row.items() if name not in ("dl_id", "raw", "state")}
    return Letter(letter_id=row["dl_id"], raw=cipher.open(bytes(row["raw"])), state=LetterState(row["state"]), **facts)
