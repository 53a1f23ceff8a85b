"""The ledger of side effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from tradeloop.domain.actions import Action, Effect, EffectState
from tradeloop.domain.runs import Claim
from tradeloop.errors import RunLost
from tradeloop.store.database import Database
from tradeloop.store.texts import storable

CALL_TIMEOUT_S: Final = 60.0
"""After this the caller is believed gone; smaller than Airflow's slowest honest answer would repeat calls in flight."""


class PostgresEffects:
    """ports.EffectLedger on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self, owner: UUID, claim: Claim, slot: str, decision_id: UUID, action: Action) -> Effect:
        """Write the effect down, or read what stands there.

        Raises:
            RunLost: another worker owns the run.
        """
        key = action.key(subject=claim.subject, cause=claim.event_id, slot=slot)
        row = await self._database.row(
            "SELECT * FROM prepare_effect(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                owner,
                claim.run_id,
                claim.fence,
                bytes.fromhex(key),
                decision_id,
                slot,
                action.kind,
                action.target,
                Jsonb(action.model_dump(mode="json")),
                action.digest,
            ),
        )
        if row is None:
            raise RunLost(f"run {claim.run_id} belongs to another worker")
        return _effect(row)

    async def start(self, owner: UUID, claim: Claim, key: str) -> bool:
        """prepared or executing -> executing, committed before the call."""
        row = await self._database.row(
            "SELECT start_effect(%s, %s, %s, %s, %s) AS started",
            (owner, claim.run_id, claim.fence, bytes.fromhex(key), CALL_TIMEOUT_S),
        )
        return bool(row and row["started"])

    async def finish(self, key: str, *, executed: bool, result: Mapping[str, JsonValue], error: str) -> None:
        """executing -> executed or failed."""
        await self._database.rows(
            "UPDATE effects SET state = %s, result = %s, error = %s, finished_at = clock_timestamp() "
            "WHERE effect_key = %s AND state IN ('executing', 'outcome_unknown')",
            ("executed" if executed else "failed", Jsonb(dict(result)), storable(error), bytes.fromhex(key)),
        )

    async def block(self, key: str, reason: str) -> None:
        """executing -> prepared: the target refused for a reason that can pass."""
        await self._database.rows(
            "UPDATE effects SET state = 'prepared', blocked_reason = %s WHERE effect_key = %s AND state = 'executing'",
            (storable(reason), bytes.fromhex(key)),
        )


def _effect(row: DictRow) -> Effect:
    return Effect(
        key=bytes(row["effect_key"]).hex(),
        run_id=row["run_id"],
        decision_id=row["decision_id"],
        slot=row["slot"],
        action=Action.model_validate(row["action"]),
        state=EffectState(row["state"]),
        calls=row["calls"],
        blocked_reason=row["blocked_reason"],
        result=row["result"],
        error=row["error"],
    )
