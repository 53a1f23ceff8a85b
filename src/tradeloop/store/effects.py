"""The ledger of side effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from tradeloop.domain.actions import Action, Begun, Effect, EffectState, TargetClass, Turn
from tradeloop.domain.runs import Claim
from tradeloop.errors import EffectSettled, NotFound, RunLost
from tradeloop.store.database import Database
from tradeloop.store.texts import storable

MAX_ERROR_CHARS: Final = 4000
"""Reasons are for people; a page of HTML in every row would slow every list."""


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
        return effect_of(row)

    async def begin(
        self,
        owner: UUID,
        claim: Claim,
        key: str,
        target_class: TargetClass,
        within_s: float,
        *,
        gated: bool = False,
    ) -> Begun:
        """What to do next about the effect; committed before the call."""
        row = await self._database.row(
            "SELECT turn, overdue, told FROM begin_effect(%s, %s, %s, %s, %s, %s, %s)",
            (owner, claim.run_id, claim.fence, bytes.fromhex(key), target_class.value, within_s, gated),
        )
        return Begun(Turn(row["turn"]), row["overdue"], row["told"]) if row else Begun(Turn.LOST)

    async def refuse(self, owner: UUID, claim: Claim, key: str, kind: str, reason: str) -> bool:
        """prepared -> failed, because policy or people said no; False: another worker owns the run."""
        row = await self._database.row(
            "SELECT refuse_effect(%s, %s, %s, %s, %s, %s) AS mine",
            (owner, claim.run_id, claim.fence, bytes.fromhex(key), kind, _text(reason)),
        )
        return bool(row and row["mine"])

    async def stopped(self, desk: str) -> str:
        """Why effects of the desk are stopped; empty when they are not."""
        row = await self._database.row("SELECT stopped_because(%s) AS told", (desk,))
        return str(row["told"]) if row else ""

    async def doubt(self, owner: UUID, claim: Claim, key: str, reason: str) -> bool:
        """executing -> outcome_unknown; False when the run was lost or the truth came in between."""
        row = await self._database.row(
            "SELECT doubt_effect(%s, %s, %s, %s, %s) AS doubted",
            (owner, claim.run_id, claim.fence, bytes.fromhex(key), _text(reason)),
        )
        return bool(row and row["doubted"])

    async def finish(
        self, owner: UUID, claim: Claim, key: str, *, executed: bool, result: Mapping[str, JsonValue], error: str
    ) -> None:
        """-> executed or failed: that it was done is taken from whoever did it, a no only from the last caller."""
        await self._database.rows(
            "SELECT finish_effect(%s, %s, %s, %s, %s, %s)",
            (owner, claim.fence, bytes.fromhex(key), executed, Jsonb(dict(result)), _text(error)),
        )

    async def block(self, owner: UUID, claim: Claim, key: str, reason: str) -> None:
        """executing -> prepared, by the last caller: the target refused for a reason that can pass."""
        await self._database.rows(
            "UPDATE effects SET state = 'prepared', blocked_reason = %s, calls = calls - 1 "
            "WHERE effect_key = %s AND state = 'executing' AND worker_id = %s AND fence = %s",
            (_text(reason), bytes.fromhex(key), owner, claim.fence),
        )

    async def resolve(self, key: str, outcome: EffectState, by: str, reason: str) -> Effect:
        """outcome_unknown -> executed, failed or prepared (do it), by a person; the run goes on.

        Raises:
            NotFound: no effect has this key.
            EffectSettled: its outcome is not unknown (any more).
        """
        digest = bytes.fromhex(key)
        row = await self._database.row(
            "SELECT * FROM resolve_effect(%s, %s, %s, %s)", (digest, outcome.value, _text(by), _text(reason))
        )
        if row is not None:
            return effect_of(row)
        known = await self._database.row("SELECT state FROM effects WHERE effect_key = %s", (digest,))
        if known is None:
            raise NotFound(f"no effect has the key {key}.", hint="tradeloop effects list")
        raise EffectSettled(f"effect {key[:8]} is {known['state']}: nobody needs to resolve it.")


def _text(text: str) -> str:
    return storable(text)[:MAX_ERROR_CHARS]


def effect_of(row: DictRow) -> Effect:
    """The effect of a row of the ledger."""
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
        fence=row["fence"],
        prepared_at=row["prepared_at"],
        executing_at=row["executing_at"],
        finished_at=row["finished_at"],
    )
