"""Durable intake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final  # Any: arguments of a statement
from uuid import UUID

from tradeloop.domain.records import DeadLetter, Received
from tradeloop.domain.runs import Claim
from tradeloop.kafka.messages import LANE_HEADER
from tradeloop.ports import Arrival, TopicPartition
from tradeloop.store.database import Database
from tradeloop.store.texts import header_json, storable

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


class PostgresInbox:
    """ports.Inbox on PostgreSQL."""

    def __init__(self, database: Database, dead_letters_topic: str = "") -> None:
        self._database = database
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
        rows = await self._database.rows(
            ACCEPT,
            {
                "group": group,
                "owner": owner,
                "slots": 0 if quotas is not None else slots,
                "dead_topic": self._dead_letters_topic,
                "s_desks": [desk for desk, _ in divided],
                "s_counts": [count for _, count in divided],
            }
            | _arrival_columns(arrivals)
            | _dead_columns(dead),
        )
        by_run = {arrival.run_id: arrival for arrival in arrivals}
        return [_claim(by_run[row["claimed_run"]], row["claimed_fence"]) for row in rows if row["claimed_run"]]


def _arrival_columns(arrivals: Sequence[Arrival]) -> dict[str, Any]:
    return {
        "topic_ids": [a.received.topic_id for a in arrivals],
        "topics": [a.received.topic for a in arrivals],
        "parts": [a.received.partition for a in arrivals],
        "offsets": [a.received.offset for a in arrivals],
        "events": [a.event_id for a in arrivals],
        "runs": [a.run_id for a in arrivals],
        "types": [a.event_type for a in arrivals],
        "desks": [a.desk for a in arrivals],
        "subjects": [storable(a.subject) for a in arrivals],
        "lanes": [storable(a.received.header(LANE_HEADER)) for a in arrivals],
        "payloads": [a.received.value for a in arrivals],
        "headers": [header_json(a.received.headers) for a in arrivals],
        "versions": [a.graph_version for a in arrivals],
        "appended": [_moment(a.received.appended_at_ms) for a in arrivals],
    }


def _moment(at_ms: int) -> datetime:
    # The producer's clock wrote it: nothing that it says is a reason to refuse the event.
    return datetime.fromtimestamp(min(max(at_ms, 0), LATEST_MS) / 1000, UTC)


def _dead_columns(dead: Sequence[tuple[Received, DeadLetter]]) -> dict[str, Any]:
    return {
        "d_topic_ids": [received.topic_id for received, _ in dead],
        "d_topics": [received.topic for received, _ in dead],
        "d_parts": [received.partition for received, _ in dead],
        "d_offsets": [received.offset for received, _ in dead],
        "d_events": [letter.event_id for _, letter in dead],
        "d_causes": [storable(letter.cause)[:MAX_CAUSE_CHARS] for _, letter in dead],
        "d_classes": [letter.error_class for _, letter in dead],
        "d_raws": [letter.raw for _, letter in dead],
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
