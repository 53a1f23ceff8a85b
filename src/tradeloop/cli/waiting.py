"""What a person sees while a command waits: nothing for a second, then what it waits for, then since when."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeVar  # Any: what a coroutine takes and yields on its way

from tradeloop.cli.output import OUTPUT

T = TypeVar("T")
SILENT_S: Final = 1.0
"""Shorter waits are not told: a line that flashes up tells nobody anything."""
COUNTED_S: Final = 5.0
"""From here on the line says since when, and how long at most."""
LINE_EVERY_S: Final = 10.0
"""Without a terminal: one line so often, so that a log shows that something lives."""
TICK_S: Final = 0.1
WHEEL: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
BAR: Final = 24


class Waiting:
    """Tells on stderr what a command waits for; nothing with `--quiet`. Used as a context."""

    def __init__(self, what: str, *, bound_s: float | None = None, total: int | None = None, unit: str = "") -> None:
        self._what, self._bound_s, self._total, self._unit = what, bound_s, total, unit
        self._done = 0
        self._moves = sys.stderr.isatty()
        self._begun = self._told_at = time.monotonic()
        self._is_drawn = False
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="tradeloop-waiting", daemon=True)

    def __enter__(self) -> Self:
        if not OUTPUT.quiet:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._ticker.is_alive():
            self._ticker.join()
        if self._is_drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def count(self, done: int) -> None:
        """Say how many of the total are done."""
        self._done = done

    def words(self, elapsed_s: float) -> str:
        """What the line says after so long."""
        if self._total is not None:
            return progress(self._what, self._done, self._total, elapsed_s, self._unit)
        if elapsed_s < COUNTED_S:
            return self._what
        bound = f" of at most {self._bound_s:.0f} s" if self._bound_s else " s"
        return f"{self._what}, {elapsed_s:.0f}{' s' if self._bound_s else ''}{bound}"

    def _tick(self) -> None:
        turn = 0
        while not self._over.wait(TICK_S):
            now = time.monotonic()
            elapsed_s = now - self._begun
            if self._moves and elapsed_s >= SILENT_S:
                turn += 1
                self._is_drawn = True
                sys.stderr.write(f"\r\x1b[K{WHEEL[turn % len(WHEEL)]} {self.words(elapsed_s)[: _columns() - 3]}")
                sys.stderr.flush()
            elif not self._moves and now - self._told_at >= LINE_EVERY_S:
                self._told_at = now
                print(f"… {self.words(elapsed_s)}", file=sys.stderr, flush=True)


def progress(what: str, done: int, total: int, elapsed_s: float, unit: str = "") -> str:
    """A known amount: bar, count, rate, and the time that is left."""
    filled = BAR * done // total if total else BAR
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    rest = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
    bar = "━" * filled + "╌" * (BAR - filled)
    return f"{what}  {bar}  {done:,} of {total:,}{f' {unit}' if unit else ''}, {rate:,.0f} a second{rest}"


def run(work: Coroutine[Any, Any, T], what: str = "PostgreSQL", *, bound_s: float | None = None) -> T:
    """Run a coroutine to its end, and tell what it waits for."""
    import asyncio

    with Waiting(what, bound_s=bound_s):
        return asyncio.run(work)


def call(work: Callable[[], T], what: str, *, bound_s: float | None = None) -> T:
    """Call something that blocks, and tell what it waits for; Ctrl-C is heard at once.

    It goes on in a thread that nobody waits for after Ctrl-C: for reading, or for what is whole at every instant.
    """
    answer: list[T] = []
    problem: list[BaseException] = []

    def work_and_keep() -> None:
        try:
            answer.append(work())
        except BaseException as found:  # noqa: BLE001 - raised again where it is waited for
            problem.append(found)

    thread = threading.Thread(target=work_and_keep, name="tradeloop-call", daemon=True)
    with Waiting(what, bound_s=bound_s):
        thread.start()
        while thread.is_alive():
            thread.join(TICK_S)
    if problem:
        raise problem[0]
    return answer[0]


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


@contextmanager
def heeding_ctrl_c() -> Iterator[None]:
    """Remember that Ctrl-C came: a client's C code that it meets may turn it into an error of its own."""

    def heed(number: int, frame: FrameType | None) -> None:
        OUTPUT.saw_ctrl_c = True
        signal.default_int_handler(number, frame)

    earlier = signal.signal(signal.SIGINT, heed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
