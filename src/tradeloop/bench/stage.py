"""The real stack in a scratch home, for one leg of a benchmark."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar  # Any: what a coroutine sends and receives; rows of foreign tables
from uuid import uuid4

import psycopg
from psycopg.rows import DictRow, dict_row

from tradeloop.airflow.client import AirflowClient
from tradeloop.errors import AirflowUnreachable, PartFailed
from tradeloop.ports import DagRunView
from tradeloop.settings import Settings
from tradeloop.stack import Stack

T = TypeVar("T")
DAGS: Final = ("bench_chain", "bench_plain", "bench_burst", "bench_ask", "bench_followup", "bench_calls")
POLL_S: Final = 0.05
"""How often a run's state is asked for: the resolution of a wall time, and little beside what a run takes."""
ENDED: Final = ("success", "failed")
ROAD: Final = ("postgres", "kafka", "airflow", "relay", "worker")
"""What an event goes through; the API, which no event needs, would only take processor time."""


def say(sentence: str) -> None:
    """Progress, for the person who waits."""
    print(f"{time.strftime('%H:%M:%S')}  {sentence}", file=sys.stderr, flush=True)


def wait_for(look: Callable[[], T | None], within_s: float, what: str) -> T:
    """Ask again until there is an answer.

    Raises:
        PartFailed: there was none in time.
    """
    deadline = time.monotonic() + within_s
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise PartFailed(f"{what} did not happen within {within_s:.0f} s.")
        time.sleep(POLL_S)
    return found


class Stage:
    """A stack of its own on free ports, with the benchmark's DAGs; everything is ended when it is left."""

    def __init__(
        self, home: Path, *, parts: Iterable[str] | None = None, airflow: Mapping[str, str] | None = None
    ) -> None:
        """`parts` as of the stack; `airflow` are more variables for the parts of Airflow."""
        self.trace_file = home / "hook.jsonl"
        environment = {"AIRFLOW__TRADELOOP__TRACE_FILE": str(self.trace_file), **(airflow or {})}
        self._stack = Stack(settings_for(home), parts or ROAD, airflow_environment=environment)
        self._runner = asyncio.Runner()
        self._client: AirflowClient | None = None
        self._connections: dict[str, psycopg.Connection[DictRow]] = {}

    def __enter__(self) -> Self:
        self._stack.start()
        try:
            self._client = AirflowClient.from_settings(self.settings)
            for dag_id in DAGS:
                wait_for(partial(self._seen, dag_id), 90, f"Airflow reading {dag_id}")
        except BaseException:
            self._stack.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Who asks again wants it quick, and nothing left behind all the same.
        earlier = {number: signal.signal(number, self._hurry) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for connection in self._connections.values():
                connection.close()
            if self._client is not None:
                self._runner.run(self._client.__aexit__(None, None, None))
            self._runner.close()
        finally:
            self._stack.stop()
            for number, handler in earlier.items():
                signal.signal(number, handler)

    @property
    def stack(self) -> Stack:
        """The servers, to disturb them."""
        return self._stack

    @property
    def settings(self) -> Settings:
        """With the addresses of this stack."""
        return self._stack.settings

    @property
    def airflow(self) -> AirflowClient:
        """Its calls are to be run by `run`."""
        if self._client is None:
            raise PartFailed("the stage was not entered.")
        return self._client

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Wait for an asynchronous call."""
        return self._runner.run(call)

    def airflow_rows(self, sql: str, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Rows of Airflow's database."""
        return self._rows(self._stack.airflow_database_url, sql, arguments)

    def rows(self, sql: str, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Rows of tradeloop's database."""
        return self._rows(self.settings.database_url, sql, arguments)

    def trigger(self, dag_id: str) -> str:
        """Start a run; its id."""
        run_id = f"bench-{uuid4()}"
        self.run(self.airflow.trigger_dag(dag_id, run_id, {}))
        return run_id

    def ended(self, dag_id: str, run_id: str) -> DagRunView | None:
        """The run, once it has ended."""
        try:
            run = self.run(self.airflow.dag_run(dag_id, run_id))
        except AirflowUnreachable:
            return None
        return run if run and run.state in ENDED else None

    def wait_until_ended(self, dag_id: str, run_id: str, within_s: float = 240) -> DagRunView:
        """Wait for the run's end."""
        return wait_for(lambda: self.ended(dag_id, run_id), within_s, f"the end of {dag_id} {run_id}")

    def capture(self, *, on: bool) -> None:
        """Start the API server again with the fast lane on or off."""
        self._stack.restart("api-server", environment={"AIRFLOW__TRADELOOP__ENABLED": str(on)})

    @contextmanager
    def stopped(self, *names: str) -> Iterator[None]:
        """Parts that are there and do not answer, until this is left: SIGSTOP and SIGCONT."""
        for name in names:
            self._stack.signal(name, signal.SIGSTOP)
        try:
            yield
        finally:
            for name in names:
                self._stack.signal(name, signal.SIGCONT)

    def _hurry(self, *_: object) -> None:
        self._stack.hurry()

    def _rows(self, address: str, sql: str, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        # Kept open: a connection costs the server ten times what a look does, and looking must not be what is measured.
        if address not in self._connections:
            self._connections[address] = psycopg.connect(address, autocommit=True, row_factory=dict_row)
        return self._connections[address].execute(sql.encode(), arguments).fetchall()

    def _seen(self, dag_id: str) -> bool | None:
        return True if self.run(self.airflow.dag_problem(dag_id)) == "" else None


def settings_for(home: Path) -> Settings:
    """The defaults, whatever the caller's environment says; a benchmark never touches what is configured there."""
    defaults = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
    given = {
        "home": home,
        "dags_folder": Path(__file__).parent / "dags",
        "reference_root": home / "batches",
        "workflows": ["tradeloop.bench.workflow:workflows"],
        "instance": "bench",
        "postgres_port": 0,
        "kafka_port": 0,
        "airflow_port": 0,
        "api_port": 0,
    }
    return Settings(_env_file=None, **{**defaults, **given})
