"""A database with audit records, and how tests seal and verify them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from tradeloop.audit.findings import Report
from tradeloop.audit.keys import PublicKey, SigningKey
from tradeloop.engine.sealer import Sealer
from tradeloop.store.audit_chain import PostgresAuditChain
from tradeloop.store.audit_reading import reading
from tradeloop.store.audit_verify import verify
from tradeloop.store.database import Database


@dataclass(frozen=True)
class Chain:
    database: Database
    key: SigningKey

    @property
    def keys(self) -> dict[str, PublicKey]:
        return {self.key.public.id: self.key.public}

    async def write(self, stream: UUID | None = None, kind: str = "note", **body: Any) -> UUID:
        stream = stream or uuid4()
        await self.database.rows("SELECT append_audit(%s, %s, %s::jsonb)", (stream, kind, json.dumps(body)))
        return stream

    async def seal(self, *, batch: int = 4096, keep_days: int = 0, signed: bool = True) -> int:
        store = PostgresAuditChain(self.database)
        return await Sealer(store, self.key if signed else None, keep_days=keep_days, batch=batch).tick()

    async def verify(
        self, *, head: str = "", since: datetime | None = None, keys: Mapping[str, PublicKey] | None = None
    ) -> Report:
        def run() -> Report:
            with reading(self.database.url) as reader:
                return verify(reader, self.keys if keys is None else keys, head=head, since=since)

        return await asyncio.to_thread(run)

    async def found(self, **how: Any) -> list[tuple[str, str]]:
        return [(one.kind.value, one.place) for one in (await self.verify(**how)).findings]
