"""What the record of answers that did not count promises; run against memory and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from asked import approval
from tradeloop.domain.approvals import Approval
from tradeloop.ports import RefusedAnswers
from tradeloop.store.database import Database
from tradeloop.store.refused_answers import PostgresRefusedAnswers
from tradeloop.testing.required_actions import MemoryRefusedAnswers

Kept = Callable[[Approval], Awaitable[list[dict[str, Any]]]]
FACTS = {"by": "Anonymous", "channel": "airflow", "airflow_run": "tradeloop-1-1", "why": "is no person's own name"}


@pytest.fixture(params=["memory", "postgres"])
async def record(request: pytest.FixtureRequest) -> AsyncIterator[tuple[RefusedAnswers, Kept]]:
    if request.param == "memory":
        memory = MemoryRefusedAnswers()

        async def of_memory(one: Approval) -> list[dict[str, Any]]:
            return [body for run_id, body in memory.kept if run_id == one.run_id]

        yield memory, of_memory
        return
    async with Database(request.getfixturevalue("database_url"), size=1) as database:

        async def of_audit(one: Approval) -> list[dict[str, Any]]:
            rows = await database.rows(
                "SELECT body FROM audit WHERE stream_id = %s AND kind = 'answer_not_counted' ORDER BY n", (one.run_id,)
            )
            return [row["body"] for row in rows]

        yield PostgresRefusedAnswers(database), of_audit


async def test_who_and_why_are_on_record_once(record: tuple[RefusedAnswers, Kept]) -> None:
    refused, kept = record
    one, other = approval(), approval()

    for _ in range(3):
        await refused.keep(one, FACTS)
    await refused.keep(one, FACTS | {"airflow_run": "tradeloop-1-2"})
    await refused.keep(other, FACTS)

    assert await kept(one) == [
        {**FACTS, "airflow_run": run, "approval_id": str(one.approval_id), "digest": one.digest}
        for run in ("tradeloop-1-1", "tradeloop-1-2")
    ]
    assert len(await kept(other)) == 1


async def test_a_name_that_no_database_stores_is_on_record_too(record: tuple[RefusedAnswers, Kept]) -> None:
    refused, kept = record
    one = approval()

    await refused.keep(one, FACTS | {"by": "a\x00b"})

    assert len(await kept(one)) == 1
