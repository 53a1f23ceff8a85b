"""The OpenAPI document."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import JSONResponse

from tradeloop.api.router import new_router, problems

router = new_router("document")


@router.get("/openapi.json", include_in_schema=False, responses=problems(400, 414))
async def openapi(request: Request) -> JSONResponse:
    """This document, for clients to be generated from."""
    return JSONResponse(request.app.openapi(), headers={"Cache-Control": "max-age=300"})
