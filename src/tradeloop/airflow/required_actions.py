"""ports.RequiredActions over Airflow's public REST API (3.1 and newer)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final  # Any: JSON of Airflow's answers
from urllib.parse import quote

from pydantic import JsonValue

from tradeloop.airflow.ballot_text import ELSEWHERE
from tradeloop.airflow.client import PAGE, AirflowClient, moment
from tradeloop.errors import AirflowForbidden, AirflowRefused, NotFound
from tradeloop.ports import RequiredAction

TASK: Final = "answer"
"""Of the approval DAG: the only one, and nothing comes after it."""
OVER: Final = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
CONFLICT: Final = 409
MAX_NOTE: Final = 1000


class AirflowRequiredActions:
    """Questions of one DAG's runs."""

    def __init__(self, client: AirflowClient, dag_id: str) -> None:
        self._client = client
        self._dag = f"/dags/{quote(dag_id, safe='')}"
        self._dag_id = dag_id

    async def trouble(self) -> str:
        """What keeps questions from being asked here, in words; empty when all is well. Changes nothing."""
        if problem := await self._client.dag_problem(self._dag_id):
            return f"DAG {self._dag_id} is {problem}, or hidden from the account"
        try:
            await self.waiting()
            await self.close("no-such-run", ELSEWHERE)  # Airflow asks for the permission first, then for the run
        except AirflowForbidden:
            return f"the account may not read or not answer the questions of DAG {self._dag_id}"
        return ""

    async def put_up(self, run_id: str, conf: Mapping[str, JsonValue]) -> None:
        """Start the run, unless it is there."""
        if await self._client.dag_run(self._dag_id, run_id) is not None:
            return
        try:
            await self._client.trigger_dag(self._dag_id, run_id, conf)
        except AirflowRefused as problem:
            if problem.status != CONFLICT or await self._client.dag_run(self._dag_id, run_id) is None:
                raise

    async def waiting(self) -> Sequence[RequiredAction]:
        """Every question without a recorded answer."""
        found: list[RequiredAction] = []
        while True:
            answer = await self._client.get(
                f"{self._dag}/dagRuns/~/hitlDetails",
                response_received="false",
                task_id=TASK,
                order_by="ti_id",
                limit=PAGE,
                offset=len(found),
            )
            found += [_view(row) for row in answer["hitl_details"]]
            if not answer["hitl_details"] or len(found) >= answer["total_entries"]:
                return found

    async def of_run(self, run_id: str) -> RequiredAction | None:
        """The question of the run's present attempt."""
        try:
            return _view(await self._client.get(self._detail(run_id)))
        except NotFound:
            return None

    async def close(self, run_id: str, option: str) -> bool:
        """Record the option as this account's answer."""
        try:
            await self._client.patch(self._detail(run_id), {"chosen_options": [option], "params_input": {}})
        except NotFound:
            return False
        except AirflowRefused as problem:
            if problem.status != CONFLICT:
                raise
            return False
        return True

    async def tell(self, run_id: str, text: str) -> None:
        """Set the run's note."""
        try:
            await self._client.patch(f"{self._dag}/dagRuns/{quote(run_id, safe='')}", {"note": text[:MAX_NOTE]})
        except NotFound:
            return

    def _detail(self, run_id: str) -> str:
        return f"{self._dag}/dagRuns/{quote(run_id, safe='')}/taskInstances/{TASK}/-1/hitlDetails"


def _view(row: Mapping[str, Any]) -> RequiredAction:
    user = row.get("responded_by_user") or {}
    return RequiredAction(
        run_id=row["task_instance"]["dag_run_id"],
        subject=row["subject"],
        body=row.get("body") or "",
        options=tuple(row["options"]),
        is_waiting=row["task_instance"].get("state") not in OVER,
        is_answered=row["response_received"] is True,
        chosen=tuple(row.get("chosen_options") or ()),
        params=row.get("params_input") or {},
        user_id=str(user.get("id") or ""),
        user_name=str(user.get("name") or ""),
        answered_at=moment(row.get("responded_at")),
    )
