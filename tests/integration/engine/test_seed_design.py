"""The design that the benchmarks compare with must do what it is compared for, when nothing disturbs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import pytest
from real_parts import event, make_topic, new_names, send, take

from tradeloop.kafka.consumer import KafkaSource

WORKFLOWS = """
import os
from tradeloop import Action, Decision, Workflow

def decide(state):
    number = state["event"]["payload"]["data"]["number"]
    return {"decision": Decision(
        outcome="CALL", action=Action(kind="webhook", target=os.environ["TARGET"], params={"number": number}))}

workflow = Workflow.chain("prices.loaded", decide, desk="prices")
"""


class Target(ThreadingHTTPServer):
    """Remembers what was posted."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Remembers)
        self.numbers: list[int] = []


class Remembers(BaseHTTPRequestHandler):
    server: Target

    def do_POST(self) -> None:
        self.server.numbers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["params"]["number"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def target() -> Iterator[Target]:
    server = Target()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


async def no_positions(_: object) -> dict[tuple[UUID, int], int]:
    return {}


async def test_the_design_that_is_compared_with_answers_every_event_when_nothing_is_killed(
    kafka_bootstrap: str, target: Target, tmp_path: Path
) -> None:
    names = new_names(kafka_bootstrap)
    make_topic(kafka_bootstrap, names.events)
    make_topic(kafka_bootstrap, names.decisions, partitions=1)
    (tmp_path / "workflows.py").write_text(WORKFLOWS)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TRADELOOP_")},
        "TARGET": f"http://127.0.0.1:{target.server_port}/",
        "TRADELOOP_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "TRADELOOP_GROUP": names.group,
        "TRADELOOP_EVENTS_TOPIC": names.events,
        "TRADELOOP_DECISIONS_TOPIC": names.decisions,
        "TRADELOOP_WORKFLOWS": f"{tmp_path}/workflows.py:workflow",
    }
    await send(kafka_bootstrap, names.events, *(event(f"s{number}", number=number) for number in range(20)))
    process = subprocess.Popen(
        [sys.executable, "-m", "tradeloop.bench.seed_design"], env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    try:
        source = KafkaSource(kafka_bootstrap, f"{names.group}-reader", names.decisions, no_positions)
        keys = [record.key for record in await take(source, 20)]
        await source.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(10)
    assert sorted(keys) == sorted(f"s{number}".encode() for number in range(20))
    assert sorted(target.numbers) == list(range(20))
