"""Who may run next: the worker's slots, divided so that a flood from one desk does not delay the others."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

ANY: Final = 1_000_000
"""The demand of a desk of which only is known that much waits."""
KEPT_SHARE: Final = 4
"""One slot in so many is kept free for desks that have nothing to do now, at most."""


class Slots:
    """Slots of one worker, by desk.

    Other desks always find slots free: a desk alone holds at most all slots but one for each other desk, and where the
    desks are many and the slots few, three quarters of them. What is free goes, slot by slot, to the desk that holds
    the fewest (max-min fairness, as in deficit round robin with slots for bytes).
    """

    def __init__(self, total: int, desks: Iterable[str]) -> None:
        self.total = total
        self.desks = tuple(dict.fromkeys(desks))
        kept = min(len(self.desks) - 1, max(1, total // KEPT_SHARE))
        self._ceiling = max(1, total - max(0, kept))
        self._held: Counter[str] = Counter()
        self._promised = 0
        self._behind: set[str] = set()
        self._turn = 0
        """Who is first among desks that hold equally many: with fewer slots than desks the last would never be."""

    @property
    def free(self) -> int:
        """Slots that are neither held nor promised to a call whose answer is awaited."""
        return max(0, self.total - self._held.total() - self._promised)

    @property
    def is_behind(self) -> bool:
        """Whether runs are known to wait in the store."""
        return bool(self._behind)

    def take(self, desk: str) -> None:
        """A run of the desk starts."""
        self._held[desk] += 1

    def give_back(self, desk: str) -> None:
        """A run of the desk ended."""
        self._held[desk] -= 1

    @contextmanager
    def promise(self, count: int) -> Iterator[None]:
        """Keep so many slots for an answer that is awaited."""
        self._promised += count
        try:
            yield
        finally:
            self._promised -= count

    def for_arrivals(self, demand: Mapping[str, int]) -> dict[str, int]:
        """How many of a batch's runs may start at once; none of a desk whose older runs wait."""
        return self._divide({desk: count for desk, count in demand.items() if desk not in self._behind})

    def for_claims(self) -> dict[str, int]:
        """How many runs to ask the store for, by desk: one of each desk, the rest for those that are behind."""
        self._turn += 1
        return self._divide({desk: ANY if desk in self._behind else 1 for desk in self.desks})

    def accepted(self, demand: Mapping[str, int], started: Mapping[str, int]) -> None:
        """Learn from an intake: what did not start waits."""
        self._behind |= {desk for desk, count in demand.items() if started.get(desk, 0) < count}

    def claimed(self, asked: Mapping[str, int], got: Mapping[str, int]) -> bool:
        """Learn from a claim: a desk that gave all that was asked for may have more, one that gave less has no more.

        Returns whether it is worth while to ask again at once.
        """
        full = {desk for desk, count in asked.items() if count and got.get(desk, 0) >= count}
        self._behind -= {desk for desk, count in asked.items() if count}
        self._behind |= full
        return (bool(full) or self._is_passed_over) and self.free > 0

    @property
    def _is_passed_over(self) -> bool:
        """Whether runs wait of a desk that had no turn, because there are fewer slots than desks."""
        return self.total < len(self.desks) and any(self._held[desk] < self._ceiling for desk in self._behind)

    def _divide(self, demand: Mapping[str, int]) -> dict[str, int]:
        given = dict.fromkeys(demand, 0)
        places = [
            (self._held[desk], (place - self._turn) % len(demand), desk)
            for place, desk in enumerate(demand)
            if demand[desk] > 0
        ]
        heapq.heapify(places)
        free = self.free
        while free > 0 and places:
            held, place, desk = heapq.heappop(places)
            if held >= self._ceiling:
                continue
            # Alone at the end of the line there is nobody to take turns with.
            count = 1 if places else min(free, demand[desk] - given[desk], self._ceiling - held)
            given[desk] += count
            free -= count
            if given[desk] < demand[desk]:
                heapq.heappush(places, (held + count, place, desk))
        return given
