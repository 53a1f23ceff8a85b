"""The progress of a start or an end, for a person: lines, and on a terminal one line that moves."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

from tradeloop.stack.plan import AIRFLOW

STILL_S = 10.0
"""Where no terminal shows a moving line, a line so often says what is waited for."""

LABELS = {"postgres": "PostgreSQL", "kafka": "Kafka", "airflow": "Airflow"}


class Screen:
    """Takes the progress of a stack and prints it; use it as the callback."""

    def __init__(self, output: TextIO | None = None, *, quiet: bool = False) -> None:
        self._output = output or sys.stderr
        self._moves = self._output.isatty()
        self._quiet = quiet
        self._begun = time.monotonic()
        self._open: dict[str, str] = {}
        self._line = ""
        self._mutex = threading.Lock()
        self._done = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Screen:
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._ticker.join()
        with self._mutex:
            self._draw("")

    def __call__(self, part: str, state: str, detail: str, elapsed_s: float) -> None:
        with self._mutex:
            if not part:
                if detail:
                    self._print(f"  {state}: {detail}.")
                return
            name = LABELS.get(part, f"Airflow {part}" if part in AIRFLOW else part)
            if state in ("ready", "failed", "stopped"):
                self._open.pop(part, None)
            else:
                self._open[part] = name
            mark = {"ready": "✓", "failed": "✗", "stopped": "·", "restarting": "!"}.get(state)
            if mark and not (state == "ready" and part in ("database", "topics", "airflow-database")):
                words = f"{name} {detail}".strip() if state != "stopped" else f"{name} stopped"
                self._print(f"  {mark} {words.splitlines()[0]:<40} {elapsed_s:5.1f} s")

    def _print(self, line: str) -> None:
        if not self._quiet:
            self._draw("")
            print(line, file=self._output, flush=True)

    def _draw(self, line: str) -> None:
        if self._moves and not self._quiet and line != self._line:
            self._output.write(f"\r\x1b[K{line}")
            self._output.flush()
            self._line = line

    def _tick(self) -> None:
        last = time.monotonic()
        while not self._done.wait(0.1):
            with self._mutex:
                waiting = ", ".join(self._open.values())
                if waiting and self._moves:
                    self._draw(f"  … {waiting}, {time.monotonic() - self._begun:.0f} s"[:100])
                elif waiting and not self._moves and time.monotonic() - last > STILL_S:
                    last = time.monotonic()
                    self._print(f"  … waiting for {waiting}, {last - self._begun:.0f} s")
