"""The audit of a database as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TextIO

from tradeloop.audit.archive import lines
from tradeloop.audit.keys import PublicKey
from tradeloop.audit.record import Record, entries_in
from tradeloop.audit.seal import Seal
from tradeloop.store.audit_reading import AuditReader, StoredSeal


def exported(
    reader: AuditReader, file: TextIO, keys: Mapping[str, PublicKey], *, instance: str, since: datetime | None
) -> dict[str, int]:
    """Write seals and their records; returns how many of both, and how many records wait for a seal."""
    counts = {"seals": 0, "records": 0, "unsealed": len(reader.waiting())}
    first = reader.first_seal_since(since) if since else 1

    def seals() -> Iterator[tuple[int, Seal, Iterator[Record]]]:
        for stored in reader.seals(since=first):
            counts["seals"] += 1
            yield stored.number, stored.seal, counted(stored)

    def counted(stored: StoredSeal) -> Iterator[Record]:
        for record in records_of(reader, stored):
            counts["records"] += 1
            yield record

    file.writelines(line + "\n" for line in lines(seals(), keys, instance=instance, made_at=datetime.now(UTC)))
    return counts


def records_of(reader: AuditReader, stored: StoredSeal) -> Iterator[Record]:
    """The records that a seal lists and that are still there, by id."""
    listed = {entry[:20] for entry in entries_in(stored.seal.leaves or b"")}
    for record in reader.records("WHERE a.id BETWEEN %s AND %s ORDER BY a.id", stored.first_id, stored.last_id):
        if record.stream_id.bytes + record.n.to_bytes(4) in listed:
            yield record
