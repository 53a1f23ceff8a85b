"""What became of every event: the figures and whether they are what was promised."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from tradeloop.bench.chaos.feed import Sent
from tradeloop.bench.chaos.watch import Seen
from tradeloop.bench.figures import Figure


@dataclass(frozen=True, slots=True)
class Books:
    """What stands where, when everything has come to rest."""

    sent: Mapping[UUID, Sent]
    seen: Sequence[Seen]
    effects: Sequence[Sequence[UUID]]
    """Of each target the events whose effect it did, in its order."""
    repeats: int
    """Calls that the target knew by their key."""
    doubles: int
    """Events that were sent a second time."""


def balance(books: Books) -> dict[str, Figure]:
    """Counts; all but the first four and the last two have to be 0."""
    wanted = {event_id for event_id, sent in books.sent.items() if sent.acknowledged}
    firsts = _firsts(books.seen)
    decisions = Counter(seen.event_id for seen in firsts)
    effects = Counter(event_id for done in books.effects for event_id in done)
    places = {event_id: (sent.subject, sent.place) for event_id, sent in books.sent.items()}
    return {
        "events": len(wanted),
        "sent_twice": books.doubles,
        "decisions": len(decisions),
        "effects": len(effects),
        "lost": len(wanted - decisions.keys()),
        "effects_missing": len(wanted - effects.keys()),
        "duplicate_effects": sum(count - 1 for count in effects.values()),
        "decisions_doubled": sum(count - 1 for count in decisions.values()),
        "orders_broken": _falls(places[seen.event_id] for seen in firsts),
        "effect_orders_broken": sum(_falls(places[one] for one in dict.fromkeys(done)) for done in books.effects),
        "repeated_calls": books.repeats,
        "repeated_records": len(books.seen) - len(firsts),
    }


def _firsts(seen: Iterable[Seen]) -> list[Seen]:
    """Each decision once, as a consumer that drops by `ce_id` reads them."""
    firsts: dict[str, Seen] = {}
    for one in seen:
        firsts.setdefault(one.ce_id, one)
    return list(firsts.values())


def _falls(places: Iterable[tuple[str, int]]) -> int:
    """How often a place comes after a later one of the same subject."""
    highest: dict[str, int] = defaultdict(int)
    found = 0
    for subject, place in places:
        found += place < highest[subject]
        highest[subject] = max(highest[subject], place)
    return found
