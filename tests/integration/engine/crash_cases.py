"""One crash case: a process dies or stops at a boundary, others finish; what is then found everywhere."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import psycopg
from crash_points import Point
from psycopg.rows import dict_row
from real_parts import Names, event, make_topic, new_names, send, take

from tradeloop import WorkflowEvent
from tradeloop.kafka.consumer import KafkaSource
from tradeloop.kafka.messages import CE_ID

LIMIT_S = 120.0
POLL_S = 0.1
WORKFLOWS = """
import asyncio, os, signal
from pathlib import Path
from tradeloop import Action, Decision, Workflow

NEEDS, FOLDER = os.environ["CASE_NEEDS"], Path(os.environ["CASE_FOLDER"])

class Passes(Exception):
    retriable = True

async def weigh(state):
    if NEEDS == "fails" and not (FOLDER / "has failed").exists():
        (FOLDER / "has failed").touch()
        raise Passes("for now")
    if NEEDS == "kills" and state["event"]["payload"]["data"].get("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    if NEEDS == "stops":
        (FOLDER / "has begun").touch()
    await asyncio.sleep(1.6 if NEEDS == "waits" else 0.01)
    return {"facts": {"weighed": True}}

def decide(state):
    return {"decision": Decision(outcome="REFETCH", action=Action(kind="trigger_dag", target="refetch"))}

workflow = Workflow.chain("prices.loaded", weigh, decide, desk="prices")
"""


class Zygote:
    """The process that forks for us; made once, because imports take longer than a case."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("crash_zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fork(self, **request: Any) -> psutil.Process:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return psutil.Process(int(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@dataclass(frozen=True)
class Found:
    """What stands everywhere when a case has come to rest."""

    reached: bool
    runs: list[str]
    effects: Counter[str]
    """DAG runs by the event that caused them."""
    ledger: list[str]
    decided: list[str]
    """Events in the order of their decisions on Kafka, each `ce_id` once."""
    left: dict[str, int]
    """Rows that should be gone."""
    logs: str


class Case:
    """Events, a database and topics of its own; processes that share them."""

    def __init__(
        self, point: Point, zygote: Zygote, folder: Path, bootstrap: str, database_url: str, clock_s: float = 0.0
    ) -> None:
        """`clock_s`: how far the clocks of the victim and of the others are off, to both sides."""
        self.point, self._zygote, self._folder, self._database_url = point, zygote, folder, database_url
        self._clock_s = clock_s
        self._names: Names = new_names(bootstrap)
        self._processes: list[psutil.Process] = []
        first, second = event("SPX", deadly=True), event("SPX")
        self.events: list[WorkflowEvent] = [first, second, event("NDX")]
        self._sent = [first, second, first, self.events[2]]
        (folder / "runs").mkdir(parents=True)
        (folder / "workflows.py").write_text(WORKFLOWS)

    async def run(self) -> Found:
        """Let the first process meet its end, the others finish, and a stopped one go on; then look."""
        try:
            await self._prepare()
            victim = self._fork("relay" if self.point.of_the_relay else "worker", self.point)
            others = [self._fork("worker")] if self.point.of_the_relay else []
            await self._provoke(victim)
            await _until(lambda: self._reached or not _alive(victim))
            others += [self._fork("relay"), *([] if self.point.of_the_relay else [self._fork("worker")])]
            await _until(self._at_rest)
            await self._wake(victim)
            return await self._look()
        finally:
            self._end()

    async def run_with_new_workers(self) -> list[dict[str, Any]]:
        """Start a worker whenever one has died, until all is done; how each run ended, in their order."""
        try:
            await self._prepare()
            self._fork("relay")
            while not await asyncio.to_thread(self._at_rest):
                worker = self._fork("worker")
                await _until(lambda worker=worker: not _alive(worker) or self._at_rest())
            return self._rows(
                "SELECT r.state, d.error_class FROM runs r LEFT JOIN dead_letters d USING (run_id) ORDER BY r.seq"
            )
        finally:
            self._end()

    async def _prepare(self) -> None:
        for topic in (self._names.events, self._names.decisions, self._names.dead_letters):
            await asyncio.to_thread(make_topic, self._names.bootstrap, topic, 1)
        await send(self._names.bootstrap, self._names.events, *self._sent)

    def _end(self) -> None:
        for process in self._processes:
            with suppress(psutil.Error):
                process.kill()

    async def _provoke(self, victim: psutil.Process) -> None:
        """A method of the end is passed by a process that is asked to end."""
        if self.point.needs == "stops":
            begun = self._folder / "has begun"
            held = "SELECT 1 FROM outbox_lanes WHERE owner IS NOT NULL"
            await _until(lambda: bool(self._rows(held)) if self.point.of_the_relay else begun.exists())
            victim.send_signal(signal.SIGTERM)

    async def _wake(self, victim: psutil.Process) -> None:
        """What was stopped believes that no time has passed: it tries to finish what others have finished."""
        if self.point.mode == "stopped" and _alive(victim):
            victim.send_signal(signal.SIGCONT)
            victim.send_signal(signal.SIGTERM)
            await _until(lambda: not _alive(victim))

    @property
    def _reached(self) -> bool:
        return (self._folder / "reached").exists()

    def _at_rest(self) -> bool:
        done = self._rows("SELECT 1 FROM runs WHERE state <> 'unhandled'")
        return len(done) >= len(self.events) and not self._rows("SELECT 1 FROM outbox")

    async def _look(self) -> Found:
        effects = Counter(json.loads(file.read_text())["correlation_id"] for file in (self._folder / "runs").iterdir())
        tables = ("work", "outbox", "dead_letters")
        logs = "\n".join(f"== {file.name}\n{file.read_text()}" for file in sorted(self._folder.glob("*.log")))
        return Found(
            reached=self._reached,
            runs=[row["state"] for row in self._rows("SELECT state FROM runs")],
            effects=effects,
            ledger=[row["state"] for row in self._rows("SELECT state FROM effects")],
            decided=await self._decisions(),
            left={table: len(self._rows(f"SELECT 1 FROM {table}")) for table in tables},
            logs=logs,
        )

    async def _decisions(self) -> list[str]:
        async def no_positions(_: object) -> dict[tuple[UUID, int], int]:
            return {}

        source = KafkaSource(self._names.bootstrap, f"look-{uuid4()}", self._names.decisions, no_positions)
        try:
            firsts: dict[str, str] = {}
            while len(firsts) < len(self.events):
                for record in await take(source, 1):
                    firsts.setdefault(record.header(CE_ID), json.loads(record.value)["causation_id"])
            return list(firsts.values())
        finally:
            await source.close()

    def _fork(self, command: str, point: Point | None = None) -> psutil.Process:
        process = self._zygote.fork(
            command=command,
            environment=self._environment(),
            folder=str(self._folder),
            log=str(self._folder / f"{len(self._processes)}-{command}.log"),
            needs=self.point.needs,
            clock_s=self._clock_s if point else -self._clock_s,
            target=point.target if point else "",
            when=point.when if point else "",
            nth=point.nth if point else 0,
            mode=point.mode if point else "",
        )
        self._processes.append(process)
        return process

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRADELOOP_")}
        return {
            **inherited,
            "CASE_NEEDS": self.point.needs,
            "CASE_FOLDER": str(self._folder),
            "TRADELOOP_HOME": str(self._folder / "home"),
            "TRADELOOP_DATABASE_URL": self._database_url,
            "TRADELOOP_KAFKA_BOOTSTRAP": self._names.bootstrap,
            "TRADELOOP_GROUP": self._names.group,
            "TRADELOOP_EVENTS_TOPIC": self._names.events,
            "TRADELOOP_DECISIONS_TOPIC": self._names.decisions,
            "TRADELOOP_DEAD_LETTERS_TOPIC": self._names.dead_letters,
            "TRADELOOP_WORKFLOWS": f"{self._folder}/workflows.py:workflow",
            "TRADELOOP_CONCURRENCY": "1",
            "TRADELOOP_LEASE_S": "3",
            "TRADELOOP_DRAIN_S": "5",
            "TRADELOOP_SWEEP": "False",
            "TRADELOOP_LOG_FORMAT": "json",
        }

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        options = "-c search_path=tradeloop"
        with psycopg.connect(self._database_url, options=options, row_factory=dict_row) as connection:
            return connection.execute(sql.encode()).fetchall()


async def _until(condition: Callable[[], bool]) -> None:
    """In a thread, because other cases share the loop."""
    async with asyncio.timeout(LIMIT_S):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(POLL_S)


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
