"""Logs: constant past-tense event names, facts as keys; JSON unless a person watches."""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

import structlog


class BestEffort:
    """A text stream whose failures are counted, not raised: a full disk for the log must not stop the work.

    The first line that can be written again is preceded by one that says how many were lost.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0
        """Writes that failed since the last that did not."""

    def write(self, text: str) -> int:
        """Write and flush, or lose the text."""
        told = f'{{"event": "log_lines_lost", "level": "error", "lines": {self.lost}}}\n' if self.lost else ""
        try:
            self._stream.write(told + text)
            self._stream.flush()
            self.lost = 0
        except (OSError, ValueError):  # full, broken off, closed
            self.lost += 1
        return len(text)

    def flush(self) -> None:
        """Nothing: every write was flushed."""


def configure_logging(log_format: str = "auto", level: int = logging.INFO) -> None:
    """Send structured logs to stderr: `json`, `console`, or `auto` (console on a terminal)."""
    as_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if as_console else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, BestEffort(sys.stderr))),
        cache_logger_on_first_use=True,
    )
