"""Answers that did not count, in the audit of the run that asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, LiteralString

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from tradeloop.domain.approvals import Approval
from tradeloop.store.database import Database
from tradeloop.store.texts import storable

KEEP: Final[LiteralString] = """
SELECT append_audit(%(run)s, 'answer_not_counted', %(body)s) WHERE NOT EXISTS (
    SELECT 1 FROM audit WHERE stream_id = %(run)s AND kind = 'answer_not_counted' AND body @> %(body)s)
"""


class PostgresRefusedAnswers:
    """ports.RefusedAnswers on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, approval: Approval, facts: Mapping[str, JsonValue]) -> None:
        """Add it, once."""
        told = {name: storable(value) if isinstance(value, str) else value for name, value in facts.items()}
        body = {**told, "approval_id": str(approval.approval_id), "digest": approval.digest}
        await self._database.row(KEEP, {"run": approval.run_id, "body": Jsonb(body)})
