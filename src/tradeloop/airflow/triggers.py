"""The wait for a decision, in Airflow's triggerer: no slot, no thread, no state of its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any, Final  # Any: keyword arguments of a trigger

from airflow.triggers.base import BaseTrigger, TriggerEvent

from tradeloop.airflow.hooks import TradeloopHook
from tradeloop.airflow.questions import WAITS_FOR_PERSON, AskRefused, AskUnanswered

EAGER_S: Final = 60.0
"""So long the wait is one open request after another, and the answer comes at once; then people are awaited."""
OPEN_S: Final = 5.0
"""Of one open request: the service answers it when the run is over, and not when people are asked."""
SHORTEST_REST_S: Final = 1.0
LONGEST_REST_S: Final = 30.0


class DecisionTrigger(BaseTrigger):
    """Fires once: with a final state, with the approval that waits for people, at the deadline, or on a refusal.

    It only looks, so any number of triggerers may run it, and a restarted one begins again where the service stands.
    What fired is told; the decision itself is read by the task, from the service.
    """

    def __init__(
        self,
        event_id: str,
        tradeloop_conn_id: str,
        deadline: float | None = None,
        poll_s: float = LONGEST_REST_S,
        told: str = "",
    ) -> None:
        """`deadline` is seconds since the epoch; `told` the approval that the task knows of already."""
        initialise: Any = super().__init__  # Airflow's has no types
        initialise()
        self.event_id = event_id
        self.tradeloop_conn_id = tradeloop_conn_id
        self.deadline = deadline
        self.poll_s = poll_s
        self.told = told

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and plain values alone; never the key."""
        names = ("event_id", "tradeloop_conn_id", "deadline", "poll_s", "told")
        return f"{__name__}.DecisionTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to tell."""
        yield TriggerEvent(await self._look())

    async def _look(self) -> dict[str, Any]:
        hook = TradeloopHook(self.tradeloop_conn_id)
        began, failures = time.monotonic(), 0
        while True:
            eager = time.monotonic() - began < EAGER_S
            try:
                async with hook.get_async_conn() as client:
                    while True:
                        answer = await hook.aanswer(client, self.event_id, self._wait_s() if eager else 0)
                        failures = 0
                        if answer.is_final:
                            return {"event_id": self.event_id, "state": answer.state}
                        if answer.state == WAITS_FOR_PERSON and answer.open_approval not in ("", self.told):
                            return {"event_id": self.event_id, "state": answer.state, "told": answer.open_approval}
                        if self._is_over():
                            return {"event_id": self.event_id, "state": "silent"}
                        eager = time.monotonic() - began < EAGER_S
                        await asyncio.sleep(self._rest_s(SHORTEST_REST_S if eager else self.poll_s))
            except AskRefused as problem:
                return {"event_id": self.event_id, "state": "refused", "error": str(problem)}
            except AskUnanswered as problem:
                failures += 1
                if failures == 1:
                    self.log.warning("no answer, looked for again: %s", problem)
            if self._is_over():
                return {"event_id": self.event_id, "state": "silent"}
            await asyncio.sleep(self._rest_s(min(LONGEST_REST_S, SHORTEST_REST_S * 2 ** min(failures, 10))))

    def _left_s(self) -> float:
        return OPEN_S if self.deadline is None else max(0.0, self.deadline - time.time())

    def _is_over(self) -> bool:
        return self.deadline is not None and time.time() >= self.deadline

    def _wait_s(self) -> float:
        return min(OPEN_S, self._left_s())

    def _rest_s(self, longest: float) -> float:
        """Spread, so that many tasks do not look at once, and never beyond the deadline."""
        rest = longest * random.uniform(0.7, 1.0)  # noqa: S311 - spreads, hides nothing
        return rest if self.deadline is None else min(rest, self._left_s() + 0.05)
