"""The graph as the worker runs it: real batches in, decisions and actions out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sp500 import month, scaled

from tradeloop.desks.graph import build
from tradeloop.desks.marketdata.desk import desk_of
from tradeloop.desks.marketdata.policy import SHIPPED, load_policy
from tradeloop.domain.actions import Action
from tradeloop.errors import EventInvalid, ReferenceInvalid
from tradeloop.workflow import GraphContext, load_workflows


class Recorder:
    """Remembers what it was asked to do."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Action]] = []

    async def admit(self) -> None:
        pass

    async def perform(self, slot: str, action: Action, **_: Any) -> dict[str, Any]:
        self.asked.append((slot, action))
        return {"state": "executed"}


async def run(data: dict[str, Any], root: Path = Path("/nowhere")) -> tuple[dict[str, Any], list[tuple[str, Action]]]:
    recorder = Recorder()
    graph = build(desk_of(load_policy(SHIPPED)), root).compile()
    state = await graph.ainvoke({"event": {"payload": {"data": data}}}, context=GraphContext(acting=recorder))
    return state, recorder.asked


async def test_a_clean_month_is_accepted_and_published() -> None:
    state, asked = await run(month("2009-07"))

    assert state["decision"]["outcome"] == "ACCEPT"
    assert state["decision"]["findings"] == []
    assert state["decision"]["reasons"] == ["0 findings, 22 of 22 sessions"]
    assert [(slot, action.target) for slot, action in asked] == [("act", "publish_batch")]


async def test_one_bar_scaled_by_100_is_named_and_fetched_again() -> None:
    data = month("2009-08")
    data["bars"] = [scaled(bar, 100) if bar["date"] == "2009-08-14" else bar for bar in data["bars"]]

    state, asked = await run(data)
    assert state["decision"]["outcome"] == "REFETCH"
    assert [(found["rule"], found["dates"]) for found in state["decision"]["findings"]] == [("MD10", ["2009-08-14"])]
    assert [action.target for _, action in asked] == ["refetch_batch"]


async def test_october_2008_is_put_before_a_person() -> None:
    state, asked = await run(month("2008-10"))

    assert state["decision"]["outcome"] == "ESCALATE"
    assert "−9.0% on 2008-10-15" in " ".join(state["decision"]["reasons"])
    assert [(action.target, action.params["outcome"]) for _, action in asked] == [("publish_batch", "ESCALATE")]
    assert state["decision"]["asked"] is True


async def test_the_state_is_plain_json_without_the_bars() -> None:
    data = month("2008-10")

    state, _ = await run(data)
    kept = {name: value for name, value in state.items() if name != "event"}
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert len(json.dumps(kept)) < 8_000 < len(json.dumps(data))


async def test_the_decision_names_policy_and_cites_findings_that_exist() -> None:
    state, _ = await run(month("2008-10"))

    decision = state["decision"]
    assert decision["policy_hash"] == load_policy(SHIPPED).digest
    assert [found["id"] for found in decision["findings"]] == ["F-01", "F-02", "F-03", "F-04"]
    assert all(f"[{found['id']}]" in " ".join(decision["reasons"]) for found in decision["findings"])


@pytest.mark.parametrize("data", [{}, {"rows": 5}, month("2009-07") | {"bars": 7}])
async def test_data_that_is_no_batch_is_the_producers_error(data: dict[str, Any]) -> None:
    with pytest.raises(EventInvalid, match=r"payload\.data"):
        await run(data)


async def test_a_reference_is_read_below_the_root_only(tmp_path: Path) -> None:
    foreign = {"uri": "file:///etc/hostname", "sha256": "0" * 64, "size_bytes": 1}

    with pytest.raises(ReferenceInvalid):
        await run({"reference": foreign}, tmp_path)


def test_the_desk_is_found_by_its_entry_point() -> None:
    workflow = load_workflows()["marketdata.batch.loaded"]

    assert (workflow.desk, bool(workflow.allowed)) == ("marketdata", True)
    assert list(workflow.graph.nodes) == [
        "load",
        "facts",
        "policy",
        "guard",
        "act",
        "specialist",
        "decider",
    ]
