"""The rows of a run are those that LangGraph's own saver writes, whatever the graph does."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from operator import add
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.postgres.base import BasePostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Send, interrupt
from threads import checkpoint, thread

from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.database import Database

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    2**70,
    1.5,
    -0.0,
    "é",
    "x" * 3000,
    [],
    {},
    [1, [2]],
    {"a": {"b": 1}},
    b"\x00",
)
IN_STATE_ALONE: tuple[Any, ...] = ([math.nan], {"n": math.inf}, ["a\x00b"], (1, 2), {1, 2})
"""Values that are no JSON and need not be: they are kept by msgpack."""


class State(TypedDict, total=False):
    seen: Annotated[list[str], add]
    value: Any
    other: Any
    part: Any
    answer: Any


@dataclass(frozen=True)
class Plan:
    """A graph drawn by a seed."""

    values: list[Any]
    fan: int
    has_subgraph: bool
    asks: bool
    fails: bool


def plan(seed: int) -> Plan:
    dice = random.Random(seed)
    return Plan(
        values=dice.choices([*VALUES, *IN_STATE_ALONE], k=6),
        fan=dice.randrange(4),
        has_subgraph=dice.random() < 0.5,
        asks=dice.random() < 0.5,
        fails=dice.random() < 0.3,
    )


def compiled(drawn: Plan, saver: BaseCheckpointSaver[Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    attempts = itertools.count()

    def node(number: int) -> Callable[[State], dict[str, Any]]:
        return lambda _: {"seen": [f"n{number}"], "value": drawn.values[number], "other": drawn.values[number - 1]}

    async def leaf(state: State) -> dict[str, Any]:
        return {"seen": [f"leaf {state['part']}"]}

    def fan(state: State) -> list[Send] | str:
        return [Send("leaf", {"part": number}) for number in range(drawn.fan)] or "last"

    async def ask(state: State) -> dict[str, Any]:
        return {"answer": interrupt("which?")} if drawn.asks else {}

    async def last(state: State) -> dict[str, Any]:
        if drawn.fails and next(attempts) == 0:
            raise ValueError("the first attempt")
        return {"value": drawn.values[5]}

    inner = StateGraph(State)
    inner.add_node("inside", node(4))
    inner.add_edge(START, "inside")
    builder = StateGraph(State)
    builder.add_node("one", node(1))
    builder.add_node("two", inner.compile() if drawn.has_subgraph else node(2))
    builder.add_node("ask", ask)
    for name, action in (("leaf", leaf), ("last", last)):
        builder.add_node(name, action)
    for before, after in ((START, "one"), ("one", "two"), ("one", "ask"), ("leaf", "last"), ("last", END)):
        builder.add_edge(before, after)
    builder.add_conditional_edges("two", fan, ["leaf", "last"])
    return builder.compile(checkpointer=saver)


async def run(drawn: Plan, saver: BaseCheckpointSaver[Any], config: RunnableConfig) -> None:
    graph, config = compiled(drawn, saver), {**config, "metadata": {"note": "a\x00b", "n": 7}}
    given: Any = {"value": drawn.values[0], "seen": ["start"]}
    for _ in range(4):
        try:
            await graph.ainvoke(given, config, durability="sync")
        except ValueError:
            given = None
            continue
        state = await graph.aget_state(config)
        if not state.next:
            return
        given = Command(resume="this one")
    raise AssertionError("the graph did not end")


class Recording(CheckpointStore):
    """Our saver, which keeps the calls that it got."""

    def __init__(self, database: Database, *, keep_history: bool) -> None:
        super().__init__(database, keep_history=keep_history)
        self.calls: list[tuple[str, RunnableConfig, tuple[Any, ...]]] = []

    async def aput(self, config: RunnableConfig, *arguments: Any) -> RunnableConfig:
        self.calls.append(("aput", config, arguments))
        return await super().aput(config, *arguments)

    async def aput_writes(self, config: RunnableConfig, *arguments: Any) -> None:
        self.calls.append(("aput_writes", config, arguments))
        await super().aput_writes(config, *arguments)

    async def repeat(self, other: AsyncPostgresSaver, thread_id: str) -> None:
        """Make the same calls to another saver, for another thread."""
        for method, config, arguments in self.calls:
            configurable = {**config["configurable"], "thread_id": thread_id}
            await getattr(other, method)({**config, "configurable": configurable}, *arguments)


TABLES = {
    "checkpoints": "checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata",
    "checkpoint_blobs": "checkpoint_ns, channel, version, type, blob",
    "checkpoint_writes": "checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path",
}


async def rows(database: Database, table: str, config: RunnableConfig) -> list[dict[str, Any]]:
    sql = f"SELECT {TABLES[table]} FROM {table} WHERE thread_id = %s ORDER BY 1, 2, 3, 4"
    return await database.rows(sql, (config["configurable"]["thread_id"],))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(12))
async def test_a_run_leaves_the_rows_of_the_stock_saver(database: Database, seed: int) -> None:
    config, twin = thread(), thread()
    async with Recording(database, keep_history=True) as saver:
        await run(plan(seed), saver, config)
        await saver.repeat(AsyncPostgresSaver(database.pool, serde=saver.serde), twin["configurable"]["thread_id"])
    for table in TABLES:
        assert await rows(database, table, config) == await rows(database, table, twin)


@pytest.mark.parametrize("seed", range(6))
async def test_without_a_full_history_plain_task_writes_alone_are_left_out(database: Database, seed: int) -> None:
    config, twin = thread(), thread()
    async with Recording(database, keep_history=False) as saver:
        await run(plan(seed), saver, config)
        await saver.repeat(AsyncPostgresSaver(database.pool, serde=saver.serde), twin["configurable"]["thread_id"])
    for table in ("checkpoints", "checkpoint_blobs"):
        assert await rows(database, table, config) == await rows(database, table, twin)
    kept, all_writes = (
        await rows(database, "checkpoint_writes", config),
        await rows(database, "checkpoint_writes", twin),
    )
    assert [row for row in all_writes if row["idx"] < 0] == [row for row in kept if row["idx"] < 0]
    assert all(row in all_writes for row in kept)


async def outcome(saver: AsyncPostgresSaver, database: Database, value: Any, note: Any) -> Any:
    config = thread()
    try:
        stored = await saver.aput(
            config, checkpoint(value=value, n=[1]), {"source": "input", "note": note}, {"value": "1.0", "n": "1.0"}
        )
        await saver.aput_writes(stored, [("value", value), ("n", note)], "task", "path")
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is compared
        return type(problem)
    found = [await rows(database, table, config) for table in TABLES]
    return [[{k: v for k, v in row.items() if k not in VARYING} for row in part] for part in found]


VARYING = ("checkpoint_id", "parent_checkpoint_id", "checkpoint")


@pytest.mark.parametrize(
    ("value", "note"),
    [
        *((value, "n") for value in (*VALUES, *IN_STATE_ALONE, math.nan, "a\x00b", "\ud800", -math.inf)),
        *(
            (1, note)
            for note in (math.nan, 2**70, {1: 2}, {"a": [math.inf]}, "\ud800", "a\x00b", {"a": "b\x00"}, 10**400)
        ),
    ],
)
async def test_a_value_is_stored_or_refused_as_by_the_stock_saver(database: Database, value: Any, note: Any) -> None:
    async with CheckpointStore(database) as saver:
        ours = await outcome(saver, database, value, note)
        assert ours == await outcome(AsyncPostgresSaver(database.pool, serde=saver.serde), database, value, note)


async def test_the_tables_are_those_of_the_installed_package(database: Database) -> None:
    applied = await database.rows("SELECT max(v) AS newest FROM checkpoint_migrations")
    assert applied == [{"newest": len(BasePostgresSaver.MIGRATIONS) - 1}]
    sql = (
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name LIKE 'checkpoint%%' ORDER BY 1, 2"
    )
    ours = await database.rows(sql, ("tradeloop",))
    async with database.pool.connection() as connection:
        await connection.execute("CREATE SCHEMA stock")
        await connection.execute("SET search_path = stock")
        await AsyncPostgresSaver(connection).setup()
        await connection.execute("RESET search_path")
    assert ours == await database.rows(sql, ("stock",))
