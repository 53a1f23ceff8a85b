"""Which dead letters a command means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from tradeloop.cli.runs import period
from tradeloop.errors import Ambiguous, NotFound, UsageInvalid

if TYPE_CHECKING:
    from tradeloop.domain.letters import LetterFilter
    from tradeloop.store.letters import PostgresLetters

T = TypeVar("T")
SOURCES: Final = ("kafka", "airflow", "run", "outbox")
LONGEST_NUMBER: Final = 7
"""More digits than that are the beginning of a uuid."""


def filter_of(
    *, state: str = "open", cause: str = "", kind: str = "", source: str = "", topic: str = "", since: str = ""
) -> LetterFilter:
    """The filter that these options mean; a word that is none of the known ones ends the command."""
    from tradeloop.domain.letters import LetterFilter, LetterState

    known = [one.value for one in LetterState]
    if state not in (*known, "all"):
        raise UsageInvalid(f"{state!r} is no state; {', '.join(known)} or all is expected.")
    if source and source not in SOURCES:
        raise UsageInvalid(f"{source!r} is no source; {', '.join(SOURCES)} is expected.")
    return LetterFilter(
        cause=cause,
        kind=kind,
        source=source,
        topic=topic,
        state=None if state == "all" else LetterState(state),
        since=datetime.now(UTC) - period(since) if since else None,
    )


async def numbers(letters: PostgresLetters, words: Sequence[str]) -> list[int]:
    """Letters' numbers from numbers, or beginnings of their events' or runs' ids.

    Raises:
        NotFound: no letter has it.
    """
    return [await _number(letters, word) for word in words]


async def _number(letters: PostgresLetters, word: str) -> int:
    from tradeloop.store.history import id_bounds

    if word.isdecimal() and len(word) <= LONGEST_NUMBER:
        return (await letters.find(int(word))).letter_id
    found = await letters.between(*id_bounds(word))
    if not found:
        raise NotFound(f"no dead letter's event or run begins with {word!r}.", hint="tradeloop dlq list")
    if len(found) > 1:
        several = ", ".join(str(number) for number in found)
        raise Ambiguous(f"several letters have {word!r}: {several}.", hint="give one of these numbers")
    return found[0]


async def with_letters(ask: Callable[[PostgresLetters], Awaitable[T]]) -> T:
    """Ask the store that the settings name."""
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.letters import PostgresLetters

    async with open_database(stack_settings()) as database:
        return await ask(PostgresLetters(database))
