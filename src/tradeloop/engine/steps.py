"""The steps that a graph has taken, read from its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any  # Any: LangGraph's own types
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver


@dataclass(frozen=True, slots=True)
class Step:
    """Nodes that ran side by side, and when their checkpoint was written."""

    nodes: tuple[str, ...]
    at: datetime


async def steps_of(saver: BaseCheckpointSaver[Any], run_id: UUID) -> list[Step]:
    """The steps of a run, the first first; empty before its first checkpoint."""
    config: RunnableConfig = {"configurable": {"thread_id": str(run_id), "checkpoint_ns": ""}}
    found = [item async for item in saver.alist(config)]
    steps, before = [], dict[str, Any]()
    for item in reversed(found):
        seen = item.checkpoint["versions_seen"]
        nodes = tuple(
            sorted(
                name for name, versions in seen.items() if not name.startswith("__") and versions != before.get(name)
            )
        )
        before = {name: dict(versions) for name, versions in seen.items()}
        if nodes:
            steps.append(Step(nodes, datetime.fromisoformat(item.checkpoint["ts"])))
    return steps
