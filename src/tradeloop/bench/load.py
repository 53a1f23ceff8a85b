"""An open-loop load generator: `python -m tradeloop.bench.load`, its order as JSON on stdin, what came of it on stdout.

Each request is sent when it is due, and its time counts from then: a server that stands still is not asked less
(coordinated omission).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Final  # Any: JSON
from urllib.parse import urlsplit
from uuid import uuid4

PATHS: Final = {
    "me": "/api/v1/me",
    "runs": "/api/v1/runs?limit=20",
    "desks": "/api/v1/desks",
    "workflows": "/api/v1/workflows",
}
TIMEOUT_S: Final = 10.0
LOST: Final = "lost"
"""In place of a status: no answer, or a broken one."""


@dataclass
class Connection:
    """One kept-alive connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass
class Load:
    """One order, and what comes of it."""

    host: str
    port: int
    keys: list[str]
    idle: list[Connection] = field(default_factory=list)
    took_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[str] = field(default_factory=Counter)
    late_max_ms: float = 0.0
    """By how much the generator itself was late, at worst."""
    events: list[tuple[str, str]] = field(default_factory=list)
    """Where to ask for what was triggered, and with which key."""
    count: int = 0

    async def send(self, kind: str, due: float) -> None:
        """One request; counted whatever becomes of it."""
        now = time.perf_counter()
        self.late_max_ms = max(self.late_max_ms, (now - due) * 1000)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._ask(kind)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            status = LOST
        self.statuses[status] += 1
        self.took_ms[kind].append((time.perf_counter() - due) * 1000)

    async def _ask(self, kind: str) -> str:
        self.count += 1
        key, body, method = self.keys[self.count % len(self.keys)], b"", "GET"
        path = PATHS.get(kind, "")
        more = ""
        if kind == "status":
            path, key = self.events[self.count % len(self.events)] if self.events else (PATHS["me"], key)
        elif kind == "trigger":
            method, path = "POST", "/api/v1/workflows/trigger"
            body = json.dumps({"event_type": "bench.noted", "subject": f"s{self.count}", "data": {"n": 1}}).encode()
            more = f"Content-Type: application/json\r\nIdempotency-Key: {uuid4().hex}\r\n"
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Length: {len(body)}\r\n{more}\r\n"
        )
        status, answer = await self._exchange(head.encode() + body)
        if kind == "trigger" and status == "202":
            self.events.append((str(json.loads(answer)["status_url"]), key))
        return status

    async def _exchange(self, request: bytes) -> tuple[str, bytes]:
        connection = self.idle.pop() if self.idle else Connection(*await asyncio.open_connection(self.host, self.port))
        connection.writer.write(request)
        head = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        answer = await connection.reader.readexactly(int(lines["content-length"]))
        if lines.get("connection") != "close":
            self.idle.append(connection)
        return head.split(" ", 2)[1], answer


async def generate(order: dict[str, Any]) -> dict[str, Any]:
    """Send what the order says; returns times by kind, statuses, and how late the generator was."""
    address = urlsplit(order["url"])
    load = Load(str(address.hostname), int(address.port or 80), list(order["keys"]))
    kinds = [kind for kind, share in order["shares"].items() for _ in range(share)]
    total, rate = int(order["rate"] * order["seconds"]), float(order["rate"])
    begun = time.perf_counter() + 0.1
    tasks = set()
    for number in range(total):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(load.send(kinds[number % len(kinds)], due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks)
    for connection in load.idle:
        connection.writer.close()
    return {
        "took_ms": {kind: [round(took, 3) for took in took_ms] for kind, took_ms in load.took_ms.items()},
        "statuses": dict(load.statuses),
        "late_max_ms": round(load.late_max_ms, 3),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(generate(json.load(sys.stdin)))))
