"""The trigger: what it stores, when it fires, and that it takes anything but a refusal for a reason to look again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from asking_service import ACCEPT, EVENT, Service, serving
from tradeloop.airflow import triggers
from tradeloop.airflow.triggers import DecisionTrigger


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(triggers, "SHORTEST_REST_S", 0.01)
    with serving() as service:
        given = {"conn_type": "tradeloop", "host": service.url, "password": "tl-key"}
        monkeypatch.setenv("AIRFLOW_CONN_TRADELOOP_DEFAULT", json.dumps(given))
        yield service


def trigger(**given: Any) -> DecisionTrigger:
    words: dict[str, Any] = {"event_id": EVENT, "tradeloop_conn_id": "tradeloop_default", "poll_s": 0.01, **given}
    return DecisionTrigger(**words)


async def fired(one: DecisionTrigger) -> list[Any]:
    async with asyncio.timeout(20):
        return [event.payload async for event in one.run()]


def test_what_is_stored_makes_the_same_trigger_and_holds_no_secret() -> None:
    path, given = trigger(deadline=1.5, told="a1").serialize()

    assert path == "tradeloop.airflow.triggers.DecisionTrigger"
    assert json.loads(json.dumps(given)) == given
    assert DecisionTrigger(**given).serialize() == (path, given)
    assert given.keys() == {"event_id", "tradeloop_conn_id", "deadline", "poll_s", "told"}


async def test_it_fires_when_the_run_has_ended(service: Service) -> None:
    service.stands = [
        (200, {"state": "queued"}),
        (200, {"state": "running"}),
        (200, {"state": "done", "decision": ACCEPT}),
    ]

    assert await fired(trigger()) == [{"event_id": EVENT, "state": "done"}]
    assert len(service.requests) == 3
    assert "wait_s=5" in service.requests[0][1]


async def test_every_triggerer_that_runs_it_tells_the_same(service: Service) -> None:
    one = trigger()

    assert await fired(one) == await fired(one) == await fired(DecisionTrigger(**one.serialize()[1]))


async def test_it_tells_once_that_people_are_asked(service: Service) -> None:
    waits = {"state": "waiting_for_person", "approvals": [{"approval_id": "a1", "state": "pending"}]}
    service.stands = [(200, waits), (200, waits), (200, {"state": "failed"})]

    assert await fired(trigger()) == [{"event_id": EVENT, "state": "waiting_for_person", "told": "a1"}]
    assert await fired(trigger(told="a1")) == [{"event_id": EVENT, "state": "failed"}]


async def test_a_service_that_is_away_is_looked_for_again(service: Service) -> None:
    service.stands = [
        (503, {"title": "Not ready"}),
        (500, "oh"),
        (429, {"title": "Slowly"}),
        (200, "<html>"),
        (200, {"state": "done", "decision": ACCEPT}),
    ]

    assert await fired(trigger()) == [{"event_id": EVENT, "state": "done"}]


async def test_a_service_that_is_down_is_silence_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_TRADELOOP_DEFAULT", json.dumps({"conn_type": "tradeloop", "host": "http://127.0.0.1:9"})
    )

    assert await fired(trigger(deadline=time.time() + 0.2)) == [{"event_id": EVENT, "state": "silent"}]


async def test_a_deadline_that_passed_while_the_triggerer_was_down_is_silence_at_once(service: Service) -> None:
    service.stands = [(200, {"state": "waiting_for_person"})]

    assert await fired(trigger(deadline=time.time() - 60)) == [{"event_id": EVENT, "state": "silent"}]


async def test_an_answer_is_not_missed_because_the_deadline_has_passed(service: Service) -> None:
    assert await fired(trigger(deadline=time.time() - 60)) == [{"event_id": EVENT, "state": "done"}]


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_ends_the_wait_with_its_words(status: int, service: Service) -> None:
    service.stands = [(status, {"title": "No", "detail": "such key"})]

    ((event),) = await fired(trigger())

    assert event["state"] == "refused"
    assert "such key" in event["error"]


async def test_it_can_be_cancelled_while_it_waits(service: Service) -> None:
    service.stands = [(200, {"state": "queued"})]
    task = asyncio.create_task(fired(trigger(poll_s=60.0)))
    await asyncio.sleep(0.1)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
