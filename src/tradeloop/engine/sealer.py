"""The sealer: every few seconds a signed Merkle root over the new audit records, chained to the one before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from tradeloop.audit.keys import SigningKey
from tradeloop.audit.seal import Header, make_seal, read_header
from tradeloop.ports import Head, SealStore

log = structlog.get_logger()
BATCH: Final = 4096
"""Records of one seal. Retention removes whole seals: more would make it hold its locks longer."""


class Sealer:
    """Seals what is committed; of several sealers one wins each seal, and the others see it."""

    def __init__(
        self,
        store: SealStore,
        key: SigningKey | None,
        *,
        keep_days: int = 0,
        interval_s: float = 3.0,
        batch: int = BATCH,
    ) -> None:
        """`keep_days`: how old records must be before it signs that retention removed them; 0: it never does."""
        self._store = store
        self._key = key
        self._keep_days = keep_days
        self.interval_s = interval_s
        self._batch = batch
        self._seen = Head(0, b"")
        self._told_of = ""

    async def tick(self) -> int:
        """Seal everything that waits; returns how many records that were.

        Raises:
            DatabaseUnreachable: nothing is lost, the records wait.
        """
        sealed = 0
        while True:
            last = await self._store.head()
            self._watch(last)
            records = await self._store.unsealed(self._batch)
            before = read_header(last.header).pruned_to if last.header else 0
            pruned_to = await self._pruned_to(before)
            if not records and pruned_to == before:
                return sealed
            seal = make_seal(records, last, at=datetime.now(UTC), pruned_to=pruned_to, key=self._key)
            if not await self._store.append(seal):
                return sealed
            self._seen = Head(seal.seal, seal.hash, seal.header)
            sealed += len(records)
            log.info("audit_sealed", seal=seal.seal, records=len(records), head=seal.hash.hex(), key_id=seal.key_id)
            if len(records) < self._batch:
                return sealed

    def _watch(self, last: Head) -> None:
        """A chain that is shorter than it was, or another one, is told to whoever reads the log."""
        if last.seal < self._seen.seal or (last.seal == self._seen.seal and last.hash != self._seen.hash != b""):
            log.error(
                "audit_head_lost", seal=self._seen.seal, head=self._seen.hash.hex(), found=last.seal,
                hint="tradeloop audit verify --head HEAD",
            )  # fmt: skip

    async def _pruned_to(self, before: int) -> int:
        """The seal up to which retention has lawfully removed records."""
        over = datetime.now(UTC) - timedelta(days=self._keep_days)
        pruned_to = before
        for text in await self._store.pruned_since(before):
            header: Header = read_header(text)
            if not self._keep_days or header.last_at >= over or header.seal != pruned_to + 1:
                if self._told_of != text:
                    log.error("audit_pruned_too_early", seal=header.seal, last_at=header.last_at.isoformat())
                self._told_of = text
                break
            pruned_to = header.seal
        return pruned_to
