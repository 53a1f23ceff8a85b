"""What a worker hands to the nodes of its graphs: the agents and tools that it was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine_in_memory import House, event, until, workflow
from langgraph.runtime import Runtime

from tradeloop import Decision
from tradeloop.workflow import GraphContext, context_of


class Telling:
    async def gather(self, desk: str, role: str, header: Mapping[str, Any]) -> dict[str, str]:
        return {"prices/last": f"{desk} {role} {header['symbol']}"}


async def look(state: Any, runtime: Runtime[GraphContext]) -> dict[str, Any]:
    tools = context_of(runtime).tools
    told = await tools.gather("prices", "quality", {"symbol": "SPX"}) if tools else {}
    return {"decision": Decision(outcome="ACCEPT", reasons=list(told.values()))}


async def test_a_graph_asks_the_tools_of_its_worker() -> None:
    for tools, reasons in ((Telling(), ["prices quality SPX"]), (None, [])):
        house = House(tools=tools)
        async with house.working(workflow(look)):
            await house.send(event())
            await until(house.ended())
        assert house.outcomes()["s"].decision.reasons == reasons
