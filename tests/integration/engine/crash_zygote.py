"""A process that forks workers and relays which die, or stop, where they are told to. Started by `crash_cases`.

The real command runs in the fork; the boundary's method is wrapped on its class, so that nothing in the product knows.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from tradeloop.cli import main, processes
from tradeloop.errors import AirflowRefused, AirflowUnreachable
from tradeloop.ports import DagRunView

assert processes  # imported here, so that no fork has to
for name in ("kafka.consumer", "kafka.producer", "store.checkpoints", "store.effects", "store.inbox", "store.runs"):
    import_module(f"tradeloop.{name}")
for name in ("airflow.client", "airflow.sweep", "engine.worker", "engine.relay", "store.outbox", "store.notices"):
    import_module(f"tradeloop.{name}")

SIGNALS = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}


def serve() -> None:
    """One fork a line; its pid is the answer."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(request)
        print(pid, flush=True)


def _become(request: dict[str, Any]) -> None:
    code = 70
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(log, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(request["environment"])
        folder = Path(request["folder"])
        os.chdir(folder)
        _set_clock(request["clock_s"])
        _stand_in_for_airflow(folder, request["needs"])
        if request["target"]:
            _trap(request["target"], request["when"], request["nth"], SIGNALS[request["mode"]], folder / "reached")
        sys.argv = ["tradeloop", request["command"]]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stderr.flush()
        os._exit(code)


def _set_clock(ahead_s: float) -> None:
    """Let this process believe in another time, as far as its own code asks for it."""
    if not ahead_s:
        return
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + ahead_s
    time.time_ns = lambda: nanoseconds() + int(ahead_s * 1e9)

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(seconds=ahead_s)

    for name, module in list(sys.modules.items()):
        if name.startswith("tradeloop") and getattr(module, "datetime", None) is datetime:
            module.datetime = Shifted  # type: ignore[attr-defined]


def _trap(target: str, when: str, nth: int, number: signal.Signals, reached: Path) -> None:
    module, _, path = target.partition(":")
    owner_name, _, method = path.partition(".")
    owner = getattr(import_module(module), owner_name)
    real, calls = getattr(owner, method), itertools.count(1)

    def strike(moment: str, call: int) -> None:
        if (moment, call) == (when, nth) and not reached.exists():
            reached.touch()
            os.kill(os.getpid(), number)

    async def awaited(self: Any, *arguments: Any, **named: Any) -> Any:
        call = next(calls)
        strike("before", call)
        answer = await real(self, *arguments, **named)
        strike("after", call)
        return answer

    def called(self: Any, *arguments: Any, **named: Any) -> Any:
        call = next(calls)
        strike("before", call)
        answer = real(self, *arguments, **named)
        strike("after", call)
        return answer

    setattr(owner, method, awaited if inspect.iscoroutinefunction(real) else called)


def _stand_in_for_airflow(folder: Path, needs: str) -> None:
    """An Airflow whose runs are files: made once, whoever asks, and counted by call."""
    client = import_module("tradeloop.airflow.client").AirflowClient
    runs = folder / "runs"

    async def dag_problem(_: Any, dag_id: str) -> str:
        return "it is paused" if needs == "blocked" and _once(folder / "was blocked") else ""

    async def trigger_dag(_: Any, dag_id: str, run_id: str, conf: dict[str, Any]) -> DagRunView:
        with (folder / "calls").open("a") as calls:
            calls.write(f"{run_id}\n")
        await asyncio.sleep(0)
        if not _once(runs / run_id, json.dumps(conf)):
            raise AirflowRefused("exists", status=409)
        if needs == "unclear" and _once(folder / "was unclear"):
            raise AirflowUnreachable("no answer")
        return _view(dag_id, runs / run_id)

    async def dag_run(_: Any, dag_id: str, run_id: str) -> DagRunView | None:
        return _view(dag_id, runs / run_id) if (runs / run_id).exists() else None

    doubles: dict[str, Callable[..., Any]] = {
        "dag_problem": dag_problem,
        "trigger_dag": trigger_dag,
        "dag_run": dag_run,
    }
    for method, double in doubles.items():
        setattr(client, method, double)


def _once(file: Path, content: str = "") -> bool:
    """Whether this call made the file: its content is complete as soon as it has its name."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(content)
    try:
        os.link(beside, file)
    except OSError as problem:
        if problem.errno != errno.EEXIST:
            raise
        return False
    finally:
        beside.unlink()
    return True


def _view(dag_id: str, file: Path) -> DagRunView:
    return DagRunView(dag_id=dag_id, run_id=file.name, state="queued", conf=json.loads(file.read_text()))


if __name__ == "__main__":
    serve()
