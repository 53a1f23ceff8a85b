"""The savers that `bench checkpoints` compares, and one measurement of one of them."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, TypedDict  # Any: LangGraph's own types
from uuid import UUID, uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from tradeloop.domain.runs import new_run_id
from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.database import OPTIONS, Database

CONCURRENT: Final = 64
EVENT_BYTES: Final = 300


class State(TypedDict, total=False):
    """The state of the graph that is measured."""

    event: dict[str, Any]
    facts: dict[str, Any]
    decision: dict[str, Any]
    effect: dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    repeats: int
    runs: int
    slow_runs: int


@dataclass(frozen=True)
class Measured:
    """One repeat of one case."""

    per_s: float
    cpu_ms: float
    """CPU time of this process a run."""


@dataclass(frozen=True)
class Part:
    """A saver, and what is told to it before a run."""

    saver: BaseCheckpointSaver[Any] | None
    begin: Callable[[UUID], None] = lambda _: None
    prepare: Callable[[list[UUID]], Awaitable[None]] | None = None


@dataclass(frozen=True)
class Case:
    """How the parts of a case are made; the runs are dealt out to them."""

    open: Callable[[AsyncExitStack, str], Awaitable[list[Part]]]
    is_slow: bool = False


async def _none(_stack: AsyncExitStack, _url: str) -> list[Part]:
    return [Part(None)]


async def _memory(_stack: AsyncExitStack, _url: str) -> list[Part]:
    return [Part(InMemorySaver())]


async def _ours(stack: AsyncExitStack, url: str) -> list[Part]:
    database = await stack.enter_async_context(Database(url))
    return [Part(await stack.enter_async_context(CheckpointStore(database)))]


async def _fenced(stack: AsyncExitStack, url: str) -> list[Part]:
    """As in the engine: the runs are in `work`, and begin as those of a new event do."""
    database = await stack.enter_async_context(Database(url))
    saver = await stack.enter_async_context(CheckpointStore(database))
    owner = uuid4()

    async def own(runs: list[UUID]) -> None:
        await database.rows("TRUNCATE work")
        await database.rows(
            "INSERT INTO work (run_id, seq, desk, subject, state, head, owner, fence, event_id) "
            "SELECT r, nextval('run_seq'), 'bench', r::text, 'r', true, %s, 1, r FROM unnest(%s::uuid[]) r",
            (owner, runs),
        )

    return [Part(saver, lambda run_id: saver.begin(str(run_id), owner, 1, fresh=True), own)]


async def _connected(stack: AsyncExitStack, url: str) -> AsyncConnection[DictRow]:
    # As AsyncPostgresSaver.from_conn_string connects, but for our schema.
    connecting = AsyncConnection[DictRow].connect(
        url, autocommit=True, prepare_threshold=0, row_factory=dict_row, options=OPTIONS
    )
    return await stack.enter_async_context(await connecting)


async def _stock(stack: AsyncExitStack, url: str) -> list[Part]:
    return [Part(AsyncPostgresSaver(await _connected(stack, url)))]


async def _several_stock(stack: AsyncExitStack, url: str) -> list[Part]:
    return [Part(AsyncPostgresSaver(await _connected(stack, url))) for _ in range(4)]


async def _pooled_stock(stack: AsyncExitStack, url: str) -> list[Part]:
    pool = AsyncConnectionPool(
        url,
        connection_class=AsyncConnection[DictRow],
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row, "options": OPTIONS},
        min_size=8,
        max_size=8,
        open=False,
    )
    return [Part(AsyncPostgresSaver(await stack.enter_async_context(pool)))]


CASES: Final = {
    "no checkpointer": Case(_none),
    "InMemorySaver": Case(_memory),
    "tradeloop": Case(_ours),
    "tradeloop, fenced": Case(_fenced),
    "stock, one connection": Case(_stock, is_slow=True),
    "stock, pool of 8": Case(_pooled_stock, is_slow=True),
    "stock, 4 savers": Case(_several_stock, is_slow=True),
}


def event() -> dict[str, Any]:
    """An event of 300 bytes."""
    found = {"event_id": str(uuid4()), "event_type": "prices.loaded", "rows": list(range(20)), "pad": ""}
    return {**found, "pad": "x" * (EVENT_BYTES - len(json.dumps(found)))}


async def _assess(state: State) -> State:
    return {"facts": {"rows": len(state["event"]["rows"]), "gap": 0.25, "symbol": "ABC"}}


async def _decide(state: State) -> State:
    return {"decision": {"outcome": "ACCEPT", "reason": "within tolerance", "rows": state["facts"]["rows"]}}


async def _act(state: State) -> State:
    return {"effect": {"state": "executed", "outcome": state["decision"]["outcome"]}}


def graph(saver: BaseCheckpointSaver[Any] | None) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Three nodes, one after the other, that compute next to nothing."""
    builder = StateGraph(State)
    for name, node in (("assess", _assess), ("decide", _decide), ("act", _act)):
        builder.add_node(name, node)
    for before, after in itertools.pairwise((START, "assess", "decide", "act", END)):
        builder.add_edge(before, after)
    return builder.compile(checkpointer=saver)


async def measure(case: Case, database_url: str, size: Size) -> Measured:
    """Runs a second of one case, after some that warm it up."""
    runs = size.slow_runs if case.is_slow else size.runs
    async with AsyncExitStack() as stack:
        parts = await case.open(stack, database_url)
        await _drive(parts, size.slow_runs // 4 if case.is_slow else CONCURRENT)
        gc.collect()
        cpu_s = time.process_time()
        wall_s = await _drive(parts, runs)
        cpu_s = time.process_time() - cpu_s
    return Measured(runs / wall_s, cpu_s * 1000 / runs)


async def _drive(parts: list[Part], count: int) -> float:
    ids = [new_run_id() for _ in range(count)]
    for part in parts:
        if part.prepare is not None:
            await part.prepare(ids)
    graphs = [graph(part.saver) for part in parts]
    given, waiting = event(), iter(ids)

    async def one(number: int) -> None:
        part, compiled = parts[number % len(parts)], graphs[number % len(parts)]
        named: dict[str, Any] = {"durability": "sync"} if part.saver else {}
        for run_id in waiting:
            part.begin(run_id)
            config: RunnableConfig = {"configurable": {"thread_id": str(run_id)}}
            await compiled.ainvoke({"event": given}, config, **named)

    begun = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(CONCURRENT)))
    return time.perf_counter() - begun
