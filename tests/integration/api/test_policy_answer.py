"""What policy alone decides of an event, and who may ask for it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from api_house import EVENT_TYPE, House

from tradeloop.api.routes import policy_answers
from tradeloop.workflow import Workflow


async def test_policy_answers_an_event_that_has_no_decision_yet_and_changes_nothing(house: House) -> None:
    (claim,) = await house.take_in()

    told = await house.call("GET", f"/api/v1/events/{claim.event_id}/policy", who="vera.v")
    stands = await house.call("GET", f"/api/v1/events/{claim.event_id}/decision", who="vera.v")

    assert told.status_code == 200, told.text
    assert told.json()["decision"]["decided_by"] == "policy"
    assert (told.json()["event_type"], told.json()["error"]) == (EVENT_TYPE, "")
    assert stands.json()["is_final"] is False


async def test_an_event_on_its_way_has_none_yet_and_is_its_services_alone(house: House) -> None:
    trigger = {"event_type": EVENT_TYPE, "data": {}}
    made = await house.call(
        "POST", "/api/v1/workflows/trigger", who="nightly", json=trigger, headers={"Idempotency-Key": str(uuid4())}
    )
    path = f"/api/v1/events/{made.json()['event_id']}/policy"

    mine = await house.call("GET", path, who="nightly")
    unknown = await house.call("GET", f"/api/v1/events/{uuid4()}/policy", who="vera.v")
    (claim,) = await house.take_in()
    of_others = await house.call("GET", f"/api/v1/events/{claim.event_id}/policy", who="nightly")

    assert (mine.status_code, mine.json()["code"]) == (503, "on_its_way")
    assert (unknown.status_code, of_others.status_code) == (404, 404)


async def test_what_policy_cannot_answer_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    (claim,) = await house.take_in()
    path = f"/api/v1/events/{claim.event_id}/policy"

    async def slow(state: object) -> dict[str, object]:
        await asyncio.sleep(30)
        return {}

    def breaks(state: object) -> dict[str, object]:
        raise ValueError("the inputs make no sense")

    found = {}
    monkeypatch.setattr(policy_answers, "WITHIN_S", 0.2)
    for name, workflows in {
        "slow": {EVENT_TYPE: Workflow.chain(EVENT_TYPE, slow, desk="desk")},
        "broken": {EVENT_TYPE: Workflow.chain(EVENT_TYPE, breaks, desk="desk")},
        "missing": {},
    }.items():
        monkeypatch.setattr(house.services, "workflows", workflows)
        found[name] = await house.call("GET", path, who="vera.v")

    assert (found["slow"].status_code, found["slow"].json()["code"]) == (503, "slow")
    assert found["broken"].status_code == 200
    assert found["broken"].json()["decision"] is None
    assert found["broken"].json()["error"] == "ValueError: the inputs make no sense"
    assert (found["missing"].status_code, found["missing"].json()["code"]) == (409, "workflow_missing")


async def test_what_a_task_tells_of_itself_and_its_chain_is_in_the_event(house: House) -> None:
    chain = {"correlation_id": str(uuid4()), "causation_id": str(uuid4()), "chain_depth": 3}
    trigger = {"event_type": EVENT_TYPE, "data": {}, "task_id": "ask", "map_index": 2, **chain}

    made = await house.call(
        "POST", "/api/v1/workflows/trigger", who="nightly", json=trigger, headers={"Idempotency-Key": str(uuid4())}
    )
    rows = await house.services.database.rows(
        "SELECT convert_from(value, 'UTF8')::jsonb AS event FROM outbox WHERE convert_from(value, 'UTF8') LIKE %s",
        (f"%{made.json()['event_id']}%",),
    )

    (row,) = rows
    metadata = row["event"]["metadata"]
    assert (metadata["task_id"], metadata["map_index"], metadata["chain_depth"]) == ("ask", 2, 3)
    assert (row["event"]["correlation_id"], row["event"]["causation_id"]) == (
        chain["correlation_id"],
        chain["causation_id"],
    )
