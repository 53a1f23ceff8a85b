"""Models that are served for real: random weights by llama.cpp's server, whole and broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tradeloop.bench.desks.answering import Answering
from tradeloop.bench.desks.settlement import BENCH
from tradeloop.desks.graph import NO_MODEL
from tradeloop.domain.events import WorkflowEvent
from tradeloop.testing.model_server import model_server
from tradeloop.testing.random_model import write_random_model


@pytest.fixture(scope="session")
def random_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A model whose answers fit every schema and mean nothing."""
    file = write_random_model(tmp_path_factory.mktemp("model") / "random.gguf")
    with model_server(file, name="random") as url:
        yield url


@pytest.fixture(scope="session")
def broken_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same with bytes that are no UTF-8: half of the calls and more end with HTTP 500."""
    file = write_random_model(tmp_path_factory.mktemp("model") / "broken.gguf", broken=True)
    with model_server(file, name="broken") as url:
        yield url


@pytest.fixture(scope="session")
async def open_case() -> dict[str, Any]:
    """The data of a settlement fail that policy leaves open."""
    desk = BENCH.desk
    answering = Answering(desk, None, Path("/nowhere"))
    for case in BENCH.cases(3, 200, "test", None):
        answered = await answering.answer(case)
        if answered.decision and NO_MODEL in answered.decision.reasons:
            return case.data
    raise AssertionError("no case is open")


@pytest.fixture(scope="session")
def event_of() -> Callable[[dict[str, Any]], WorkflowEvent]:
    """An event of the settlement desk with these data."""

    def made(data: dict[str, Any]) -> WorkflowEvent:
        return WorkflowEvent.model_validate(
            {
                "event_id": uuid4(),
                "event_type": BENCH.desk.event_type,
                "timestamp": "2026-11-23T16:59:21Z",
                "source": "tests",
                "workflow_id": "settle",
                "workflow_run_id": "manual__1",
                "subject": "TRADE0001",
                "payload": {"data": data},
            }
        )

    return made
