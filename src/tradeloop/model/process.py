"""Processes and their tasks: killed and stopped as a whole, stepped one atomic action at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, TypeAlias  # Any: answers of a transaction

from tradeloop.model.world import LOST, Statements, Transaction, World


class Pause:
    """What a task yields between two actions that need no transaction; None when it has nothing to do."""


PAUSE: Final = Pause()
Wish: TypeAlias = Transaction | Pause | None
Code: TypeAlias = Generator[Wish, Any, None]
Calling: TypeAlias = Generator[Wish, Any, Any]


class Task:
    """One thread of control; between two of its steps anything may happen."""

    __slots__ = ("code", "ended", "leaked", "name", "process", "transaction")

    def __init__(self, process: Process, name: str, code: Code) -> None:
        self.process = process
        self.name = name
        self.code = code
        self.transaction: Transaction | None = None
        self.ended = self.leaked = False

    def step(self) -> bool:
        """Go on by one action; False when there was nothing to do."""
        transaction = self.transaction
        if transaction is not None and not transaction.done:
            if self.process.stopped and not self.process.world.rules.one_flush:
                return False
            transaction.step()
            return True
        if self.process.stopped or self.ended:
            return False
        answer = None
        if transaction is not None:
            answer, self.transaction = transaction.answer, None
        try:
            wish = self.code.send(answer)
        except StopIteration:
            self.ended = True
            self.process.tasks.remove(self)
            return True
        if wish is None:
            return False
        if isinstance(wish, Transaction):
            self.transaction = wish
        return True

    def cancel(self) -> None:
        """End the task; the server finishes what it was sent."""
        self.code.close()
        if not self.ended:
            self.ended = True
            self.process.tasks.remove(self)
            self.process.abandon(self.transaction)
            self.transaction = None


class Process:
    """What a signal reaches."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.stopped = False
        self.tasks: list[Task] = []

    def spawn(self, name: str, code: Code) -> Task:
        """Begin a task."""
        task = Task(self, name, code)
        self.tasks.append(task)
        return task

    def has_work(self) -> bool:
        """Whether its loops may find something to do: spares the model idle rounds."""
        return True

    def die(self) -> None:
        """SIGKILL: memory is gone; the server finishes what it was sent whole."""
        self.world.say(f"{self.name} is killed")
        for task in self.tasks:
            self.abandon(task.transaction)
        self.tasks.clear()

    def abandon(self, transaction: Transaction | None) -> None:
        """Nobody waits for the answer any more."""
        if transaction is None or transaction.done:
            return
        if self.world.rules.one_flush:
            self.world.orphans.append(transaction)
        else:
            transaction.lose(commit=False)

    def call(self, statements: Callable[..., Statements], *arguments: Any) -> Calling:
        """A transaction, sent again until its answer comes: every one is idempotent or fenced."""
        while True:
            answer = yield Transaction(self.world, statements, *arguments)
            if answer is not LOST:
                return answer
