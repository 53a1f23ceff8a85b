"""tradeloop's API as a task sees it, answering what a test wants: for the answers that the real one seldom gives."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EVENT = "0f0a1b2c-0000-5000-8000-000000000001"
DECISION = "0f0a1b2c-0000-5000-8000-000000000002"
ACCEPT = {"outcome": "ACCEPT", "reasons": ["22 of 22 sessions"], "decided_by": "policy"}


@dataclass
class Service:
    """What it answers next, and what it was asked."""

    url: str = ""
    stands: list[tuple[int, Any]] = field(default_factory=lambda: [(200, {"state": "done", "decision": ACCEPT})])
    """Answers about the decision, the first one first; the last one stays."""
    asked: tuple[int, Any] = (202, {"event_id": EVENT, "decision_id": DECISION})
    ready: tuple[int, Any] = (200, {"status": "ok"})
    me: tuple[int, Any] = (200, {"name": "etl", "roles": ["service"]})
    policy: tuple[int, Any] = (200, {"decision": {**ACCEPT, "outcome": "ESCALATE"}})
    requests: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    def answer(self, method: str, path: str) -> tuple[int, Any]:
        if method == "POST" and path == "/api/v1/workflows/trigger":
            return self.asked
        if path.startswith(f"/api/v1/events/{EVENT}/decision"):
            return self.stands.pop(0) if len(self.stands) > 1 else self.stands[0]
        ways = {"/readyz": self.ready, "/api/v1/me": self.me, f"/api/v1/events/{EVENT}/policy": self.policy}
        return ways.get(path, (404, {"title": "Not found", "detail": f"there is no {path}"}))

    def of(self, path: str) -> list[tuple[str, str, dict[str, str], Any]]:
        return [one for one in self.requests if one[1].startswith(path)]


@contextmanager
def serving() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            service.requests.append((self.command, self.path, headers, body))
            status, told = service.answer(self.command, self.path)
            content = told.encode() if isinstance(told, str) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *words: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
