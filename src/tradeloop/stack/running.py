"""One part that runs: its process, its readiness, its restarts, its end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from tradeloop.errors import PartFailed
from tradeloop.stack.part import Context, Part, StartBrokenOff
from tradeloop.stack.processes import Child, end_group, last_lines, members, spawn
from tradeloop.stack.record import PartRecord, State

POLL_S = 0.05
BACKOFF_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before a part that died is started again, the last for ever: a loop without them would fill the log."""
STEADY_S = 60.0
"""A part that was up so long begins again with the shortest wait."""


class Running:
    """A part and its present process."""

    def __init__(
        self, part: Part, context: Context, on_state: Callable[[str, State, str], None], record: PartRecord
    ) -> None:
        self.part = part
        self.environment: dict[str, str] = {}
        """Added to the part's own."""
        self._context = context
        self._home = context.home.root
        self._on_state = on_state
        self._record = record
        self._child: Child | None = None
        self._due_at = 0.0
        self._failures = 0
        self._ready = False

    @property
    def child(self) -> Child:
        if self._child is None:
            raise PartFailed(f"{self.part.label} was not started.")
        return self._child

    def spawn(self) -> None:
        """Start the process; it is not ready yet."""
        if self.part.command is None:
            raise PartFailed(f"{self.part.label} has no process.")
        log = self._context.home.log(self.part.name)
        variables = {**self.part.environment(), **self.environment}
        self._child = spawn(self.part.command(), variables, log, self._home)
        self._ready = False
        record = self._record
        record.pid = record.pgid = self._child.pid
        record.created_at, record.log = self._child.created_at, str(log)
        self._on_state(self.part.name, "starting", "")

    def wait_until_ready(self) -> str:
        """Wait until the part answers; a word about what was seen.

        Raises:
            PartFailed: it ended, or did not answer in time; the end of its log is in the message.
        """
        child, deadline = self.child, time.monotonic() + self.part.ready_within_s
        while not self._context.cancelled.is_set():
            if child.has_ended():
                raise self._failed(f"{self.part.label} ended with code {child.popen.returncode} before it was ready.")
            detail = self.part.ready(child)
            if detail is not None:
                self._ready = True
                return detail
            if time.monotonic() > deadline:
                raise self._failed(f"{self.part.label} did not answer within {self.part.ready_within_s:.0f} s.")
            self._context.cancelled.wait(POLL_S)
        raise StartBrokenOff

    def look_after(self) -> None:
        """Notice a death, start again when it is time, notice the readiness."""
        now = time.monotonic()
        if self._due_at:
            if now >= self._due_at:
                self._due_at = 0.0
                self._record.restarts += 1
                self.spawn()
        elif self.child.has_ended():
            self._rest(now, f"ended with code {self.child.popen.returncode}")
        elif not self._ready:
            try:
                detail = self.part.ready(self.child)
            except PartFailed as problem:
                self._rest(now, problem.message)
            else:
                if detail is not None:
                    self._ready = True
                    self._on_state(self.part.name, "ready", detail)

    def _rest(self, now: float, reason: str) -> None:
        if self.child.age_s() > STEADY_S:
            self._failures = 0
        wait_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
        self._failures += 1
        self._due_at = now + wait_s
        end_group(self.child, self._home)
        self._on_state(self.part.name, "restarting", f"{reason}, again in {wait_s:.0f} s")

    def terminate(self) -> None:
        """Ask the part to end; also when it was stopped by SIGSTOP, or when its leader is gone and others are not."""
        if self._child is None:
            return
        if self._record.state != "failed":
            self._on_state(self.part.name, "stopping", "")
        if not self._child.has_ended():
            self._child.signal(self.part.stop_signal, whole_group=self.part.stop_whole_group)
            self._child.signal(signal.SIGCONT)
            return
        for process in members(self._home, self._child.pid):
            with suppress(psutil.Error):
                process.terminate()
                process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Wait for the end that was asked for; after the part's limit it is forced."""
        if self._child is None:
            return
        deadline = time.monotonic() + self.part.stop_within_s
        while time.monotonic() < deadline and not self._context.hurried.is_set():
            if self._child.has_ended() and not members(self._home, self._child.pid):
                break
            time.sleep(POLL_S)
        end_group(self._child, self._home)
        self._due_at = 0.0
        self._record.pid = self._record.pgid = 0
        if self._record.state != "failed":
            self._on_state(self.part.name, "stopped", "")

    def _failed(self, message: str) -> PartFailed:
        return PartFailed(message, where=f"{self.child.log}\n{last_lines(self.child.log)}")
