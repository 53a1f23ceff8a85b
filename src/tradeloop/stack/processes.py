"""Processes of the stack: each part in a session of its own, found again by more than a number."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import psutil

MARK = "TRADELOOP_STACK"
"""Variable in the environment of every process of a stack, its tasks too: the home's path."""


@dataclass
class Child:
    """A part's leading process; its pid is its process group and its session."""

    popen: subprocess.Popen[bytes]
    created_at: float
    log: Path
    log_offset: int = 0
    """Where this process's own lines begin in the log."""

    @property
    def pid(self) -> int:
        return self.popen.pid

    def age_s(self) -> float:
        return time.time() - self.created_at

    def has_ended(self) -> bool:
        return self.popen.poll() is not None

    def signal(self, number: int, *, whole_group: bool = True) -> None:
        """Send a signal to the group, or to the leader alone; one that has ended is no error."""
        if not self.has_ended():
            with suppress(ProcessLookupError, PermissionError):
                (os.killpg if whole_group else os.kill)(self.pid, number)


def spawn(argv: list[str], environment: Mapping[str, str], log: Path, home: Path) -> Child:
    """Start a part in its own session; it writes to its log and reads nothing."""
    # setproctitle overwrites the environment that others see of a process; SPT_NOENV forbids that, or the mark is lost.
    environment = {**environment, MARK: str(home), "SPT_NOENV": "1"}
    offset = log.stat().st_size if log.exists() else 0
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:  # noqa: PTH123
        popen = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return Child(popen, created_at(popen.pid), log, offset)


def run(
    argv: list[str], environment: Mapping[str, str], log: Path, home: Path, *, within_s: float, cancelled: Event
) -> bool:
    """Run a program to its end as a process of the stack; whether it ended well, in time and undisturbed."""
    child = spawn(argv, environment, log, home)
    deadline = time.monotonic() + within_s
    while not child.has_ended() and time.monotonic() < deadline:
        if cancelled.wait(0.02):
            break
    end_group(child, home)
    return child.popen.returncode == 0


def python_environment() -> dict[str, str]:
    """The caller's environment for a Python process of the stack."""
    # Without byte code on disk every process of Airflow starts 3 to 8 s later.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # The parts talk to each other on loopback, which no proxy reaches.
    for name in ("NO_PROXY", "no_proxy"):
        variables[name] = ",".join(filter(None, [variables.get(name, ""), "127.0.0.1", "localhost"]))
    return variables


def created_at(pid: int) -> float:
    """When the process began, seconds since 1970; 0 when it is gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def is_same(pid: int, started: float) -> bool:
    """Whether this pid still is the process that began then: numbers are used again."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def processes_of(home: Path) -> list[psutil.Process]:
    """Every living process of the stack in this home, whoever started it and whatever became of its parent."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and _belongs(process, home):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _belongs(process: psutil.Process, home: Path) -> bool:
    if process.status() == psutil.STATUS_ZOMBIE:
        return False
    if process.environ().get(MARK) == str(home):
        return True
    # PostgreSQL's processes write their title over their environment, but each stands in the data folder.
    return process.name() == "postgres" and Path(process.cwd()) == (home / "postgres").resolve()


def listens(pid: int, port: int) -> bool:
    """Whether this process, or one that it started, is the one that listens there."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        connections = [connection for member in family for connection in member.net_connections("tcp")]
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port for c in connections)


def end_all(processes: Iterable[psutil.Process], grace_s: float) -> None:
    """End processes: politely, then by force."""
    remaining = [process for process in processes if is_alive(process)]
    for process in remaining:
        with suppress(psutil.Error):
            process.terminate()
            process.send_signal(signal.SIGCONT)
    remaining = wait_until_gone(remaining, grace_s)
    for process in remaining:
        with suppress(psutil.Error):
            process.kill()
    wait_until_gone(remaining, 5.0)


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that ended and that its parent has not collected does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def wait_until_gone(processes: Iterable[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Wait for processes that are not this one's children; those that still run."""
    deadline = time.monotonic() + within_s
    while (remaining := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return remaining


def end_group(child: Child, home: Path) -> None:
    """End by force what is left of a part's group, and collect its leader."""
    if not child.has_ended():
        child.signal(signal.SIGKILL)
        child.popen.wait()
    for process in members(home, child.pid):
        with suppress(psutil.Error):
            process.kill()


def members(home: Path, pgid: int) -> list[psutil.Process]:
    """The stack's living processes in a group; once its leader is collected, its number may be somebody else's."""
    found = []
    for process in processes_of(home):
        with suppress(OSError):
            if os.getpgid(process.pid) == pgid:
                found.append(process)
    return found


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log, for an error message."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines[-count:] if line.strip())


def wait_until_ended(children: Iterable[Child], within_s: float) -> list[Child]:
    """Wait for parts to end; those that did not in time."""
    deadline = time.monotonic() + within_s
    remaining = list(children)
    while remaining and time.monotonic() < deadline:
        remaining = [child for child in remaining if not child.has_ended()]
        if remaining:
            time.sleep(0.02)
    return remaining
