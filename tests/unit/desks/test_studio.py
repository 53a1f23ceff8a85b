"""`langgraph.json`: every shipped desk's graph opens in LangGraph's own server, and nothing is started there."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from settling import event, failing

from tradeloop.desks.shipped import NAMES
from tradeloop.workflow import GraphContext

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def studio() -> ModuleType:
    """As LangGraph's server imports it: from its path."""
    spec = spec_from_file_location("opened_by_studio", ROOT / "src/tradeloop/desks/studio.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_desk_is_listed_and_is_a_graph(studio: ModuleType) -> None:
    listed = json.loads((ROOT / "langgraph.json").read_text())["graphs"]
    assert set(listed) == set(NAMES)
    for name, value in listed.items():
        path, _, variable = value.partition(":")
        assert (ROOT / path).is_file()
        graph = getattr(studio, variable)
        assert graph.name == name
        assert graph.get_input_jsonschema()["properties"]["event"]
        assert "properties" not in graph.get_context_jsonschema()


@pytest.mark.parametrize("context", [None, {}, GraphContext()])
async def test_without_the_engine_a_graph_rehearses(studio: ModuleType, context: Any) -> None:
    booked, price = {"counterparty": "DEUTDEFFXXX"}, {"price": "150.00"}
    told = {"payload": {"data": event(failing("CLAC", is_delivery=False), booked=booked, reference_price=price)}}
    state = await studio.settlement.ainvoke({"event": told}, context=context)
    assert state["decision"]["outcome"] == "CHASE_COUNTERPARTY"
    assert (state["effect"]["target"], state["effect"]["state"]) == ("chase_counterparty", "rehearsed")
