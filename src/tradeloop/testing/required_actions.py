"""Airflow's Required Actions in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from pydantic import JsonValue

from tradeloop.domain.approvals import Approval
from tradeloop.errors import DagUnavailable
from tradeloop.ports import RequiredAction


class MemoryRequiredActions:
    """ports.RequiredActions without an Airflow; `answer`, `mark` and `clear` are what people do on its pages."""

    def __init__(self, account: str = "tradeloop") -> None:
        self._account = account
        self.runs: dict[str, RequiredAction] = {}
        self.notes: dict[str, str] = {}
        self.is_there = True
        self.posts = 0

    async def put_up(self, run_id: str, conf: Mapping[str, JsonValue]) -> None:
        if not self.is_there:
            raise DagUnavailable("the approval DAG is missing", status=404)
        self.posts += 1
        if run_id not in self.runs:
            self.runs[run_id] = _asked(run_id, conf)

    async def waiting(self) -> Sequence[RequiredAction]:
        return [one for one in self.runs.values() if not one.is_answered]

    async def of_run(self, run_id: str) -> RequiredAction | None:
        return self.runs.get(run_id)

    async def close(self, run_id: str, option: str) -> bool:
        one = self.runs.get(run_id)
        if one is None or one.is_answered:
            return False
        self.answer(run_id, option, self._account, {})
        return True

    async def tell(self, run_id: str, text: str) -> None:
        self.notes[run_id] = text

    def answer(self, run_id: str, option: str, user: str, params: Mapping[str, JsonValue]) -> None:
        """Somebody answers on Airflow's page."""
        self.runs[run_id] = replace(
            self.runs[run_id],
            is_waiting=False,
            is_answered=True,
            chosen=(option,),
            params=params,
            user_id=user,
            user_name=user,
            answered_at=datetime.now(UTC),
        )

    def mark(self, run_id: str) -> None:
        """Somebody marks the task as success or failed."""
        self.runs[run_id] = replace(self.runs[run_id], is_waiting=False)

    def clear(self, run_id: str) -> None:
        """Somebody clears the task: its answer is gone, and it asks again."""
        one = self.runs[run_id]
        self.runs[run_id] = RequiredAction(run_id, one.subject, one.body, one.options, is_waiting=True)


class MemoryRefusedAnswers:
    """ports.RefusedAnswers in memory."""

    def __init__(self) -> None:
        self.kept: list[tuple[UUID, dict[str, JsonValue]]] = []

    async def keep(self, approval: Approval, facts: Mapping[str, JsonValue]) -> None:
        body = {**facts, "approval_id": str(approval.approval_id), "digest": approval.digest}
        if (approval.run_id, body) not in self.kept:
            self.kept.append((approval.run_id, body))


def _asked(run_id: str, conf: Mapping[str, JsonValue]) -> RequiredAction:
    subject, body = str(conf.get("subject", "")), str(conf.get("body", ""))
    return RequiredAction(run_id, subject, body, ("Approve", "Reject", "Answered elsewhere"), is_waiting=True)
