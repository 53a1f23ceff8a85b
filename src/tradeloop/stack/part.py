"""What a part of the stack is: how to prepare, start, recognise and end it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tradeloop.errors import PartFailed
from tradeloop.settings import Settings
from tradeloop.stack.credentials import Credentials
from tradeloop.stack.home import Home
from tradeloop.stack.ports import Ports
from tradeloop.stack.processes import Child, last_lines, run

Progress = Callable[[str, str, str, float], None]
"""Called with part, state, detail and the seconds since the start; from several threads, one at a time."""


class StartBrokenOff(PartFailed):
    """The start was broken off."""

    exit_code = 130


@dataclass
class Context:
    """What the parts of one stack share."""

    settings: Settings
    home: Home
    credentials: Credentials
    ports: Ports
    socket_folder: Path
    """For PostgreSQL's socket, in a short path."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    addresses: dict[str, str] = field(default_factory=dict)
    """Settings fields that parts filled in, with `airflow_database_url` beside them."""
    airflow_environment: Mapping[str, str] = field(default_factory=dict)
    """Extra variables for the parts of Airflow."""
    report: Callable[[str], None] = lambda _: None
    """One sentence for the person who started the stack."""
    hurried: threading.Event = field(default_factory=threading.Event)
    """Set when somebody does not want to wait for a graceful end."""

    def run(self, name: str, argv: list[str], environment: Mapping[str, str], *, within_s: float = 120.0) -> Path:
        """Run a preparing program to its end; its log, where its own lines are the last.

        Raises:
            PartFailed: it failed; the end of its log is in the message.
            StartBrokenOff: the start was broken off meanwhile.
        """
        log = self.home.log(name)
        well = run(argv, environment, log, self.home.root, within_s=within_s, cancelled=self.cancelled)
        if self.cancelled.is_set():
            raise StartBrokenOff
        if not well:
            raise PartFailed(f"{name} failed.", where=f"{log}\n{last_lines(log)}")
        return log

    def address(self, name: str) -> str:
        """A part's address: given by a part that runs, else by the settings."""
        return self.addresses.get(name) or str(getattr(self.settings, name, "") or "")


def _nothing() -> None:
    return None


def _no_environment() -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Part:
    """A server, or a step that must be done once between servers (then it has no command)."""

    name: str
    label: str
    needs: tuple[str, ...] = ()
    """Names of parts that must be ready before; names that are not in the stack do not count."""
    prepare: Callable[[], None] = _nothing
    """Runs once before the process; may take long."""
    command: Callable[[], list[str]] | None = None
    environment: Callable[[], dict[str, str]] = _no_environment
    ready: Callable[[Child], str | None] = lambda _: ""
    """A word about the observed readiness, or None while it is not ready; asked again and again."""
    finish: Callable[[], None] = _nothing
    """Runs once after the process is ready."""
    port: int = 0
    ready_within_s: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_whole_group: bool = True
    stop_within_s: float = 8.0
