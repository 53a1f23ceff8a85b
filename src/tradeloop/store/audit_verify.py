"""Verification of the whole audit of a database, and its export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from tradeloop.audit.contents import Contents, check_links
from tradeloop.audit.findings import Kind, Report
from tradeloop.audit.keys import PublicKey
from tradeloop.audit.sealed import Seals
from tradeloop.store.audit_reading import AuditReader, StoredSeal

STEP: Final = 10_000
"""Records between two words about the progress."""
CONFIRMED_WITHIN: Final = timedelta(seconds=60)
"""What retention removed is signed with the next seal, seconds later; after this time nobody will sign it."""


def verify(
    reader: AuditReader,
    keys: Mapping[str, PublicKey],
    *,
    since: datetime | None = None,
    head: str = "",
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Check every seal, every record and every erasable text; `since`: only seals with records of that time or later.

    The chain of all seals is checked in any case: it is short.
    """
    report = Report()
    first = reader.first_seal_since(since) if since else 1
    seals = Seals(report, keys)
    emptied, pruned = [], False
    for stored in reader.seals():
        header = seals.take(stored.number, stored.seal)
        if header and (header.key_id, header.first_id, header.last_id, header.last_at) != stored.beside:
            report.add(Kind.ROOT, "what stands beside its header is not what the header says", seal=stored.number)
        pruned = pruned or _just_pruned(stored)
        if stored.seal.leaves is None and not _just_pruned(stored):
            emptied.append(stored.number)
    seals.end(head)
    for number in emptied:
        if number > seals.pruned_to:
            report.add(Kind.MISSING, "its list is gone, and no seal says that retention removed it", seal=number)
    _check_records(reader, report, seals.pruned_to, first, progress)
    for identity in reader.orphans():
        report.add(Kind.MISSING, f"the record with id {identity} waited for a seal and is not there")
    if since is None:
        check_links(report, reader.links(), whole=seals.pruned_to == 0 and not pruned)
    _note(report)
    return report


def _check_records(
    reader: AuditReader, report: Report, pruned_to: int, first: int, progress: Callable[[int], None]
) -> None:
    contents = Contents(report, waiting=reader.waiting())
    since_id = reader.first_id_since(first) if first > 1 else 0
    listed = _Listed(reader.seals_by_id(since_id=since_id), contents, pruned_to, first, report)
    last_id, key = None, b""
    for row in reader.rows(since_id=since_id):
        if row.id != last_id:
            last_id = row.id
            listed.before(row.id)
            key = contents.take(row.hashed, row.hash)
            if report.records % STEP == 0:
                contents.settle(row.id)
                progress(report.records)
        contents.take_part(key, row.hashed, row.part)
    listed.before(None)
    contents.end(pruned_to)


def _just_pruned(stored: StoredSeal) -> bool:
    at = stored.seal.pruned_at
    return at is not None and at > datetime.now(UTC) - CONFIRMED_WITHIN


class _Listed:
    """Gives the seals to the contents, each before the first of its records."""

    def __init__(
        self, seals: Iterator[StoredSeal], contents: Contents, pruned_to: int, first: int, report: Report
    ) -> None:
        self._seals, self._contents, self._report = seals, contents, report
        self._pruned_to, self._first = pruned_to, first
        self._next = next(seals, None)

    def before(self, identity: int | None) -> None:
        """All seals that begin up to this id; None: all."""
        while self._next is not None and (identity is None or self._next.first_id <= identity):
            stored, self._next = self._next, next(self._seals, None)
            leaves = stored.seal.leaves or b""
            if len(leaves) % 52:
                continue  # found broken with its root
            gone = stored.number <= self._pruned_to or stored.number < self._first or _just_pruned(stored)
            if _just_pruned(stored) and stored.number > self._pruned_to:
                self._report.notes.append(f"seal {stored.number} was removed a moment ago; no seal says so yet")
            self._contents.expect(stored.number, stored.last_id, leaves, may_be_gone=gone)


def _note(report: Report) -> None:
    if report.unsealed:
        report.notes.append(f"{report.unsealed:,} records wait for their seal; `tradeloop relay` seals")
    if report.unsigned:
        report.notes.append(f"{report.unsigned:,} of {report.seals:,} seals are not signed: no key was set")
    if report.unchecked:
        report.notes.append(f"{report.unchecked:,} signatures were not checked: no public key was given (--key)")
    if report.pruned:
        report.notes.append(
            f"{report.pruned:,} seals without their records, which retention removed; the chain says so"
        )
