"""The client against a server that answers badly: tokens, broken connections, and what each answer means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from airflow_server import Answer, server, token

from tradeloop.airflow.client import AT_ONCE, AirflowClient
from tradeloop.errors import AirflowForbidden, AirflowRefused, AirflowUnreachable, DagUnavailable

RUN = {"dag_id": "d", "dag_run_id": "r", "state": "queued", "conf": {"action_digest": "x"}}
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def answering(*answers: Answer, life_s: float = 86_400) -> Callable[[str, str, str, int], Answer]:
    """Give these answers one after the other, the last one for ever; sign everybody in."""
    left = list(answers)
    tokens = iter(range(1_000))

    def answer(method: str, path: str, bearer: str, number: int) -> Answer:
        if path == "/auth/token":
            return 201, {"access_token": token(next(tokens), life_s)}
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


async def test_one_token_serves_many_calls_at_once() -> None:
    async with server(answering((200, RUN))) as asked, AirflowClient(asked.url, "u", "p") as client:
        await asyncio.gather(*(client.dag_run("d", "r") for _ in range(10)))

    assert asked.sign_ins() == 1
    assert len(asked.paths()) == 10


async def test_many_calls_at_once_leave_the_api_server_free_for_its_tasks() -> None:
    async with server(answering((200, RUN))) as asked, AirflowClient(asked.url, "u", "p") as client:
        await asyncio.gather(*(client.dag_run("d", "r") for _ in range(50)))

    assert len(asked.paths()) == 50
    assert asked.connections <= AT_ONCE


async def test_a_token_is_renewed_before_it_ends() -> None:
    async with server(answering((200, RUN), life_s=0)) as asked, AirflowClient(asked.url, "u", "p") as client:
        await client.dag_run("d", "r")
        client._refresh_at = 0
        await client.dag_run("d", "r")

    tokens = [bearer for _, path, bearer in asked.requests if path != "/auth/token"]
    assert asked.sign_ins() == 2
    assert len(set(tokens)) == 2


async def test_a_token_that_airflow_forgot_is_renewed_once() -> None:
    expired = (401, {"detail": "Token Expired"})
    async with server(answering(expired, (200, RUN))) as asked, AirflowClient(asked.url, "u", "p") as client:
        found = await client.dag_run("d", "r")

    assert found is not None
    assert found.run_id == "r"
    assert asked.sign_ins() == 2


async def test_an_account_that_is_refused_for_good_is_forbidden() -> None:
    async with server(answering((401, {"detail": "no"}))) as asked, AirflowClient(asked.url, "u", "p") as client:
        with pytest.raises(AirflowForbidden, match="401") as refused:
            await client.dag_run("d", "r")
        with pytest.raises(AirflowForbidden):
            await client.missing_permissions()

    assert refused.value.status == 401


async def test_a_wrong_password_names_the_settings() -> None:
    async with server(lambda *_: (401, {"detail": "x"})) as asked, AirflowClient(asked.url, "u", "p") as client:
        with pytest.raises(AirflowForbidden, match="does not know the account 'u'") as refused:
            await client.dag_run("d", "r")

    assert "TRADELOOP_AIRFLOW_PASSWORD" in refused.value.hint


async def test_a_connection_that_was_broken_off_is_made_again() -> None:
    async with server(answering(None, (200, RUN))) as asked, AirflowClient(asked.url, "u", "p") as client:
        found = await client.dag_run("d", "r")

    assert found is not None
    assert asked.connections == 2


async def test_a_server_that_always_breaks_off_is_unreachable() -> None:
    async with server(answering(None)) as asked, AirflowClient(asked.url, "u", "p") as client:
        with pytest.raises(AirflowUnreachable):
            await client.dag_run("d", "r")

    assert len(asked.paths()) == 2


async def test_nothing_that_listens_is_unreachable() -> None:
    async with AirflowClient("http://127.0.0.1:1", "u", "p") as client:
        with pytest.raises(AirflowUnreachable, match="did not answer"):
            await client.dag_run("d", "r")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_servers_trouble_is_never_taken_for_a_no(status: int) -> None:
    async with server(answering((status, "sorry"))) as asked, AirflowClient(asked.url, "u", "p") as client:
        with pytest.raises(AirflowUnreachable, match=str(status)):
            await client.dag_run("d", "r")
        with pytest.raises(AirflowUnreachable, match=str(status)):
            await client.trigger_dag("d", "r", {})
        with pytest.raises(AirflowUnreachable, match=str(status)):
            await client.dag_problem("d")


async def test_a_page_that_answers_500_may_have_a_bad_row() -> None:
    async with server(answering((500, "Internal Server Error"))) as asked, AirflowClient(asked.url, "u", "p") as client:
        with pytest.raises(AirflowRefused) as refused:
            await client.asset_events(NOW - timedelta(hours=1), NOW, limit=100)

    assert refused.value.status == 500


async def test_a_conflict_is_a_no_with_its_status() -> None:
    async with server(answering((409, {"detail": "exists"}))) as asked, AirflowClient(asked.url, "u", "p") as client:
        with pytest.raises(AirflowRefused, match="exists") as refused:
            await client.trigger_dag("d", "r", {})

    assert refused.value.status == 409


async def test_a_dag_that_is_not_there_is_unavailable_and_a_run_none() -> None:
    async with server(answering((404, {"detail": "gone"}))) as asked, AirflowClient(asked.url, "u", "p") as client:
        with pytest.raises(DagUnavailable, match="gone"):
            await client.trigger_dag("d", "r", {})

        assert await client.dag_run("d", "r") is None
        assert await client.dag_problem("d") == "missing"


async def test_ids_cannot_leave_their_place_in_the_path() -> None:
    async with server(answering((200, RUN))) as asked, AirflowClient(asked.url, "u", "p") as client:
        await client.dag_run("../x", "a/b?c")

    assert asked.requests[-1][1] == "/api/v2/dags/..%2Fx/dagRuns/a%2Fb%3Fc"


async def test_a_page_of_html_is_not_airflow() -> None:
    async with server(answering((200, "<html>"))) as asked, AirflowClient(asked.url, "u", "p") as client:
        with pytest.raises(AirflowUnreachable, match="no JSON") as refused:
            await client.dag_run("d", "r")

    assert refused.value.hint == "TRADELOOP_AIRFLOW_URL"


async def test_each_missing_permission_is_named() -> None:
    def answer(method: str, path: str, bearer: str, number: int) -> Answer:
        if path == "/auth/token":
            return 201, {"access_token": token(1)}
        return (403, {"detail": "Forbidden"}) if "eventLogs" in path or "/assets/" in path else (200, {})

    async with server(answer) as asked, AirflowClient(asked.url, "u", "p") as client:
        assert await client.missing_permissions() == ["read asset events", "read audit logs"]


@pytest.mark.parametrize(
    ("dag", "said"),
    [
        ({"is_paused": False}, ""),
        ({"is_paused": True}, "paused"),
        ({"is_stale": True, "is_paused": True}, "stale: no file declares it any more"),
        ({"has_import_errors": True, "is_stale": True}, "does not import"),
    ],
)
async def test_a_dags_problem_is_the_one_to_solve_first(dag: dict[str, bool], said: str) -> None:
    async with server(answering((200, dag))) as asked, AirflowClient(asked.url, "u", "p") as client:
        assert await client.dag_problem("d") == said
