"""Errors as problem+json (RFC 9457): a code, the field and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final  # Any: JSON, and what FastAPI says of a request

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from tradeloop import errors

log = structlog.get_logger()
MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2
"""What is away is asked again after this."""
STATUSES: Final[Mapping[type[errors.TradeloopError], tuple[int, str]]] = {
    errors.Unauthenticated: (401, "unauthenticated"),
    errors.Forbidden: (403, "forbidden"),
    errors.AnswerForbidden: (403, "answer_forbidden"),
    errors.NotFound: (404, "not_found"),
    errors.AnswerTooLate: (409, "answer_too_late"),
    errors.AnswerStale: (409, "answer_stale"),
    errors.AnswerInvalid: (422, "answer_invalid"),
    errors.AnswerRefused: (409, "answer_refused"),
    errors.Settled: (409, "settled"),
    errors.EffectSettled: (409, "settled"),
    errors.Ambiguous: (409, "ambiguous"),
    errors.UsageInvalid: (422, "invalid"),
    errors.WorkflowMissing: (422, "workflow_missing"),
    errors.ActionForbidden: (422, "action_forbidden"),
    errors.EventTooLarge: (413, "too_large"),
    errors.EventNotJson: (400, "not_json"),
    errors.EventInvalid: (422, "invalid"),
    errors.GateFull: (503, "gate_full"),
    errors.GateClosed: (503, "gate_closed"),
    errors.NotYet: (409, "not_sealed"),
    errors.ReleaseRefused: (409, "release_refused"),
    errors.SwitchedOff: (409, "switched_off"),
    errors.PartUnreachable: (503, "unreachable"),
    errors.SettingInvalid: (503, "setting_invalid"),
}
"""Status and code of each error; the nearest class counts, and what is not here is a defect of ours."""


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    model_config = ConfigDict(extra="forbid")
    field: str
    """As a path: `body.data`, `query.limit`, `header.if-match`."""
    detail: str


class Problem(BaseModel):
    """What went wrong, for programs and people (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")
    type: str = Field(examples=["urn:tradeloop:problem:not_found"])
    title: str
    status: int
    detail: str
    code: str
    """One word for programs; see docs/api.md."""
    field: str | None = None
    """The field that is wrong, where one is."""
    allowed: list[str] | None = None
    """What is allowed instead, where that is a list."""
    hint: str | None = None
    errors: list[FieldProblem] | None = None
    """Every field that is wrong."""


class Refusal(HTTPException):
    """A request that the API itself turns down."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str = "",
        allowed: list[str] | None = None,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.code = code
        self.field = field
        self.allowed = allowed
        self.hint = hint


def response(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> JSONResponse:
    """A problem as a response."""
    body = {
        "type": f"urn:tradeloop:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    } | {name: value for name, value in members.items() if value}
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def of_error(problem: errors.TradeloopError) -> JSONResponse:
    """The response for an error of ours."""
    known = next((kind for kind in type(problem).__mro__ if kind in STATUSES), None)
    if known is None:
        return defect(problem)
    status, code = STATUSES[known]
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="tradeloop"'
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    told = (
        problem.message if not isinstance(problem, errors.PartUnreachable | errors.SettingInvalid) else _away(problem)
    )
    return response(
        status, code, told, headers=headers, hint=problem.hint, field=getattr(problem, "field", ""),
    )  # fmt: skip


def of_http(problem: HTTPException) -> JSONResponse:
    """The response for what Starlette or the API itself turned down."""
    if isinstance(problem, Refusal):
        return response(
            problem.status_code,
            problem.code,
            problem.detail,
            headers=problem.headers,
            field=problem.field,
            allowed=problem.allowed,
            hint=problem.hint,
        )
    status = problem.status_code
    codes = {400: "not_json", 404: "no_such_route", 405: "method_not_allowed"}
    said = {404: "there is no such route.", 405: "this route does not take the method."}
    return response(
        status, codes.get(status, "refused"), said.get(status, str(problem.detail)), headers=problem.headers
    )


def of_validation(problem: RequestValidationError) -> JSONResponse:
    """The response for a request whose fields do not fit."""
    found = [
        FieldProblem(field=".".join(f"{step!s:.80}" for step in one["loc"][:8]), detail=_said(one["msg"]))
        for one in problem.errors()[:20]
    ]
    if any(one["type"] == "json_invalid" for one in problem.errors()):
        return response(400, "not_json", f"the body is no JSON: {found[0].detail}.", field="body")
    first = found[0] if found else FieldProblem(field="", detail="the request does not fit")
    allowed = _allowed(problem.errors()[0]) if found else None
    return response(
        422,
        "invalid",
        f"{first.field}: {first.detail}.",
        field=first.field,
        allowed=allowed,
        errors=[one.model_dump() for one in found],
    )


def defect(problem: BaseException) -> JSONResponse:
    """The response for a defect of ours: its kind is in the log, and not here."""
    log.error("request_failed", error_class=type(problem).__name__, exc_info=problem)
    return response(500, "defect", "this is a defect of tradeloop; its log tells more.")


def install(app: FastAPI) -> None:
    """Let every error of the app be told so."""

    async def ours(_: Request, problem: Exception) -> JSONResponse:
        assert isinstance(problem, errors.TradeloopError)  # noqa: S101 - registered for these
        return of_error(problem)

    async def http(_: Request, problem: Exception) -> JSONResponse:
        assert isinstance(problem, HTTPException)  # noqa: S101
        return of_http(problem)

    async def validation(_: Request, problem: Exception) -> JSONResponse:
        assert isinstance(problem, RequestValidationError)  # noqa: S101
        return of_validation(problem)

    app.add_exception_handler(errors.TradeloopError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, validation)


def _away(problem: errors.TradeloopError) -> str:
    log.warning("part_unreachable", error_class=type(problem).__name__, error=problem.message)
    if isinstance(problem, errors.SettingInvalid):
        return "the database or a setting is not as this release expects; the log tells more."
    return "a part that this needs does not answer; nothing was lost, try again."


def _said(text: str) -> str:
    words = text.removeprefix("Value error, ")
    return f"{words[:1].lower()}{words[1:]}"[:500]


def _allowed(one: Mapping[str, Any]) -> list[str] | None:
    expected = (one.get("ctx") or {}).get("expected")
    if one.get("type") not in ("enum", "literal_error") or not isinstance(expected, str):
        return None
    return [word.strip().strip("'") for word in expected.replace(" or ", ", ").split(",")]
