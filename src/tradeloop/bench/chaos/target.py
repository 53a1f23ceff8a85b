"""An effect's target that counts every call and does each key once."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self  # Any: JSON of a request
from urllib.parse import unquote
from uuid import UUID

from tradeloop.stack.ports import LOOPBACK

SLOWEST_S: Final = 0.15
"""An answer takes up to so long, half of it after the effect is done: kills find calls on their way."""
KEY_HEADER: Final = "Idempotency-Key"


@dataclass
class Account:
    """What the target was asked, and what it did."""

    calls: int = 0
    repeats: int = 0
    """Calls with a key that was known: answered, and not done again."""
    done: list[UUID] = field(default_factory=list)
    """The event of every effect, in order."""
    keys: set[str] = field(default_factory=set)

    def take(self, key: str, event_id: UUID) -> bool:
        """Do it unless this key was done before."""
        self.calls += 1
        if key in self.keys:
            self.repeats += 1
            return False
        self.keys.add(key)
        self.done.append(event_id)
        return True


class Target(ThreadingHTTPServer):
    """Listens on loopback from the moment it is entered: a webhook, and as much of Airflow as `trigger_dag` needs."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Answers)
        self.url = f"http://{LOOPBACK}:{self.server_port}"
        self.account = Account()
        self.dag_runs: dict[str, dict[str, Any]] = {}
        self.mutex = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, name="target", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.shutdown()
        self._thread.join(10)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: whoever asked was killed."""


class _Answers(BaseHTTPRequestHandler):
    server: Target
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Airflow: a run by its id, or a DAG that can start."""
        if "/dagRuns/" not in self.path:
            self._answer(200, {"has_import_errors": False, "is_stale": False, "is_paused": False})
            return
        run = self.server.dag_runs.get(unquote(self.path).rpartition("/")[2])
        self._answer(200, run) if run else self._answer(404, {"detail": "not found"})

    def do_POST(self) -> None:
        """The hook, or Airflow's token and its start of a run."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/auth/token":
            self._answer(201, {"access_token": "opaque"})
            return
        wait_s = random.uniform(0, SLOWEST_S) / 2  # noqa: S311 - no secret
        time.sleep(wait_s)
        status, answer = self._start_run(body) if self.path.endswith("/dagRuns") else self._hook(body)
        time.sleep(wait_s)
        self._answer(status, answer)

    def _hook(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        params = body["params"]
        key = self.headers[KEY_HEADER] or f"none {time.monotonic_ns()}"
        with self.server.mutex:
            fresh = self.server.account.take(key, UUID(params["event_id"]))
        return (201, {"done": True}) if fresh else (200, {"done": False})

    def _start_run(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        run_id, conf = body["dag_run_id"], body["conf"]
        run = {"dag_run_id": run_id, "dag_id": self.path.split("/")[-2], "state": "queued", "conf": conf}
        with self.server.mutex:
            if not self.server.account.take(run_id, UUID(conf["event_id"])):
                return 409, {"detail": "exists"}
            self.server.dag_runs[run_id] = run
        return 200, run

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # who asked was killed

    def log_message(self, *_: object) -> None:
        """Quiet."""
