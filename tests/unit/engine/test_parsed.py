"""Events that an intake has read already."""

from __future__ import annotations

from uuid import uuid4

from engine_in_memory import event

from tradeloop import Decision
from tradeloop.domain.runs import Claim
from tradeloop.engine.parsed import LARGEST_BYTES, ParsedEvents


def claim(payload: bytes) -> Claim:
    return Claim(uuid4(), 1, "desk", "s", "prices.loaded", uuid4(), 0, payload)


def test_an_event_is_taken_from_memory_once_and_read_again_afterwards() -> None:
    sent = event()
    held = claim(sent.to_json().encode())
    parsed = ParsedEvents()
    parsed.keep(held.run_id, sent, 100)
    assert parsed.take(held) is sent
    again = parsed.take(held)
    assert again == sent
    assert again is not sent


def test_the_oldest_and_the_largest_are_read_again() -> None:
    sent = event()
    first, second, large = (claim(sent.to_json().encode()) for _ in range(3))
    parsed = ParsedEvents(kept=1)
    parsed.keep(first.run_id, sent, 100)
    parsed.keep(second.run_id, sent, 100)
    parsed.keep(large.run_id, sent, LARGEST_BYTES + 1)
    assert [parsed.take(held) is sent for held in (first, second, large)] == [False, True, False]


def test_a_copy_with_other_fields_has_a_json_of_its_own() -> None:
    sent = event("one")
    assert "one" in sent.to_json()
    assert '"two"' in sent.model_copy(update={"subject": "two"}).to_json()
    decided = Decision(outcome="ACCEPT")
    assert "REFETCH" in decided.model_copy(update={"outcome": "REFETCH"}).canonical
    assert decided.model_copy().plain == decided.plain


def test_equal_events_are_equal_whether_or_not_their_json_was_asked_for() -> None:
    sent = event()
    other = type(sent).from_json(sent.to_json())
    assert other == sent
