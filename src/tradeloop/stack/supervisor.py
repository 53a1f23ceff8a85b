"""Who runs the stack: a process in the foreground or in the background, and how another one ends it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

import psutil

from tradeloop.errors import PartFailed, StackConflict
from tradeloop.settings import Settings
from tradeloop.stack import services
from tradeloop.stack.home import Home, HomeLock
from tradeloop.stack.leftovers import end_leftovers
from tradeloop.stack.lookup import settings_of
from tradeloop.stack.part import Progress, StartBrokenOff
from tradeloop.stack.plan import names_of
from tradeloop.stack.postgres import remove_socket_folder
from tradeloop.stack.processes import end_all, is_same
from tradeloop.stack.record import RecordKeeper, StackRecord, load_record
from tradeloop.stack.stack import Stack, already_running

STOP_WITHIN_S = 60.0
"""A supervisor that has not ended by then is ended by force: longer than all its parts' limits together."""
POLL_S = 0.05


def run_in_foreground(settings: Settings, only: Iterable[str] | None, on_progress: Progress) -> int:
    """Start the stack, keep it alive, and end it at Ctrl-C or SIGTERM; a second signal ends it by force.

    Returns the number of the signal.

    Raises:
        StackConflict, PartFailed: as `Stack.start`.
    """
    stack = Stack(settings, only, on_progress=on_progress, keep_alive=True, kind="supervisor")
    asked = threading.Event()
    numbers: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            stack.hurry()
        numbers.append(number)
        asked.set()
        stack.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    stack.start()
    try:
        on_progress("", "up", "", 0.0)
        while not asked.wait(1.0):
            pass
    finally:
        stack.stop()
    return numbers[0] if numbers else 0


def launch(settings: Settings, only: Iterable[str] | None, on_progress: Progress) -> dict[str, str]:
    """Start the stack under a supervisor in the background; its settings, once everything is ready.

    Raises:
        StackConflict: one runs already.
        PartFailed: a part did not start; nothing was left.
    """
    home = Home.open(settings.home)
    names = names_of(only, settings)
    if load_record(home).owner.lives():
        raise already_running(home)
    resolved = settings.model_copy(
        update={
            "home": home.root,
            "dags_folder": settings.dags_folder.expanduser().resolve(),
            "reference_root": settings.reference_root.expanduser().resolve(),
        }
    )
    log = home.log("supervisor")
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:  # noqa: PTH123
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "tradeloop", "up", "--only", ",".join(names)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | services.as_environment(resolved),
            start_new_session=True,
        )
    try:
        _follow(home, supervisor, on_progress)
    except BaseException:
        supervisor.terminate()
        supervisor.wait(STOP_WITHIN_S)
        raise
    return settings_of(home.root)


def halt(path: Path, on_progress: Progress, *, wipe: bool = False) -> bool:
    """End the stack of a home, whoever runs it or ran it; whether there was anything to end.

    Raises:
        StackConflict: a program that is no supervisor holds it, such as a test run; that program ends it.
    """
    if not path.expanduser().is_dir():
        return False
    home = Home.open(path)
    begun = time.monotonic()
    lock = HomeLock(home)
    found = False
    while not lock.acquire():
        found = True
        _end_owner(home, begun, on_progress)
    try:
        record = load_record(home)
        count = end_leftovers(home, record)
        if count:
            on_progress("", "note", f"{count} processes that were left were ended", time.monotonic() - begun)
        remove_socket_folder(record.socket_folder)
        if record.state != "down":
            RecordKeeper(home, StackRecord(ports=record.ports, parts=_stopped(record).parts)).save()
        if wipe:
            _wipe(home)
        return found or count > 0
    finally:
        lock.release()


def _follow(home: Home, supervisor: subprocess.Popen[bytes], on_progress: Progress) -> None:
    """Report what the supervisor records until all is ready."""
    seen: dict[str, str] = {}
    while True:
        ended = supervisor.poll() is not None
        record = load_record(home)
        if record.owner.pid == supervisor.pid:
            for note in record.notes:
                if seen.setdefault(note, "") == "":
                    seen[note] = "told"
                    on_progress("", "note", note, 0.0)
            for part in record.parts.values():
                if seen.get(part.name) != part.state:
                    seen[part.name] = part.state
                    on_progress(part.name, part.state, part.detail, part.elapsed_s)
            if record.state == "up":
                return
            if ended and record.failure:
                raise PartFailed(record.failure.message, where=record.failure.where, hint=record.failure.hint)
        if ended:
            raise PartFailed(
                f"The supervisor ended with code {supervisor.returncode}.", where=f"see {home.supervisor_log}"
            )
        time.sleep(POLL_S)


def _end_owner(home: Home, begun: float, on_progress: Progress) -> None:
    owner = load_record(home).owner
    if not owner.lives():
        # The lock is held by a process that has not written its record yet, or that is about to end.
        if time.monotonic() - begun > STOP_WITHIN_S:
            raise StackConflict(f"Another process holds {home.lock_file} and does not say which it is.")
        time.sleep(POLL_S)
        return
    if owner.kind == "embedded":
        name = " ".join(psutil.Process(owner.pid).cmdline()[:4])
        raise StackConflict(
            f"Process {owner.pid} ({name}) runs this stack for itself.", hint="end that process; it ends its stack"
        )
    process = psutil.Process(owner.pid)
    process.terminate()
    told: dict[str, str] = {}
    while is_same(owner.pid, owner.created_at) and time.monotonic() - begun < STOP_WITHIN_S:
        for part in load_record(home).parts.values():
            if part.state == "stopped" and told.get(part.name) != part.state:
                on_progress(part.name, part.state, part.detail, time.monotonic() - begun)
            told[part.name] = part.state
        time.sleep(POLL_S)
    end_all([process], 0.0)


def _stopped(record: StackRecord) -> StackRecord:
    for part in record.parts.values():
        part.state, part.pid, part.pgid = "stopped", 0, 0
    return record


def _wipe(home: Home) -> None:
    """Remove what a stack made, and nothing else that may be in the folder."""
    data = home.root / "postgres"
    if data.is_symlink():
        shutil.rmtree(data.resolve(), ignore_errors=True)
        data.unlink()
    for name in ("postgres", "kafka", "airflow", "logs", "batches"):
        shutil.rmtree(home.root / name, ignore_errors=True)
    for path in (home.record_file, home.credentials_file, home.lock_file):
        path.unlink(missing_ok=True)
    if not any(home.root.iterdir()):
        home.root.rmdir()


__all__ = ["StartBrokenOff", "halt", "launch", "run_in_foreground"]
