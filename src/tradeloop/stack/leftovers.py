"""Processes that a stack left because whoever ran it was killed: found by identity, ended in order."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import psutil

from tradeloop.stack.home import Home
from tradeloop.stack.plan import STOP_ORDER
from tradeloop.stack.processes import end_all, is_same, processes_of, wait_until_gone
from tradeloop.stack.record import StackRecord

GRACE_S = 5.0


def end_leftovers(home: Home, record: StackRecord) -> int:
    """End every process of this home's stack; how many there were.

    A pid from the record counts only with its time of creation, and any other process only by the home's path in its
    environment or working folder. Whoever calls this holds the home's lock.
    """
    found = processes_of(home.root)
    if not found:
        return 0
    ours = {process.pid for process in found}
    for group in STOP_ORDER:
        leaders = []
        for name in group:
            part = record.parts.get(name)
            if part and part.pid in ours and is_same(part.pid, part.created_at):
                leaders.append(psutil.Process(part.pid))
                _ask_to_end(part.pid, whole_group=name != "postgres")
        wait_until_gone(leaders, GRACE_S)
    end_all(processes_of(home.root), 1.0)
    return len(found)


def _ask_to_end(pid: int, *, whole_group: bool) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if whole_group:
            os.killpg(pid, signal.SIGTERM)
            os.killpg(pid, signal.SIGCONT)
        else:
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGINT)
