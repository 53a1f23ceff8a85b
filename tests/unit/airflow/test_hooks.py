"""The connection: its addresses, its test, and what each answer of the service is to a task."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk import Connection

from asking_service import EVENT, Service, serving
from tradeloop.airflow.hooks import Address, TradeloopHook
from tradeloop.airflow.questions import AskRefused, AskUnanswered, Question

QUESTION = Question("prices.loaded", {"rows": 22}, "SPX", "load", "manual__1", "k" * 64, {"task_id": "ask"})


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with serving() as service:
        connect(monkeypatch, host=service.url, password="tl-key")
        yield service


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    given = {"conn_type": "tradeloop", **fields}
    monkeypatch.setenv("AIRFLOW_CONN_TRADELOOP_DEFAULT", json.dumps(given))


def connection(**fields: Any) -> Any:
    return Connection(conn_id="c", conn_type="tradeloop", **fields)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "tradeloop.example"}, "https://tradeloop.example"),
        ({"host": "tradeloop.example", "port": 8443}, "https://tradeloop.example:8443"),
        ({"host": "tradeloop.example", "schema": "http", "port": 80}, "http://tradeloop.example:80"),
        ({"host": "127.0.0.1"}, "http://127.0.0.1:8088"),
        ({"host": "localhost:9000"}, "http://localhost:9000"),
        ({"host": "https://t.example/base/"}, "https://t.example/base"),
        ({"host": "http://t.example", "port": 81}, "http://t.example:81"),
        ({"host": "http://t.example:82", "port": 81}, "http://t.example:82"),
    ],
    ids=str,
)
def test_a_host_is_a_name_or_an_address(fields: dict[str, Any], url: str) -> None:
    assert Address.of(connection(**fields)).url == url


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"host": ""}, "host is empty"),
        ({"host": "ftp://x"}, "https://HOST"),
        ({"host": "https://me:secret@x"}, "https://HOST"),
        ({"host": "x", "extra": '{"timeout_s": "soon"}'}, "timeout_s is 'soon'"),
        ({"host": "x", "extra": '{"timeout_s": 1000}'}, "1 to 300"),
        ({"host": "x", "extra": '{"web_url": "javascript:alert(1)"}'}, "web_url is"),
    ],
    ids=str,
)
def test_a_field_that_does_not_fit_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(AskRefused, match=f"connection 'c'.*{said}"):
        Address.of(connection(**fields))


def test_extra_fields_are_read() -> None:
    address = Address.of(
        connection(host="x", extra='{"timeout_s": 3, "web_url": "https://pages", "ca_file": "/etc/ca.pem"}')
    )

    assert (address.timeout_s, address.web_url, address.ca_file) == (3.0, "https://pages", "/etc/ca.pem")
    assert Address.of(connection(host="x")).web_url == "https://x"


def test_a_ca_file_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, host="https://127.0.0.1:1", extra={"ca_file": "/nowhere.pem"})

    assert TradeloopHook().test_connection() == (
        False,
        "ca_file '/nowhere.pem' cannot be read: [Errno 2] No such file or directory",
    )


def test_the_key_is_sent_and_the_question_is_whole(service: Service) -> None:
    asked = TradeloopHook().ask(QUESTION)

    ((_, path, headers, body),) = service.requests
    assert asked.event_id == EVENT
    assert path == "/api/v1/workflows/trigger"
    assert headers["authorization"] == "Bearer tl-key"
    assert headers["idempotency-key"] == "k" * 64
    assert body == {
        "event_type": "prices.loaded",
        "subject": "SPX",
        "data": {"rows": 22},
        "workflow_id": "load",
        "workflow_run_id": "manual__1",
        "task_id": "ask",
    }


def test_the_connection_test_says_who_is_signed_in(service: Service) -> None:
    assert TradeloopHook().test_connection() == (
        True,
        f"tradeloop at {service.url} answers; signed in as 'etl' (service)",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"ready": (503, {"title": "Not ready", "detail": "PostgreSQL does not answer"})},
            "PostgreSQL does not answer",
        ),
        ({"me": (401, {"title": "Unauthenticated", "detail": "no such key"})}, "put a valid one into the connection"),
        ({"me": (403, {"title": "Forbidden", "detail": "inactive"})}, "give it the role service"),
        ({"me": (200, {"name": "eve", "roles": ["viewer"]})}, "asking needs service or operator"),
        ({"me": (200, {"name": "eve"})}, "the roles none"),
        ({"me": (200, "<html>sign in</html>")}, "is not tradeloop's API"),
        ({"me": (200, [])}, "is not tradeloop's API"),
        ({"ready": (404, "nginx")}, "is not ready (404): nginx"),
    ],
    ids=str,
)
def test_the_connection_test_says_what_is_wrong(change: dict[str, Any], said: str, service: Service) -> None:
    for name, value in change.items():
        setattr(service, name, value)

    is_well, words = TradeloopHook().test_connection()

    assert not is_well
    assert said in words
    assert "tl-key" not in words


def test_a_service_that_is_down_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, host="http://127.0.0.1:9")

    is_well, words = TradeloopHook().test_connection()

    assert not is_well
    assert words.startswith("tradeloop at http://127.0.0.1:9 did not answer: ConnectError")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_for_a_retry(status: int, service: Service) -> None:
    service.asked = (status, {"title": "Busy"})

    with pytest.raises(AskUnanswered, match=f"{status}: Busy"):
        TradeloopHook().ask(QUESTION)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_stays_is_for_no_retry(status: int, service: Service) -> None:
    service.asked = (
        status,
        {
            "title": "Unprocessable",
            "detail": "no workflow",
            "allowed": ["a", "b"],
            "errors": [{"field": "body.data", "detail": "an object"}],
        },
    )

    with pytest.raises(AskRefused, match=r"no workflow; allowed: a, b; body\.data: an object"):
        TradeloopHook().ask(QUESTION)


def test_policy_without_an_answer_is_told(service: Service) -> None:
    service.policy = (200, {"decision": None, "error": "it would wait for a person"})

    with pytest.raises(AskRefused, match="it would wait for a person"):
        TradeloopHook().policy_answer(EVENT)


def test_a_long_wait_is_within_what_the_service_takes(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        TradeloopHook().answer(EVENT, 1_000)

    assert service.requests[0][1] == f"/api/v1/events/{EVENT}/decision?wait_s=30"
    assert "tl-key" not in caplog.text
