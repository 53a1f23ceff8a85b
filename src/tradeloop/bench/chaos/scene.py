"""The stack, the crew and the target of one leg, and how a fault is done to them."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from tradeloop.bench.chaos.crew import Crew, Post, crew_of_ours, crew_of_the_seed
from tradeloop.bench.chaos.schedule import Fault
from tradeloop.bench.chaos.target import Target
from tradeloop.bench.chaos.workflow import HOOK, TARGET
from tradeloop.bench.stage import settings_for
from tradeloop.stack import Stack
from tradeloop.stack.ports import LOOPBACK
from tradeloop.stack.processes import is_same
from tradeloop.stack.services import as_environment

AIRFLOW: Final = ("api-server", "scheduler", "dag-processor")
SERVERS: Final = ("postgres", "kafka")
OF_THE_CREW: Final = ("worker", "relay")
WORKFLOWS: Final = "tradeloop.bench.chaos.workflow:workflow"


class Scene:
    """Everything that runs, from the moment it is entered; ended when it is left."""

    def __init__(self, home: Path, *, with_airflow: bool, of_the_seed: bool, lease_s: float) -> None:
        settings = settings_for(home).model_copy(
            update={"workflows": [WORKFLOWS], "lease_s": lease_s, "lifecycle_types": [], "sweep": with_airflow}
        )
        parts = [*SERVERS, *(AIRFLOW if with_airflow else ())]
        self.stack = Stack(settings, parts)
        self.target = Target()
        self.with_airflow = with_airflow
        self._of_the_seed = of_the_seed
        self._posts = crew_of_the_seed() if of_the_seed else crew_of_ours()
        self._crew: Crew | None = None
        self.fell: list[str] = []
        """Parts that ended though nobody had killed them."""

    def __enter__(self) -> Self:
        self.target.__enter__()
        try:
            self.stack.start()
            self._crew = Crew(self.stack.home, self._environment(), self._posts)
            self._crew.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._crew is not None:
                self._crew.end()
        finally:
            self.stack.stop()
            self.target.__exit__()

    @property
    def crew(self) -> Crew:
        assert self._crew is not None  # noqa: S101 - entered
        return self._crew

    def harm(self, fault: Fault) -> float:
        """Do it; returns, once the part answers again, the moment (monotonic) when it did."""
        if fault.part in OF_THE_CREW:
            self._harm_crew(self.crew.of(fault.part, fault.which), fault)
        elif fault.kind == "stop":
            self.stack.signal(fault.part, signal.SIGSTOP)
            time.sleep(fault.lasts_s)
            self.stack.signal(fault.part, signal.SIGCONT)
        else:
            self._kill_server(fault.part)
            self.stack.restart(fault.part)
        return time.monotonic()

    def look_after(self) -> None:
        """Start again what ended by itself: a scheduler may, when its database is killed."""
        self.crew.look_after()
        for name, record in self.stack.record.parts.items():
            if record.pid and not is_same(record.pid, record.created_at):
                self.fell.append(name)
                self.stack.restart(name)

    def _harm_crew(self, post: Post, fault: Fault) -> None:
        if fault.kind == "stop":
            self.crew.signal(post, signal.SIGSTOP)
            time.sleep(fault.lasts_s)
            self.crew.signal(post, signal.SIGCONT)
        else:
            self.crew.kill(post)
            self.crew.revive(post)

    @property
    def _hook(self) -> str:
        return f"{self.target.url}/hook"

    def _kill_server(self, name: str) -> None:
        """Every process of it: PostgreSQL's backends have groups of their own."""
        family = _family(self.stack.part(name).pid)
        self.stack.signal(name, signal.SIGKILL)
        for process in family:
            with suppress(psutil.Error):
                process.kill()

    def _environment(self) -> Mapping[str, str]:
        given = {
            **as_environment(self.stack.settings),
            "TRADELOOP_LOG_FORMAT": "json",
            TARGET: self._hook if self._of_the_seed else HOOK,
        }
        if not self._of_the_seed:
            file = self.stack.home.root / "webhooks.yaml"
            file.write_text(f"{HOOK}: {{url: '{self._hook}', honours_key: true}}\n")
            given["TRADELOOP_WEBHOOKS"] = str(file)
            given["TRADELOOP_WEBHOOK_HOSTS"] = LOOPBACK
            given["TRADELOOP_WEBHOOK_SECRET"] = "nothing leaves this machine"  # noqa: S105
        if not self.with_airflow:
            given["TRADELOOP_AIRFLOW_URL"] = self.target.url
            given["TRADELOOP_AIRFLOW_PASSWORD"] = "opaque"  # noqa: S105 - the target takes any
        return given


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []
