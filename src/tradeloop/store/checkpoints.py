"""LangGraph's checkpoints in our schema."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final  # Any: LangGraph's own signatures

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from tradeloop.domain.actions import Action
from tradeloop.domain.decisions import Decision
from tradeloop.domain.events import WorkflowEvent
from tradeloop.errors import DatabaseUnreachable
from tradeloop.store.database import PASSING, Database

RESTORED: Final = [(kind.__module__, kind.__name__) for kind in (Decision, Action, WorkflowEvent)]
"""What a checkpoint may name beside plain values: a node's answer is stored before the state makes it plain. Any
other class would have its code run when the checkpoint is read (CVE-2026-28277); those of the graph's own state are
added when it is compiled."""


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except PASSING as problem:
        raise DatabaseUnreachable(f"PostgreSQL did not answer: {problem}") from problem


class CheckpointStore(AsyncPostgresSaver):
    """LangGraph's Postgres saver on our pool; a lost connection is an error that can pass.

    The tables are LangGraph's own, so stock tools read the threads; thread_id is the run's id.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database.pool, serde=JsonPlusSerializer(allowed_msgpack_modules=RESTORED))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The newest checkpoint of a thread, or the one that `config` names."""
        with _mapped():
            return await super().aget_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, the newest first."""
        with _mapped():
            async for found in super().alist(config, filter=filter, before=before, limit=limit):
                yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint; durable when it returns."""
        with _mapped():
            return await super().aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote."""
        with _mapped():
            await super().aput_writes(config, writes, task_id, task_path)
