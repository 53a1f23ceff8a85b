"""Durable intake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from tradeloop.domain.records import DeadLetter, Received
from tradeloop.domain.runs import Claim
from tradeloop.kafka.messages import LANE_HEADER
from tradeloop.ports import Arrival, TopicPartition
from tradeloop.store import arrays
from tradeloop.store.arrays import Argument
from tradeloop.store.cipher import Cipher
from tradeloop.store.database import Database
from tradeloop.store.line import positional
from tradeloop.store.texts import header_text, storable

MAX_CAUSE_CHARS: Final = 4000
"""The cause travels as a header of the mirrored record: with the original bytes it must fit into one."""
LATEST_MS: Final = 253_402_300_799_000
"""The end of the year 9999, which is as far as Python tells the time."""

# One subject may come by two partitions (other writers partition otherwise, or by another key): without its lock two
# intakes would both find nothing live, and two of its runs would run at a time. The slots wait for the locks.
ACCEPT: Final = """
WITH subjects AS MATERIALIZED (
    SELECT count(pg_advisory_xact_lock(s.key)) AS locked
    FROM (SELECT DISTINCT hashtextextended(concat_ws(E'\\x1f', u.desk, u.subject), 0) AS key
          FROM unnest(%(desks)s::text[], %(subjects)s::text[]) u(desk, subject) WHERE u.desk <> '' ORDER BY 1) s),
accepted AS MATERIALIZED (SELECT a.* FROM subjects, LATERAL accept_batch(
    %(group)s, %(owner)s, %(slots)s + 0 * subjects.locked::integer, %(dead_topic)s,
    %(topic_ids)s::uuid[], %(topics)s::text[], %(parts)s::integer[], %(offsets)s::bigint[], %(events)s::uuid[],
    %(runs)s::uuid[], %(types)s::text[], %(desks)s::text[], %(subjects)s::text[], %(lanes)s::text[],
    %(payloads)s::bytea[], %(headers)s::jsonb[], %(appended)s::timestamptz[], %(versions)s::text[],
    %(s_desks)s::text[], %(s_counts)s::integer[],
    %(d_topic_ids)s::uuid[], %(d_topics)s::text[], %(d_parts)s::integer[], %(d_offsets)s::bigint[],
    %(d_events)s::uuid[], %(d_causes)s::text[], %(d_classes)s::text[], %(d_raws)s::bytea[]) a),
marked AS MATERIALIZED (SELECT mark_reused_ids(
    (SELECT count(*) FROM accepted), %(dead_topic)s, %(topic_ids)s::uuid[], %(topics)s::text[], %(parts)s::integer[],
    %(offsets)s::bigint[], %(payloads)s::bytea[]))
SELECT a.claimed_run, a.claimed_fence FROM marked LEFT JOIN accepted a ON true
"""

STATEMENT, NAMES = positional(ACCEPT)


class PostgresInbox:
    """ports.Inbox on PostgreSQL."""

    def __init__(self, database: Database, dead_letters_topic: str = "") -> None:
        self._database = database
        self._line = database.line("accept")
        self._dead_letters_topic = dead_letters_topic

    async def positions(self, group: str, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Next offset of each partition that has been read before."""
        rows = await self._database.rows(
            "SELECT topic_id, partition, next_offset FROM cursors WHERE group_id = %s AND topic_id = ANY(%s)",
            (group, [topic_id for topic_id, _ in partitions]),
        )
        wanted = set(partitions)
        found = {(row["topic_id"], row["partition"]): row["next_offset"] for row in rows}
        return {place: offset for place, offset in found.items() if place in wanted}

    async def accept(
        self,
        group: str,
        owner: UUID,
        arrivals: Sequence[Arrival],
        dead: Sequence[tuple[Received, DeadLetter]],
        slots: int,
        quotas: Mapping[str, int] | None = None,
    ) -> list[Claim]:
        """Take a poll batch in, in one transaction, and claim up to `slots` of its runs for `owner`."""
        divided = [(desk, count) for desk, count in (quotas or {}).items() if count > 0]
        given = {
            "group": arrays.text(group),
            "owner": arrays.uuid(owner),
            "slots": arrays.integer(0 if quotas is not None else slots),
            "dead_topic": arrays.text(self._dead_letters_topic),
            "s_desks": arrays.texts([desk for desk, _ in divided]),
            "s_counts": arrays.integers([count for _, count in divided]),
            **_arrival_columns(arrivals, self._database.cipher),
            **_dead_columns(dead, self._database.cipher),
        }
        rows = await self._line.call(STATEMENT, [given[name] for name in NAMES])
        by_run = {arrival.run_id: arrival for arrival in arrivals}
        return [
            _claim(by_run[arrays.read_uuid(run_id)], arrays.read_integer(fence))
            for run_id, fence in rows
            if run_id is not None and fence is not None
        ]


def _arrival_columns(arrivals: Sequence[Arrival], cipher: Cipher) -> dict[str, Argument]:
    return {
        "topic_ids": arrays.uuids([a.received.topic_id for a in arrivals]),
        "topics": arrays.texts([a.received.topic for a in arrivals]),
        "parts": arrays.integers([a.received.partition for a in arrivals]),
        "offsets": arrays.bigints([a.received.offset for a in arrivals]),
        "events": arrays.uuids([a.event_id for a in arrivals]),
        "runs": arrays.uuids([a.run_id for a in arrivals]),
        "types": arrays.texts([a.event_type for a in arrivals]),
        "desks": arrays.texts([a.desk for a in arrivals]),
        "subjects": arrays.texts([storable(a.subject) for a in arrivals]),
        "lanes": arrays.texts([storable(a.received.header(LANE_HEADER)) for a in arrivals]),
        "payloads": arrays.blobs([cipher.close(a.received.value) for a in arrivals]),
        "headers": arrays.documents([header_text(a.received.headers) for a in arrivals]),
        "versions": arrays.texts([a.graph_version for a in arrivals]),
        "appended": arrays.moments([_moment(a.received.appended_at_ms) for a in arrivals]),
    }


def _moment(at_ms: int) -> datetime:
    # The producer's clock wrote it: nothing that it says is a reason to refuse the event.
    return datetime.fromtimestamp(min(max(at_ms, 0), LATEST_MS) / 1000, UTC)


def _dead_columns(dead: Sequence[tuple[Received, DeadLetter]], cipher: Cipher) -> dict[str, Argument]:
    return {
        "d_topic_ids": arrays.uuids([received.topic_id for received, _ in dead]),
        "d_topics": arrays.texts([received.topic for received, _ in dead]),
        "d_parts": arrays.integers([received.partition for received, _ in dead]),
        "d_offsets": arrays.bigints([received.offset for received, _ in dead]),
        "d_events": arrays.uuids([letter.event_id for _, letter in dead]),
        "d_causes": arrays.texts([storable(letter.cause)[:MAX_CAUSE_CHARS] for _, letter in dead]),
        "d_classes": arrays.texts([letter.error_class for _, letter in dead]),
        "d_raws": arrays.blobs([cipher.close(letter.raw) for _, letter in dead]),
    }


def _claim(arrival: Arrival, fence: int) -> Claim:
    return Claim(
        run_id=arrival.run_id,
        fence=fence,
        desk=arrival.desk,
        subject=arrival.subject,
        event_type=arrival.event_type,
        event_id=arrival.event_id,
        generation=0,
        payload=arrival.received.value,
        headers=arrival.received.headers,
        graph_version=arrival.graph_version,
    )
