"""The kill switch on PostgreSQL."""

from __future__ import annotations

from typing import Final
from uuid import NAMESPACE_URL, uuid5

from tradeloop.domain.switches import Switch
from tradeloop.store.database import Database
from tradeloop.store.texts import storable

STREAM: Final = uuid5(NAMESPACE_URL, "tradeloop:switches")
"""The audit's stream of every switch."""


class PostgresSwitches:
    """ports.Switches on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Switch]:
        """Every switch that was ever turned."""
        rows = await self._database.rows("SELECT * FROM switches ORDER BY scope DESC")
        return [Switch.model_validate(row) for row in rows]

    async def turn(self, scope: str, *, stopped: bool, by: str, reason: str) -> bool:
        """Stop or release; False when it stood so already. Audited."""
        rows = await self._database.rows(
            "SELECT * FROM turn_switch(%s, %s, %s, %s, %s)", (scope, stopped, storable(by), storable(reason), STREAM)
        )
        return bool(rows)
