"""Errors as people read them: what, where, what to do, a code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException

from tradeloop import errors
from tradeloop.api.problems import STATUSES, Refusal

TITLES: Final = {
    400: "That could not be read",
    401: "You are not signed in",
    403: "You may not do this",
    404: "There is no such thing",
    405: "That is not how this page is used",
    409: "Somebody was faster, or something changed",
    412: "The action changed",
    413: "That was too much",
    422: "Something is missing",
    429: "Too many requests",
    500: "This is a defect of tradeloop",
    503: "A part is down",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """One failure, for the page."""

    status: int
    code: str
    detail: str
    where: str = ""
    next: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    field: str = ""
    typed: str = ""
    """What the person had typed, so that it is not lost."""
    trace: str = ""

    @property
    def title(self) -> str:
        """What happened, in a few words."""
        return TITLES.get(self.status, HTTPStatus(self.status).phrase)

    @property
    def details(self) -> str:
        """All of it, for a ticket."""
        parts = (f"{self.status} {self.code}", self.detail, self.where, self.next, self.trace)
        return "\n".join(part for part in parts if part)


def trouble_of(problem: errors.TradeloopError | HTTPException) -> Trouble:
    """The failure that an error means; what it says of the machine is left to the log."""
    if isinstance(problem, Refusal):
        return Trouble(
            problem.status_code,
            problem.code,
            str(problem.detail),
            next=problem.hint,
            field=problem.field,
            headers=dict(problem.headers or {}),
        )
    if isinstance(problem, HTTPException):
        return Trouble(problem.status_code, "refused", str(problem.detail), headers=dict(problem.headers or {}))
    status, code = next((STATUSES[kind] for kind in type(problem).__mro__ if kind in STATUSES), (500, "defect"))
    if isinstance(problem, errors.AnswerStale):
        status = 412
    detail = problem.message
    if status == 503:
        detail = f"{_part(problem)} does not answer. Nothing was lost; try again in a moment."
    if status == 500:
        detail = "Its log tells more."
    return Trouble(
        status,
        code,
        detail,
        where=problem.where if status not in (401, 500, 503) else "",
        next=problem.hint if status < 500 else "tradeloop doctor",
        field=getattr(problem, "field", ""),
        headers={"Retry-After": "2"} if status == 503 else {},
    )


def _part(problem: errors.TradeloopError) -> str:
    names = {
        errors.DatabaseUnreachable: "PostgreSQL",
        errors.KafkaUnreachable: "Kafka",
        errors.AirflowUnreachable: "Airflow",
    }
    return next((name for kind, name in names.items() if isinstance(problem, kind)), "A part that this needs")
