"""LangGraph's own suite for checkpointers: everything it knows, the optional parts included."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from tradeloop.store.checkpoints import CheckpointStore
from tradeloop.store.database import Database


async def test_the_saver_conforms_in_full(database: Database) -> None:
    @checkpointer_test(name="tradeloop")
    async def ours() -> AsyncGenerator[BaseCheckpointSaver[str], None]:
        async with CheckpointStore(database) as saver:
            yield saver

    report = await validate(ours)
    assert {name: result.failures for name, result in report.results.items() if result.failures} == {}
    assert all(result.detected for result in report.results.values())
    assert report.conformance_level() == "FULL"


async def test_the_stock_saver_still_conforms_on_our_tables(database: Database) -> None:
    @checkpointer_test(name="stock")
    async def stock() -> AsyncGenerator[BaseCheckpointSaver[str], None]:
        saver = AsyncPostgresSaver(database.pool)
        await saver.setup()
        yield saver

    report = await validate(stock)
    assert {name: result.failures for name, result in report.results.items() if result.failures} == {}
    assert report.passed_all_base()
