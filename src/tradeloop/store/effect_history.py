"""Effects as people look for them: by state, by the beginning of a key or of their decision's id."""

from __future__ import annotations

from typing import Final, LiteralString

from tradeloop.domain.actions import Effect, EffectState
from tradeloop.errors import NotFound, TradeloopError
from tradeloop.store.database import Database
from tradeloop.store.effects import effect_of

HEX: Final = frozenset("0123456789abcdef")
KEY_DIGITS: Final = 64
BY_PREFIX: Final[LiteralString] = (
    "SELECT * FROM effects WHERE effect_key BETWEEN %(low)s AND %(high)s "
    "UNION SELECT * FROM effects WHERE %(decision)s <> '' AND starts_with(replace(decision_id::text, '-', ''), "
    "%(decision)s) ORDER BY prepared_at LIMIT 10"
)


class EffectHistory:
    """Reads the ledger; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(self, *, state: str = "", limit: int = 50) -> list[Effect]:
        """The newest first; `state` is a word of EffectState, or empty for all.

        Raises:
            TradeloopError: no state is called so.
        """
        if state and state not in set(EffectState):
            words = ", ".join(known.value for known in EffectState)
            raise TradeloopError(f"no state is called {state!r}; known: {words}")
        rows = await self._database.rows(
            "SELECT * FROM effects WHERE %(state)s = '' OR state = %(state)s ORDER BY prepared_at DESC LIMIT %(limit)s",
            {"state": state, "limit": limit},
        )
        return [effect_of(row) for row in rows]

    async def find(self, prefix: str) -> Effect:
        """The effect whose key, or whose decision's id, begins so.

        Raises:
            NotFound: none.
            TradeloopError: several; the message lists them.
        """
        digits = prefix.replace("-", "").lower()
        if not digits or len(digits) > KEY_DIGITS or set(digits) - HEX:
            raise NotFound(f"{prefix!r} is no key: hexadecimal digits are expected.", hint="tradeloop effects list")
        low, high = (bytes.fromhex(digits.ljust(KEY_DIGITS, filler)) for filler in "0f")
        # The decision's id is looked for only when it is long enough to name one: it has no index.
        decision = digits if len(digits) >= 8 else ""
        rows = await self._database.rows(BY_PREFIX, {"low": low, "high": high, "decision": decision})
        if not rows:
            raise NotFound(f"no effect begins with {prefix!r}.", hint="tradeloop effects list")
        if len(rows) > 1:
            found = " ".join(effect_of(row).key[: max(8, len(digits) + 1)] for row in rows)
            raise TradeloopError(f"{len(rows)} effects begin with {prefix!r}: {found}", hint="give one more character")
        return effect_of(rows[0])
