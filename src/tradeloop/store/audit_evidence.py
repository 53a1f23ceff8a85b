"""The evidence bundle of a decision, made from the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, LiteralString
from uuid import UUID

from tradeloop.audit import bundle
from tradeloop.audit.keys import PublicKey
from tradeloop.audit.material import Material, Proven, in_order, prove, without_lists
from tradeloop.audit.record import AUDIT_STREAM, Record
from tradeloop.audit.seal import Seal, read_header
from tradeloop.domain.letters import DEAD_LETTER_STREAM
from tradeloop.errors import NotFound, NotYet
from tradeloop.store.audit_reading import AuditReader, reading
from tradeloop.store.database import Database
from tradeloop.store.history import ambiguous, id_bounds
from tradeloop.store.live_runs import RUN_ORDERS_STREAM

LASTING: Final = (RUN_ORDERS_STREAM, DEAD_LETTER_STREAM, AUDIT_STREAM)
"""Streams whose records may name a run."""
FIND: Final[LiteralString] = """
SELECT run_id, decision_id FROM runs WHERE decision_id BETWEEN %(low)s AND %(high)s
UNION SELECT run_id, decision_id FROM runs WHERE run_id BETWEEN %(low)s AND %(high)s
UNION SELECT DISTINCT stream_id, NULL::uuid FROM audit
      WHERE stream_id BETWEEN %(low)s AND %(high)s AND substr(stream_id::text, 15, 1) = '7'
      AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.run_id = stream_id)
ORDER BY 1 LIMIT 11
"""
BESIDE: Final[LiteralString] = (
    "WHERE a.stream_id = ANY(%s) AND (a.body @> jsonb_build_object('run_id', %s::text) "
    "OR a.body @> jsonb_build_object('former_run_id', %s::text) "
    "OR a.body @> jsonb_build_object('stream_id', %s::text)) ORDER BY a.id"
)


async def make_bundle(database: Database, decision: str, keys: Mapping[str, PublicKey]) -> tuple[UUID, bytes]:
    """The run's id and the evidence bundle (a ZIP) of a decision, named by the beginning of its id or its run's.

    `keys`: the public keys of the seals, which stand in the bundle. Nothing is written.

    Raises:
        NotFound: no such decision, or its records are over their time.
        Ambiguous: several begin so.
        NotYet: its newest record waits for its seal, seconds as a rule.
    """
    run_id = await find_run(database, decision)
    return run_id, await asyncio.to_thread(_made, database, run_id, keys)


async def find_run(database: Database, prefix: str) -> UUID:
    """The run whose id, or whose decision's id, begins so; of several runs of one decision the newest.

    Raises:
        NotFound: none.
        Ambiguous: several.
    """
    low, high = id_bounds(prefix)
    rows = await database.rows(FIND, {"low": low, "high": high})
    if not rows:
        raise NotFound(f"no decision begins with {prefix!r}.", hint="tradeloop runs list")
    if len(rows) > 1 and low != high:
        raise ambiguous("decision", prefix, [row["decision_id"] or row["run_id"] for row in rows])
    found: UUID = rows[-1]["run_id"]
    return found


def material_of(
    reader: AuditReader, run_id: UUID, keys: Mapping[str, PublicKey], opened: Callable[[bytes], bytes]
) -> Material:
    """Records, proofs, seals and events of a run; `opened` decrypts an event as it is kept."""
    name = str(run_id)
    records = [*reader.stream(run_id), *reader.records(BESIDE, list(LASTING), name, name, name)]
    if not any(record.stream_id == run_id for record in records):
        raise NotFound(f"the audit has no record of run {run_id}.", hint="they are over their time, or it runs")
    seals: dict[int, Seal] = {}
    proven = [_proven(reader, record, seals) for record in records]
    head = reader.last_seal()
    if head is not None:
        seals.setdefault(head.number, head.seal)
    used = {read_header(seal.header).key_id for seal in seals.values()}
    return Material(
        run_id=run_id,
        records=in_order(run_id, proven),
        seals=without_lists(seals),
        events={event_id: opened(kept) for event_id, kept in reader.events_of(run_id).items()},
        public_keys=bundle.pem_of({key_id: key for key_id, key in keys.items() if key_id in used}),
    )


def _proven(reader: AuditReader, record: Record, seals: dict[int, Seal]) -> Proven:
    stored = reader.seal_of(record.id, record.entry)
    if stored is None:
        raise NotYet(
            f"record {record.n} of {record.stream_id} has no seal yet.",
            hint="a running `tradeloop relay` seals within seconds; tradeloop audit verify tells more",
        )
    seals[stored.number] = stored.seal
    return prove(record, stored.number, stored.seal)


def _made(database: Database, run_id: UUID, keys: Mapping[str, PublicKey]) -> bytes:
    with reading(database.url) as reader:
        return bundle.make(material_of(reader, run_id, keys, database.cipher.open))
