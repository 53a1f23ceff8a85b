"""Checkpoints to put, and what is stored of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from tradeloop.store.database import Database

LANE_BACKENDS = "FROM pg_stat_activity WHERE query LIKE '%%put_checkpoints(%%' AND pid <> pg_backend_pid()"


def thread(thread_id: str = "", **configurable: Any) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id or str(uuid4()), "checkpoint_ns": "", **configurable}}


def checkpoint(**values: Any) -> Checkpoint:
    return {**empty_checkpoint(), "channel_values": values, "channel_versions": dict.fromkeys(values, "1.0")}


async def put(saver: AsyncPostgresSaver, config: RunnableConfig, **values: Any) -> RunnableConfig:
    return await saver.aput(config, checkpoint(**values), {"source": "loop", "step": 1}, dict.fromkeys(values, "1.0"))


async def count(database: Database, table: str = "checkpoints") -> int:
    rows = await database.rows(f"SELECT count(*) AS n FROM {table}")  # type: ignore[arg-type]
    return int(rows[0]["n"])


async def until(holds: Callable[[], Awaitable[bool]], limit_s: float = 30) -> None:
    async with asyncio.timeout(limit_s):
        while not await holds():
            await asyncio.sleep(0.01)


async def own_run(database: Database, owner: UUID, fence: int = 1) -> str:
    """A run that `owner` has in hand; its id."""
    run_id = uuid4()
    await database.rows(
        "INSERT INTO work (run_id, seq, desk, subject, state, head, owner, fence, event_id) "
        "VALUES (%s, nextval('run_seq'), 'd', %s, 'r', true, %s, %s, %s)",
        (run_id, str(run_id), owner, fence, uuid4()),
    )
    return str(run_id)
