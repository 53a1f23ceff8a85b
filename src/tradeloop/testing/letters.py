"""Dead letters in memory: the answers to what a MemoryStore has buried."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tradeloop.domain.letters import Letter, LetterFilter, LetterState, Replay, ReplayResult
from tradeloop.domain.records import DeadLetter
from tradeloop.errors import NotFound
from tradeloop.ports import Arrival
from tradeloop.testing.store import MemoryStore


@dataclass
class MemoryLetters:
    """ports.Letters beside a MemoryStore: a letter's number is its place in the store's list, from 1."""

    store: MemoryStore
    audit: list[tuple[str, int, str]] = field(default_factory=list)
    """Kind, letter, who."""
    _known: dict[int, Letter] = field(default_factory=dict)

    async def find(self, letter_id: int) -> Letter:
        """The letter of that number."""
        found = self._all().get(letter_id)
        if found is None:
            raise NotFound(f"there is no dead letter {letter_id}.")
        return found

    async def after(self, letter_id: int, wanted: LetterFilter, limit: int) -> list[Letter]:
        """Matching letters with a larger number, the oldest first."""
        return [one for one in self._all().values() if one.letter_id > letter_id and _matches(one, wanted)][:limit]

    async def count(self, wanted: LetterFilter) -> int:
        """How many letters match."""
        return sum(_matches(one, wanted) for one in self._all().values())

    async def replay(self, letter_id: int, arrival: Arrival, by: str) -> Replay:
        """Put the letter's event back; a double is dropped."""
        letter = self._all().get(letter_id)
        if letter is None or letter.state is not LetterState.OPEN:
            return Replay(ReplayResult.SETTLED)
        generation = self.store.readmit(arrival, former=letter.run_id if letter.source == "run" else None)
        if generation is None:
            return Replay(ReplayResult.DOUBLED)
        self._settle(letter, LetterState.REPLAYED, by, "")
        self._known[letter_id] = replace(self._known[letter_id], replay_run_id=arrival.run_id)
        return Replay(ReplayResult.REPLAYED, arrival.run_id, generation)

    async def discard(self, letter_id: int, by: str, reason: str) -> bool:
        """Give the letter up and keep it."""
        letter = self._all().get(letter_id)
        if letter is None or letter.state is not LetterState.OPEN:
            return False
        self._settle(letter, LetterState.DISCARDED, by, reason)
        return True

    def _settle(self, letter: Letter, state: LetterState, by: str, reason: str) -> None:
        settled = replace(letter, state=state, decided_by=by, reason=reason, decided_at=datetime.now(UTC))
        self._known[letter.letter_id] = settled
        self.audit.append((f"dead_letter_{state.value}", letter.letter_id, by))

    def _all(self) -> dict[int, Letter]:
        for number, buried in enumerate(self.store.dead, 1):
            if number not in self._known:
                self._known[number] = _letter(number, buried)
        return self._known


def _letter(number: int, buried: DeadLetter) -> Letter:
    return Letter(
        letter_id=number,
        source=buried.source,
        topic=buried.topic,
        partition=buried.partition,
        offset=buried.offset,
        event_id=buried.event_id,
        run_id=buried.run_id,
        cause=buried.cause,
        error_class=buried.error_class,
        stack_hash="",
        attempts=0,
        graph_version="",
        raw=buried.raw,
        state=LetterState.OPEN,
        decided_by="",
        reason="",
        created_at=datetime.now(UTC),
    )


def _matches(letter: Letter, wanted: LetterFilter) -> bool:
    return (
        (not wanted.ids or letter.letter_id in wanted.ids)
        and (wanted.state is None or letter.state is wanted.state)
        and wanted.cause.lower() in letter.cause.lower()
        and wanted.kind in ("", letter.error_class)
        and wanted.source in ("", letter.source)
        and wanted.topic in ("", letter.topic)
        and (wanted.since is None or letter.created_at >= wanted.since)
    )
