"""The demo's screen: lines that are only ever appended; on a terminal tasks appear as they end."""

from __future__ import annotations

import json
import sys
import textwrap

from rich.console import Console

from tradeloop.demo.legs import Batch, Leg, LegBroken

NAME_WIDTH = 10
TIME_COLUMN = 92
TEXT_WIDTH = 88


class DemoScreen:
    """Tells the legs: words for people, or one JSON object a leg."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(highlight=False, soft_wrap=True, emoji=False, markup=False)
        self._number = 1

    def title(self) -> None:
        """The first line."""
        self._print(
            "tradeloop demo   3 batches of S&P 500 daily bars (arch package, 1999-2018)   Ctrl-C stops everything"
        )

    def section(self, words: str) -> None:
        """A numbered heading."""
        self._print(f" {self._number} {words}", style="bold")
        self._number += 1

    def batch(self, batch: Batch) -> None:
        """The heading of a batch."""
        self.section(f"batch {batch.name}   {batch.month}, {batch.about}")

    def leg(self, leg: Leg) -> None:
        """A leg that came through."""
        if self._as_json:
            print(json.dumps(leg.as_json()), flush=True)
            return
        first, *rest = leg.words.splitlines()
        took = "" if leg.elapsed_s is None else _duration(leg.elapsed_s)
        self._print(f"   {leg.name:<{NAME_WIDTH}}{first:<{TIME_COLUMN - NAME_WIDTH}} {took}".rstrip())
        for line in rest:
            for piece in textwrap.wrap(line, TEXT_WIDTH):
                self._print(f"   {'':<{NAME_WIDTH}}{piece}", style="dim")

    def broken(self, batch: str, problem: LegBroken) -> None:
        """A leg that did not."""
        if self._as_json:
            print(json.dumps({"batch": batch, "leg": problem.leg, "error": problem.message, "where": problem.where}))
            return
        self._print(f"   {problem.leg:<{NAME_WIDTH}}✗ {problem.message}", style="bold red")
        self._print(f"   {'':<{NAME_WIDTH}}{problem.where}")

    def line(self, words: str) -> None:
        """A line of its own."""
        self._print(words)

    def summary(self, facts: dict[str, object], words: list[str]) -> None:
        """The last lines."""
        if self._as_json:
            print(json.dumps(facts), flush=True)
            return
        for line in words:
            self._print(line)

    def working(self, words: str) -> None:
        """Progress for those who wait; nothing of it stays on a terminal."""
        if not self._as_json and sys.stderr.isatty():
            print(f"\r\x1b[K   {words}", end="", file=sys.stderr, flush=True)

    def _print(self, words: str, style: str = "") -> None:
        if self._as_json:
            return
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        self._console.print(words, style=style or None)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:6.0f} ms" if seconds < 1 else f"{seconds:6.1f} s "
