"""How long each fault was felt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tradeloop.bench.chaos.schedule import Fault
from tradeloop.bench.figures import spread
from tradeloop.bench.report import Leg
from tradeloop.engine.relay import LANE_LEASE_S

AFTER_ANSWER_S: Final = 5.0
"""What the promise allows beside the lease, or after a server answers again."""
LEASES: Final = ("worker", "relay")
"""Parts whose work is taken over when a lease ends: the setting's, and that of the outbox lanes."""


@dataclass(frozen=True, slots=True)
class Wound:
    """A fault and what followed; moments are monotonic."""

    fault: Fault
    at: float
    answered_at: float
    next_at: float | None
    """The first decision on Kafka after the kill (worker, relay) or after the part's answer (a server)."""
    longest_s: float | None
    """The longest that an event waited for its decision because of it; None when none did."""
    alone: bool
    """Whether no other fault was felt at the same time."""

    @property
    def of_a_server(self) -> bool:
        return self.fault.part not in LEASES

    @property
    def next_s(self) -> float | None:
        """Time to going on."""
        begun = self.answered_at if self.of_a_server else self.at
        return None if self.next_at is None else max(0.0, self.next_at - begun)


def longest_wait(waits: Iterable[tuple[float, float | None]], since: float) -> float | None:
    """Of events (sent at, decided at) the longest wait, from `since` on; one that was never decided counts as lost."""
    found = [decided - max(sent, since) for sent, decided in waits if decided is not None]
    return max(0.0, *found) if found else None


def add_times(leg: Leg, case: str, wounds: Sequence[Wound], lease_s: float) -> None:
    """A row a part and kind, and its target."""
    kinds = list(dict.fromkeys((wound.fault.part, wound.fault.kind) for wound in wounds))
    for part, kind in sorted(kinds):
        of_kind = [wound for wound in wounds if (wound.fault.part, wound.fault.kind) == (part, kind)]
        alone = [wound for wound in of_kind if wound.alone]
        going_on = [wound.next_s for wound in alone if wound.next_s is not None]
        waits = [wound.longest_s for wound in alone if wound.longest_s is not None]
        name = f"{case}: {part} {'killed' if kind == 'kill' else 'stopped'}"
        if going_on:
            leg.add(f"{name}, next decision", {"faults": len(of_kind), **spread(going_on, "s")})
        if waits:
            leg.add(f"{name}, longest wait", {"faults": len(of_kind), **spread(waits, "s")})
        _aim(leg, name, (part, kind), waits if part in LEASES else going_on, lease_s)


def _aim(leg: Leg, name: str, what: tuple[str, str], measured: list[float], lease_s: float) -> None:
    """Worker and relay by the longest wait of any event: another worker's next decision would prove little."""
    part, kind = what
    if not measured or (part in LEASES and kind == "stop"):
        return
    bound = AFTER_ANSWER_S + ((lease_s if part == "worker" else LANE_LEASE_S) if part in LEASES else 0.0)
    since = "the kill" if part in LEASES else "its answer"
    figures = spread(measured, "s")
    leg.aim(f"{name}: p99 {figures['p99_s']} s from {since}, at most {bound:g}", met=float(figures["p99_s"]) <= bound)
