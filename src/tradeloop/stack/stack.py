"""The local stack as an object: start, look, disturb, stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Literal, Self

from tradeloop.errors import NotFound, StackConflict, TradeloopError
from tradeloop.settings import Settings
from tradeloop.stack import services
from tradeloop.stack.credentials import load_credentials
from tradeloop.stack.home import Home, HomeLock
from tradeloop.stack.leftovers import end_leftovers
from tradeloop.stack.part import Context, Part, Progress, StartBrokenOff
from tradeloop.stack.plan import AIRFLOW, STOP_ORDER, names_of, parts_of
from tradeloop.stack.ports import Ports
from tradeloop.stack.postgres import make_socket_folder, remove_socket_folder
from tradeloop.stack.record import Failure, Owner, PartRecord, RecordKeeper, StackRecord, State, load_record
from tradeloop.stack.running import Running

TICK_S = 0.25
"""How often the stack looks after its parts; a part that died is down for at least so long."""


class Stack:
    """PostgreSQL, Kafka, Airflow, relay and worker on this machine, run by this process.

    As a context manager it starts them all and ends them all. Only one process at a time runs the stack of a home.
    """

    def __init__(
        self,
        settings: Settings,
        parts: Iterable[str] | None = None,
        *,
        airflow_environment: Mapping[str, str] | None = None,
        on_progress: Progress | None = None,
        keep_alive: bool = False,
        kind: Literal["supervisor", "embedded"] = "embedded",
    ) -> None:
        """`parts` are names, or all; `keep_alive` starts again what dies while the stack is up."""
        self.home = Home.open(settings.home)
        self._given = settings
        self._names = names_of(parts, settings)
        self._airflow_environment = dict(airflow_environment or {})
        self._on_progress = on_progress
        self._keep_alive = keep_alive
        self._kind: Literal["supervisor", "embedded"] = kind
        self._lock = HomeLock(self.home)
        self._mutex = threading.RLock()
        self._ended = threading.Event()
        self._keeper_thread: threading.Thread | None = None
        self._running: dict[str, Running] = {}
        self._parts: list[Part] = []
        self._begun = 0.0
        self._keeper = RecordKeeper(self.home, StackRecord())
        self._context: Context | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def addresses(self) -> dict[str, str]:
        """Settings fields of what runs: database_url, kafka_bootstrap, airflow_url and so on."""
        addresses = self._context.addresses if self._context else {}
        return {name: value for name, value in addresses.items() if name in Settings.model_fields}

    @property
    def airflow_database_url(self) -> str:
        """Airflow's own database, for measurements."""
        return self._context.address("airflow_database_url") if self._context else ""

    @property
    def settings(self) -> Settings:
        """The settings as relay and worker get them: with the addresses of this stack."""
        return services.settings_in_use(self._context) if self._context else self._given

    @property
    def record(self) -> StackRecord:
        return self._keeper.record

    def part(self, name: str) -> PartRecord:
        """What is known of a part: pid, port, log, state.

        Raises:
            NotFound: the stack has no such part.
        """
        if name not in self.record.parts:
            raise NotFound(f"this stack has no part {name!r}.", hint=f"parts: {', '.join(self.record.parts)}")
        return self.record.parts[name]

    def start(self) -> None:
        """Start every part, as much at a time as their needs allow; returns when all are ready.

        Raises:
            StackConflict: another process runs the stack of this home.
            PartFailed: a part did not start; everything else was ended again.
        """
        if not self._lock.acquire():
            raise already_running(self.home)
        try:
            self._prepare()
            self._start_parts()
        except BaseException as problem:
            self._end("failed", failure_of(problem))
            raise
        self.record.state = "up"
        self._keeper.save()
        if self._keep_alive:
            self._keeper_thread = threading.Thread(target=self._look_after, name="stack", daemon=True)
            self._keeper_thread.start()

    def stop(self) -> None:
        """End every part, writers before what they write to; no process stays behind."""
        self._end("down", None)

    def cancel(self) -> None:
        """Make a start that is under way end with an error; safe in a signal handler."""
        if self._context:
            self._context.cancelled.set()

    def hurry(self) -> None:
        """Make an end that is under way use force at once; safe in a signal handler."""
        if self._context:
            self._context.hurried.set()

    def signal(self, name: str, number: int, *, whole_group: bool = True) -> None:
        """Send a signal to a part, such as SIGSTOP or SIGKILL."""
        self._of(name).child.signal(number, whole_group=whole_group)

    def restart(self, name: str, *, environment: Mapping[str, str] | None = None) -> None:
        """End a part and start it again; `environment` is added to its variables from now on.

        `airflow` stands for all parts of Airflow.
        """
        names = [part for part in AIRFLOW if part in self._running] if name == "airflow" else [name]
        with self._mutex:
            for running in [self._of(part) for part in names]:
                running.environment.update(environment or {})
                running.terminate()
            for running in [self._of(part) for part in names]:
                running.end()
                running.spawn()
            for running in [self._of(part) for part in names]:
                self._set(running.part.name, "ready", running.wait_until_ready())

    def _of(self, name: str) -> Running:
        self.part(name)
        if name not in self._running:
            raise NotFound(f"the part {name!r} has no process.")
        return self._running[name]

    def _prepare(self) -> None:
        self._begun = time.monotonic()
        earlier = load_record(self.home)
        self._keeper.record = StackRecord(
            state="starting", owner=Owner.this_process(self._kind), ports=earlier.ports, parts=earlier.parts
        )
        self._ended.clear()
        count = end_leftovers(self.home, earlier)
        socket_folder = make_socket_folder(earlier.socket_folder)
        ports = Ports(dict(earlier.ports))
        self._context = Context(
            self._given,
            self.home,
            load_credentials(self.home),
            ports,
            socket_folder,
            airflow_environment=self._airflow_environment,
            report=self._note,
        )
        self._parts = parts_of(self._context, self._names)
        record = self.record
        record.socket_folder, record.ports = str(socket_folder), ports.remembered
        record.addresses = {
            name: value
            for name, value in self.addresses.items()
            if name in ("kafka_bootstrap", "airflow_url", "airflow_username", "wake_port", "api_url")
        }
        record.parts = {part.name: PartRecord(name=part.name, label=part.label, port=part.port) for part in self._parts}
        self._keeper.save()
        if count:
            self._note(f"{count} processes that an earlier stack left were ended")
        for sentence in ports.notes:
            self._note(sentence)

    def _start_parts(self) -> None:
        assert self._context is not None  # noqa: S101 - _prepare made it
        futures: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(self._parts)), thread_name_prefix="stack") as pool:
            for part in self._parts:
                needs = [futures[name] for name in part.needs if name in futures]
                futures[part.name] = pool.submit(self._start_part, part, needs)
            try:
                wait_for_all(futures)
            except BaseException:
                self._context.cancelled.set()
                raise

    def _start_part(self, part: Part, needs: list[Future[None]]) -> None:
        assert self._context is not None  # noqa: S101
        for need in needs:
            need.result()
        self._context_is_wanted()
        try:
            self._set(part.name, "preparing")
            part.prepare()
            detail = ""
            if part.command is not None:
                running = Running(part, self._context, self._set, self.record.parts[part.name])
                with self._mutex:
                    self._context_is_wanted()
                    self._running[part.name] = running
                    running.spawn()
                detail = running.wait_until_ready()
                part.finish()
            self._set(part.name, "ready", detail)
        except BaseException as problem:
            if not isinstance(problem, StartBrokenOff):
                self._set(part.name, "failed", str(problem))
            self._context.cancelled.set()
            raise

    def _context_is_wanted(self) -> None:
        if self._context is None or self._context.cancelled.is_set():
            raise StartBrokenOff

    def _look_after(self) -> None:
        while not self._ended.wait(TICK_S):
            with self._mutex:
                for running in self._running.values():
                    if not self._ended.is_set():
                        running.look_after()

    def _end(self, state: Literal["down", "failed"], failure: Failure | None) -> None:
        self._ended.set()
        self.cancel()
        with self._mutex:
            if self.record.state in ("down", "failed"):
                return
            self.record.state = "stopping"
            for group in STOP_ORDER:
                self._end_group([self._running[name] for name in group if name in self._running])
            end_leftovers(self.home, self.record)
            remove_socket_folder(self.record.socket_folder)
            self.record.state, self.record.failure = state, failure
            self.record.addresses, self.record.socket_folder = {}, ""
            self._keeper.save()
            self._running.clear()
            self._lock.release()

    def _end_group(self, group: list[Running]) -> None:
        for running in group:
            running.terminate()
        for running in group:
            running.end()

    def _set(self, name: str, state: State, detail: str = "") -> None:
        record = self.record.parts[name]
        record.state, record.detail = state, detail
        record.elapsed_s = round(time.monotonic() - self._begun, 2)
        self._tell(name, state, detail)
        self._keeper.save()

    def _note(self, sentence: str) -> None:
        self.record.notes.append(sentence)
        self._keeper.save()
        self._tell("", "note", sentence)

    def _tell(self, name: str, state: str, detail: str) -> None:
        if self._on_progress:
            with self._mutex:
                self._on_progress(name, state, detail, time.monotonic() - self._begun)


def wait_for_all(futures: dict[str, Future[None]]) -> None:
    """Wait for every start; the first real failure is raised, not what broke off because of it."""
    wait(futures.values())
    problems = [problem for future in futures.values() if (problem := future.exception())]
    problems.sort(key=lambda problem: isinstance(problem, StartBrokenOff))
    if problems:
        raise problems[0]


def already_running(home: Home) -> StackConflict:
    """The error for a second start, with the addresses of the first."""
    record = load_record(home)
    found = " · ".join(f"{name} {value}" for name, value in record.addresses.items())
    return StackConflict(
        f"A stack runs here already ({home.root}), started by process {record.owner.pid}.",
        where=found,
        hint="tradeloop status shows it, tradeloop down ends it",
    )


def failure_of(problem: BaseException) -> Failure:
    """What to tell in another process about a failed start."""
    if isinstance(problem, TradeloopError):
        return Failure(message=problem.message, where=problem.where, hint=problem.hint)
    return Failure(message=f"{type(problem).__name__}: {problem}")
