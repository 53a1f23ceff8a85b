"""Effects as people look for them: by state, by the beginning of a key or of their decision's id."""

from __future__ import annotations

from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from tradeloop.domain.actions import Effect, EffectState
from tradeloop.errors import Ambiguous, NotFound, UsageInvalid
from tradeloop.store.database import Database
from tradeloop.store.effects import effect_of

HEX: Final = frozenset("0123456789abcdef")
KEY_DIGITS: Final = 64
ID_DIGITS: Final = 32
BY_KEY: Final[LiteralString] = "SELECT * FROM effects WHERE effect_key BETWEEN %(low)s AND %(high)s LIMIT 10"
# Over the runs, whose decisions have an index, and the live ones, which are few: the ledger keeps years.
BY_DECISION: Final[LiteralString] = (
    "SELECT * FROM effects WHERE decision_id BETWEEN %(low)s AND %(high)s AND run_id IN ("
    "SELECT run_id FROM runs WHERE decision_id BETWEEN %(low)s AND %(high)s UNION ALL SELECT run_id FROM work) LIMIT 10"
)


class EffectHistory:
    """Reads the ledger; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(
        self, *, state: str = "", limit: int = 50, before: tuple[datetime, str] | None = None
    ) -> list[Effect]:
        """The newest first; `state` is a word of EffectState, or empty for all.

        `before` is `prepared_at` and key of the last one seen.

        Raises:
            UsageInvalid: no state is called so.
        """
        if state and state not in set(EffectState):
            words = ", ".join(known.value for known in EffectState)
            raise UsageInvalid(f"no state is called {state!r}; known: {words}")
        rows = await self._database.rows(
            "SELECT * FROM effects WHERE (%(state)s = '' OR state = %(state)s) "
            "AND (%(at)s::timestamptz IS NULL OR (prepared_at, effect_key) < (%(at)s, %(key)s)) "
            "ORDER BY prepared_at DESC, effect_key DESC LIMIT %(limit)s",
            {
                "state": state,
                "limit": limit,
                "at": before[0] if before else None,
                "key": bytes.fromhex(before[1]) if before else None,
            },
        )
        return [effect_of(row) for row in rows]

    async def find(self, prefix: str) -> Effect:
        """The effect whose key, or whose decision's id, begins so.

        Raises:
            NotFound: none.
            Ambiguous: several; the message lists them.
        """
        digits = prefix.replace("-", "").lower()
        if not digits or len(digits) > KEY_DIGITS or set(digits) - HEX:
            raise NotFound(f"{prefix!r} is no key: hexadecimal digits are expected.", hint="tradeloop effects list")
        low, high = (bytes.fromhex(digits.ljust(KEY_DIGITS, filler)) for filler in "0f")
        rows = await self._database.rows(BY_KEY, {"low": low, "high": high})
        if not rows and len(digits) <= ID_DIGITS:
            first, last = (UUID(digits.ljust(ID_DIGITS, filler)) for filler in "0f")
            rows = await self._database.rows(BY_DECISION, {"low": first, "high": last})
        if not rows:
            raise NotFound(f"no effect begins with {prefix!r}.", hint="tradeloop effects list")
        if len(rows) > 1:
            found = " ".join(effect_of(row).key[: max(8, len(digits) + 1)] for row in rows)
            raise Ambiguous(f"{len(rows)} effects begin with {prefix!r}: {found}", hint="give one more character")
        return effect_of(rows[0])
