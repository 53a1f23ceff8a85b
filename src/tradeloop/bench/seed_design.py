"""The design that tradeloop replaced, as its own few lines: auto-commit, detached tasks, state in memory.

As there, ten records are fetched at a time, each becomes a task that nobody waits for, and the graph is invoked
synchronously in asyncio's default pool of threads.

`python -m tradeloop.bench.seed_design` is the whole process; it reads the settings that `tradeloop worker` reads.
"""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final  # Any: aiokafka is untyped
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph

from tradeloop.domain.actions import Action
from tradeloop.domain.events import EventPayload, WorkflowEvent
from tradeloop.kafka.messages import to_record
from tradeloop.settings import Settings, load_settings
from tradeloop.workflow import Acting, GraphContext, Workflow, decision_of, load_workflows

CALL_TIMEOUT_S: Final = 10.0
POLL_MS: Final = 1000
FETCHED: Final = 10
"""Records of one fetch, as in the design."""


class Posting:
    """workflow.Acting without a ledger: the target is called, and nobody remembers that it was."""

    async def admit(self) -> None:
        """Nobody can stop it."""

    async def perform(
        self,
        slot: str,
        action: Action,
        *,
        adopts: bool = False,  # noqa: ARG002 - the port's
        asked: bool = False,  # noqa: ARG002
        told: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """POST the action's parameters to its target, an URL."""
        import httpx

        async with httpx.AsyncClient(timeout=CALL_TIMEOUT_S, trust_env=False) as client:
            answer = await client.post(action.target, json={"slot": slot, "params": action.params})
        return {"state": "executed" if answer.is_success else "failed"}


class SeedDesign:
    """Reads a topic, runs each event's graph in a task of its own that nobody waits for, publishes what it decided."""

    def __init__(self, settings: Settings, workflows: Mapping[str, Workflow], acting: Acting) -> None:
        self._settings = settings
        self._context = GraphContext(acting=acting)
        saver = InMemorySaver()
        self._graphs = {
            name: in_threads(workflow.graph).compile(checkpointer=saver) for name, workflow in workflows.items()
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self.published = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what is in hand then is dropped."""
        bootstrap = self._settings.kafka_bootstrap
        consumer = AIOKafkaConsumer(
            self._settings.events_topic,
            bootstrap_servers=bootstrap,
            group_id=self._settings.group,
            auto_offset_reset="earliest",
            enable_auto_commit=True,  # offsets go to the broker every 5 s, whatever has become of the events
        )
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
        await consumer.start()
        await producer.start()
        print("seed_design_started", flush=True)
        try:
            while not stop.is_set():
                batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=FETCHED)
                for message in (message for batch in batches.values() for message in batch):
                    task = asyncio.create_task(self._handle(message.value, producer))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        finally:
            await consumer.stop()
            await producer.stop()

    async def _handle(self, value: bytes, producer: Any) -> None:
        event = WorkflowEvent.from_json(value)
        graph: Any = self._graphs[event.event_type]
        config = {"configurable": {"thread_id": str(uuid4())}}
        state = await asyncio.to_thread(graph.invoke, {"event": event.to_dict()}, config, context=self._context)
        decided = event.model_copy(
            update={
                "event_id": uuid4(),
                "event_type": "decision.recorded",
                "payload": EventPayload(data={"decision": decision_of(state).model_dump(mode="json")}),
                "causation_id": event.event_id,
            }
        )
        record = to_record(decided, self._settings.decisions_topic)
        await producer.send_and_wait(record.topic, record.value, key=record.key, headers=list(record.headers))
        self.published += 1


def in_threads(graph: StateGraph[Any, Any, Any, Any]) -> StateGraph[Any, Any, Any, Any]:
    """The same graph of nodes that are plain functions, as `invoke` needs them; for graphs without branches."""
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(graph.state_schema, context_schema=graph.context_schema)
    for name, spec in graph.nodes.items():
        node: Any = spec.runnable
        builder.add_node(name, node if node.afunc is None else _plain(node.afunc))
    for before, after in graph.edges:
        builder.add_edge(before, after)
    return builder


def _plain(node: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    @functools.wraps(node)
    def call(*arguments: Any, **named: Any) -> Any:
        coroutine = node(*arguments, **named)
        try:
            coroutine.send(None)  # most nodes wait for nothing, and a loop for each would be a cost of ours
        except StopIteration as end:
            return end.value
        except RuntimeError:  # it needs a running loop
            return asyncio.run(node(*arguments, **named))
        coroutine.close()
        return asyncio.run(node(*arguments, **named))

    return call


async def main() -> None:
    """Serve with the settings of the environment until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = load_settings()
    await SeedDesign(settings, load_workflows(settings.workflows), Posting()).run(stop)


if __name__ == "__main__":
    asyncio.run(main())
