"""A router whose routes read bodies strictly and tell their problems in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final  # Any: fragments of an OpenAPI document

from fastapi import APIRouter

from tradeloop.api.bodies import StrictRoute
from tradeloop.api.problems import MEDIA_TYPE, Problem

PREFIX: Final = "/api/v1"
WHEN: Final = {
    400: "Not JSON, or JSON with two meanings.",
    401: "No valid key, token or session.",
    403: "The role does not allow it, or the request is forged.",
    404: "There is no such thing.",
    409: "It stands otherwise: answered, settled, changed.",
    412: "It was changed since: `If-Match` is old.",
    413: "The body is too large.",
    414: "The address is too long.",
    415: "The body is not JSON.",
    422: "A field does not fit.",
    428: "`If-Match` is missing.",
    429: "Too many requests; see `Retry-After`.",
    503: "A part does not answer; see `Retry-After`.",
}
READING: Final = (400, 401, 403, 414, 422, 429, 503)
WRITING: Final = (*READING, 409, 413, 415)


def new_router(tag: str) -> APIRouter:
    """A router for routes under /api/v1."""
    return APIRouter(prefix=PREFIX, tags=[tag], route_class=StrictRoute)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: these problems."""
    schema = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert MEDIA_TYPE in schema  # noqa: S101 - one spelling
    return {status: {"description": WHEN[status], "content": schema} for status in sorted(set(statuses))}


def reading(*more: int) -> dict[int | str, dict[str, Any]]:
    """The problems of a route that reads."""
    return problems(*READING, *more)


def writing(*more: int) -> dict[int | str, dict[str, Any]]:
    """The problems of a route that changes something."""
    return problems(*WRITING, *more)


SCHEMA: Final = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
