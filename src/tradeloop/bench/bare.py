"""LangGraph alone: the graph of the benchmarks in one process, without checkpoints, broker or database.

A program of its own (`python -m tradeloop.bench.bare COUNT CONCURRENCY [SAVER]`), so that nothing of ours runs beside
it: it prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any  # Any: LangGraph's own types

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver

from tradeloop.bench.engine_workflow import graph_of, measured_event, policy


async def drive(count: int, concurrency: int, saver: BaseCheckpointSaver[Any] | None) -> dict[str, float]:
    """Run the graph `count` times, so many at a time; runs a second and CPU time a run."""
    graph = graph_of(policy).compile(checkpointer=saver)
    events = [measured_event(number).to_dict() for number in range(count)]
    left = iter(range(count))

    async def work() -> None:
        for number in left:
            config: Any = {"configurable": {"thread_id": str(number)}} if saver else None
            await graph.ainvoke({"event": events[number]}, config, durability="sync" if saver else None)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    return {"per_s": count / seconds, "cpu_ms": 1000 * cpu_s / count}


def main() -> None:
    """Warm up, measure, print."""
    count, concurrency = int(sys.argv[1]), int(sys.argv[2])
    saver = InMemorySaver if "memory" in sys.argv[3:] else lambda: None
    asyncio.run(drive(min(count, 500), concurrency, saver()))
    print(json.dumps(asyncio.run(drive(count, concurrency, saver()))))


if __name__ == "__main__":
    main()
