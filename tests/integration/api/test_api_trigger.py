"""The trigger: an event once, whole, and what bad input gets."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from api_house import EVENT_TYPE, House

from tradeloop.domain.events import WorkflowEvent
from tradeloop.domain.runs import RunState


async def trigger(house: House, who: str = "nightly", key: str = "", **body: Any) -> Any:
    headers = {"Idempotency-Key": key or uuid4().hex}
    return await house.call(
        "POST", "workflows/trigger", who, headers=headers, json={"event_type": EVENT_TYPE, "data": {"rows": 22}} | body
    )


async def in_outbox(house: House, event_id: str) -> list[WorkflowEvent]:
    rows = await house.services.database.rows("SELECT value, headers FROM outbox WHERE topic = 'workflow-events'")
    events = [WorkflowEvent.from_json(bytes(row["value"])) for row in rows]
    return [event for event in events if event.event_id == UUID(event_id)]


async def test_an_event_is_in_the_outbox_when_it_was_accepted(house: House) -> None:
    told = await trigger(house, subject="SPX/2026-11", workflow_id="eod", workflow_run_id="r1")

    assert told.status_code == 202
    found = told.json()
    [event] = await in_outbox(house, found["event_id"])
    assert (event.event_type, event.subject, event.workflow_id, event.workflow_run_id) == (
        EVENT_TYPE, "SPX/2026-11", "eod", "r1",
    )  # fmt: skip
    assert event.payload.data == {"rows": 22}
    assert event.metadata.model_dump()["requested_by"] == "nightly"
    assert told.headers["location"] == found["status_url"]
    status = (await house.call("GET", found["status_url"], "nightly")).json()
    assert (status["state"], status["run_id"], status["is_final"]) == ("queued", None, False)
    assert status["decision_id"] == found["decision_id"]


async def test_a_key_that_comes_again_is_the_same_event_however_often_and_at_once(house: House) -> None:
    told = await asyncio.gather(*[trigger(house, key="again", subject="one") for _ in range(20)])

    assert {one.status_code for one in told} == {202}
    [event_id] = {one.json()["event_id"] for one in told}
    assert len(await in_outbox(house, event_id)) == 1
    assert sum("idempotency-replayed" in one.headers for one in told) == 19


async def test_a_key_with_another_body_is_refused(house: House) -> None:
    first = await trigger(house, key="used", subject="one")
    other = await trigger(house, key="used", subject="two")

    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert len(await in_outbox(house, first.json()["event_id"])) == 1
    elsewhere = await trigger(house, "otto.o", key="used", subject="two")
    assert elsewhere.status_code == 202
    assert elsewhere.json()["event_id"] != first.json()["event_id"]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"event_type": "prices.lost"}, 422, "workflow_missing", "body.event_type"),
        ({"event_type": "decision.recorded"}, 422, "workflow_missing", "body.event_type"),
        ({"event_type": ""}, 422, "invalid", "body.event_type"),
        ({"subject": "x" * 501}, 422, "invalid", "body.subject"),
        ({"workflow_id": ""}, 422, "invalid", "body.workflow_id"),
        ({"data": [1]}, 422, "invalid", "body.data"),
        ({"colour": "red"}, 422, "invalid", "body.colour"),
        ({"subject": "a\x00b"}, 400, "not_json", "body"),
        ({"data": {"a": "\ud800"}}, 400, "not_json", "body"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_what_does_not_fit_is_told_by_field(
    house: House, body: dict[str, Any], status: int, code: str, field: str
) -> None:
    sent = json.dumps({"event_type": EVENT_TYPE} | body)
    told = await house.call(
        "POST",
        "workflows/trigger",
        "nightly",
        headers={"Idempotency-Key": "bad", "Content-Type": "application/json"},
        content=sent,
    )
    assert (told.status_code, told.json()["code"], told.json()["field"]) == (status, code, field)
    assert told.headers["content-type"] == "application/problem+json"
    if code == "workflow_missing":
        assert told.json()["allowed"] == [EVENT_TYPE]


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"", "application/json", 422, "invalid"),
        (b"{", "application/json", 400, "not_json"),
        (b"[]", "application/json", 400, "not_json"),
        (b'{"a": NaN}', "application/json", 400, "not_json"),
        (b'{"event_type": "a", "event_type": "b"}', "application/json", 400, "not_json"),
        (b'{"data": ' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}", "application/json", 400, "not_json"),
        (b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json", 400, "not_json"),
        (b"\xff\xfe", "application/json", 400, "not_json"),
        (b"{}", "text/plain", 415, "media_type"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "media_type"),
        (b'{"data": {"a": "' + b"x" * 1_000_000 + b'"}}', "application/json", 413, "too_large"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_rubbish_is_a_problem_and_nothing_else(
    house: House, content: bytes, kind: str, status: int, code: str
) -> None:
    told = await house.call(
        "POST",
        "workflows/trigger",
        "nightly",
        headers={"Idempotency-Key": "rubbish", "Content-Type": kind},
        content=content,
    )
    assert (told.status_code, told.json()["code"]) == (status, code)


async def test_a_body_without_a_declared_length_is_cut_off_at_its_limit(house: House) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 1000

    told = await house.call(
        "POST", "switches/stop", "otto.o", headers={"Content-Type": "application/json"}, content=endless()
    )
    assert (told.status_code, told.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 201])
async def test_an_idempotency_key_is_required_and_plain(house: House, key: str) -> None:
    headers = {"Idempotency-Key": key.encode()} if key else {}
    told = await house.call("POST", "workflows/trigger", "nightly", headers=headers, json={"event_type": EVENT_TYPE})
    assert (told.status_code, told.json()["field"]) == (422, "header.idempotency-key")


async def test_a_service_sees_its_own_events_alone(house: House) -> None:
    other = (await trigger(house, "otto.o")).json()["status_url"]

    assert (await house.call("GET", other, "nightly")).status_code == 404
    assert (await house.call("GET", other, "vera.v")).status_code == 200
    assert (await house.call("GET", f"events/{uuid4()}/decision", "vera.v")).status_code == 404


async def test_a_long_poll_answers_as_soon_as_the_run_is_over(house: House) -> None:
    (claim,) = await house.take_in()
    begun = asyncio.get_running_loop().time()
    waiting = asyncio.create_task(house.call("GET", f"events/{claim.event_id}/decision?wait_s=20", "vera.v"))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    decision_id = await house.finish(claim)
    told = (await waiting).json()

    assert asyncio.get_running_loop().time() - begun < 10
    assert (told["state"], told["is_final"], told["decision_id"]) == ("done", True, str(decision_id))
    assert told["decision"]["outcome"] == "ACCEPT"
    assert RunState(told["state"]) is RunState.DONE
