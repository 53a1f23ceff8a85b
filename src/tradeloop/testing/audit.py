"""The chain of seals in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from tradeloop.audit.record import ZERO
from tradeloop.ports import Head, NewSeal, Unsealed


@dataclass
class MemorySeals:
    """ports.SealStore in memory."""

    waiting: dict[int, Unsealed] = field(default_factory=dict)
    seals: list[NewSeal] = field(default_factory=list)
    pruned: set[int] = field(default_factory=set)

    async def head(self) -> Head:
        """The newest seal."""
        return Head(self.seals[-1].seal, self.seals[-1].hash, self.seals[-1].header) if self.seals else Head(0, ZERO)

    async def unsealed(self, limit: int) -> list[Unsealed]:
        """Records that no seal holds, in the order of their ids."""
        return [self.waiting[one] for one in sorted(self.waiting)[:limit]]

    async def pruned_since(self, seal: int) -> list[str]:
        """Headers of the seals after that one whose records retention removed, in order."""
        return [one.header for one in self.seals if one.seal > seal and one.seal in self.pruned]

    async def append(self, seal: NewSeal) -> bool:
        """Write the seal; False when another sealer was faster."""
        last = await self.head()
        if (seal.seal, seal.prev) != (last.seal + 1, last.hash):
            return False
        self.seals.append(seal)
        for one in seal.ids:
            del self.waiting[one]
        return True
