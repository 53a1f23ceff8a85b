"""Stored checkpoints against the code at hand: what would go on, what would break."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_type_hints  # Any: a state's values, LangGraph's own types

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from tradeloop.workflow import Workflow

STEP: Final = "branch:to:"
"""LangGraph's channel that wakes a node (langgraph.graph.state)."""
INTERNAL: Final = "__"
VERSION: Final = "graph_version"


@dataclass(frozen=True, slots=True)
class Finding:
    """What the code at hand would make of one run."""

    stamped: str = ""
    """Version of the graph that wrote the newest checkpoint; empty when there is none."""
    next_steps: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    """Why it could not go on; empty when it could."""


async def check_run(
    workflow: Workflow | None, event_type: str, saver: BaseCheckpointSaver[Any], run_id: object
) -> Finding:
    """Load the run's newest checkpoint as a worker would, and look at everything that the graph would use."""
    config: RunnableConfig = {"configurable": {"thread_id": str(run_id)}}
    if workflow is None:
        return Finding(problems=[f"no workflow of this installation answers {event_type}"])
    graph = workflow.graph.compile(checkpointer=saver)
    tried = graph.checkpointer if isinstance(graph.checkpointer, BaseCheckpointSaver) else saver
    # A checkpoint of other code may raise anything.
    saved = (await asyncio.gather(tried.aget_tuple(config), return_exceptions=True))[0]
    if isinstance(saved, BaseException):
        return Finding(problems=[f"its checkpoint cannot be read: {_words(saved)}"])
    if saved is None:
        return Finding()
    stamped = str(saved.metadata.get(VERSION, ""))
    values: Mapping[str, Any] = saved.checkpoint["channel_values"]
    problems = [*_gone(graph, values), *_unfit(workflow, values)]
    state = (await asyncio.gather(graph.aget_state(config), return_exceptions=True))[0]
    if isinstance(state, BaseException):
        return Finding(stamped, (), [*problems, f"its state cannot be restored: {_words(state)}"])
    return Finding(stamped, state.next, [*problems, *_orphans(graph, saved)])


def _gone(graph: CompiledStateGraph[Any, Any, Any, Any], values: Mapping[str, Any]) -> list[str]:
    gone = [name for name in values if name not in graph.channels and not name.startswith(INTERNAL)]
    return [
        f"its next step {name.removeprefix(STEP)!r} is gone" if name.startswith(STEP) else f"the state has no {name!r}"
        for name in sorted(gone)
    ]


def _orphans(graph: CompiledStateGraph[Any, Any, Any, Any], saved: CheckpointTuple) -> list[str]:
    channels = {channel for _, channel, _ in saved.pending_writes or []}
    lost = [name for name in channels if not name.startswith(INTERNAL) and name not in graph.channels]
    return [f"a step wrote {name!r}, which nothing reads any more" for name in sorted(lost)]


def _unfit(workflow: Workflow, values: Mapping[str, Any]) -> list[str]:
    hints = get_type_hints(workflow.graph.state_schema)
    problems = []
    for name, hint in sorted(hints.items()):
        if name not in values:
            continue
        try:
            _validate(hint, values[name])
        except ValidationError as problem:
            error = problem.errors(include_url=False, include_context=False)[0]
            place = ".".join(str(step) for step in (name, *error["loc"]))
            problems.append(f"{place} does not fit: {error['msg'][:1].lower()}{error['msg'][1:]}")
        except PydanticUserError:
            continue  # a type that Pydantic cannot describe: LangGraph takes any value for it, too
    return problems


def _validate(hint: Any, value: Any) -> None:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        hint.model_validate(value)
    else:
        TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)


def _words(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"[:300]
