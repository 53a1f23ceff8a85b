"""What models have used, in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from tradeloop.ports.budgets import Limits, ModelCall, Used

NOTHING = Used(0, Decimal(0))


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass
class MemoryBudgets:
    """ports.Budgets of one process."""

    today: Callable[[], date] = _today
    _open: dict[UUID, tuple[ModelCall, date]] = field(default_factory=dict)
    _of_run: defaultdict[UUID, Used] = field(default_factory=lambda: defaultdict(lambda: NOTHING))
    _of_day: defaultdict[tuple[date, str], Used] = field(default_factory=lambda: defaultdict(lambda: NOTHING))

    async def reserve(self, call: ModelCall, limits: Limits) -> str:
        """Count the call in full, or name the limit that it would overspend."""
        day, wanted = self.today(), Used(call.tokens, call.cost)
        refusal = limits.first_broken(
            _sum(self._of_run[call.run_id], wanted),
            _sum(self._of_day[day, call.desk], wanted),
            _sum(self._of_day[day, ""], wanted),
        )
        if not refusal:
            self._open[call.call_id] = (call, day)
            self._count(call, day, wanted)
        return refusal

    async def settle(self, call_id: UUID, used: Used | None) -> None:
        """Count what the call used instead of what was reserved."""
        found = self._open.pop(call_id, None)
        if found and used is not None:
            call, day = found
            self._count(call, day, Used(used.tokens - call.tokens, used.cost - call.cost))

    async def used_today(self, desk: str = "") -> Used:
        """The sums of this day of a desk, or of all."""
        return self._of_day[self.today(), desk]

    def _count(self, call: ModelCall, day: date, more: Used) -> None:
        self._of_run[call.run_id] = _sum(self._of_run[call.run_id], more)
        for desk in ("", call.desk):
            self._of_day[day, desk] = _sum(self._of_day[day, desk], more)


def _sum(one: Used, other: Used) -> Used:
    return Used(one.tokens + other.tokens, one.cost + other.cost)
