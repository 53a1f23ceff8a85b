"""The model's transactions behave as PostgreSQL's do."""

from __future__ import annotations

import pytest

from tradeloop.model.rules import Rules
from tradeloop.model.world import (
    KEY_SHARE,
    NO_KEY_UPDATE,
    SHARE,
    UPDATE,
    Row,
    Statements,
    Transaction,
    Violated,
    World,
)


def nothing(tx: Transaction, world: World) -> Statements:
    yield
    return "answered"


@pytest.mark.parametrize(
    ("held", "refused"),
    [
        (KEY_SHARE, {UPDATE}),
        (SHARE, {NO_KEY_UPDATE, UPDATE}),
        (NO_KEY_UPDATE, {SHARE, NO_KEY_UPDATE, UPDATE}),
        (UPDATE, {KEY_SHARE, SHARE, NO_KEY_UPDATE, UPDATE}),
    ],
)
def test_row_locks_conflict_as_the_documentation_of_postgresql_says(held: int, refused: set[int]) -> None:
    world = World(Rules())
    first, second = Transaction(world, nothing), Transaction(world, nothing)
    assert first.lock("row", held)
    assert {strength for strength in range(4) if not second.lock("row", strength)} == refused


def test_a_commit_shows_the_writes_and_lets_the_locks_go() -> None:
    world = World(Rules())
    transaction = Transaction(world, nothing)
    transaction.lock("row", UPDATE)
    transaction.writes.append(lambda: world.keys.update({1: (1, 0)}))
    transaction.step()
    transaction.step()
    assert (transaction.done, world.keys) == (False, {})
    transaction.step()
    assert (transaction.done, world.keys, transaction.answer) == (True, {1: (1, 0)}, "answered")
    assert Transaction(world, nothing).lock("row", UPDATE)


@pytest.mark.parametrize("ready", [True, False])
def test_a_restart_commits_only_what_was_ready(ready: bool) -> None:
    world = World(Rules())
    transaction = Transaction(world, nothing)
    transaction.writes.append(lambda: world.keys.update({1: (1, 0)}))
    for _ in range(2 if ready else 1):
        transaction.step()
    transaction.lose(commit=True)
    assert bool(world.keys) is ready


def test_a_run_that_is_not_the_oldest_of_its_subject_may_not_run() -> None:
    world = World(Rules())
    world.work = {n: Row(n, n, 0, n, 0, "q" if n == 1 else "r", n == 1, 1) for n in (1, 2)}
    with pytest.raises(Violated, match="I3: run 2 of subject 0"):
        world.check_work()
