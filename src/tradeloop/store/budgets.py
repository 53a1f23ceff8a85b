"""What models have used, on PostgreSQL."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from tradeloop.ports.budgets import Limits, ModelCall, Used
from tradeloop.store.database import Database


class PostgresBudgets:
    """ports.Budgets on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, call: ModelCall, limits: Limits) -> str:
        """Count the call in full, or name the limit that it would overspend."""
        row = await self._database.row(
            "SELECT reserve_model_call(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) AS refusal",
            (
                call.call_id,
                call.run_id,
                call.desk,
                call.model,
                call.tokens,
                call.cost,
                limits.run_tokens,
                limits.desk_tokens,
                limits.day_tokens,
                limits.run_cost,
                limits.desk_cost,
                limits.day_cost,
            ),
        )
        return str(row["refusal"]) if row else ""

    async def settle(self, call_id: UUID, used: Used | None) -> None:
        """Count what the call used instead of what was reserved."""
        tokens, cost = used or (None, None)
        await self._database.rows("SELECT settle_model_call(%s, %s, %s)", (call_id, tokens, cost))

    async def used_today(self, desk: str = "") -> Used:
        """The sums of this day of a desk, or of all."""
        row = await self._database.row(
            "SELECT tokens, cost FROM model_days "
            "WHERE day = (clock_timestamp() AT TIME ZONE 'UTC')::date AND desk = %s",
            (desk,),
        )
        return Used(int(row["tokens"]), row["cost"]) if row else Used(0, Decimal(0))
