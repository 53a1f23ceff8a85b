"""The application: routes, errors, limits, and the OpenAPI document that clients are generated from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final  # Any: JSON

from fastapi import FastAPI

from tradeloop.api import access, problems
from tradeloop.api.guard import Guard
from tradeloop.api.router import SCHEMA
from tradeloop.api.routes import ROUTERS
from tradeloop.api.services import Services

PAGES: Final = "tradeloop.web"
"""Mounted where it is installed."""
DESCRIPTION: Final = (
    "Trigger workflows, follow runs, answer approvals. Credentials: `Authorization: Bearer` with an API key or a token "
    "of the issuer, or a browser's session with `X-CSRF-Token`. Every error is a problem (RFC 9457)."
)


def create_app(services: Services) -> FastAPI:
    """The application on these services; it neither opens nor closes the database."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with services.changes:
            yield

    app = Application(
        title="tradeloop",
        version=version("tradeloop"),
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
    )
    app.state.services = services
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    if find_spec(PAGES):
        app.include_router(import_module(PAGES).router(services))
    app.add_middleware(Guard, metrics=services.metrics, is_secure=services.cookies.is_secure)
    return app


class Application(FastAPI):
    """FastAPI, with a document that tells credentials, roles and problems."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document; made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _told(super().openapi())
        return self.openapi_schema


def _told(document: dict[str, Any]) -> dict[str, Any]:
    parts = document.setdefault("components", {})
    parts["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key (`tlk_…`), or a token of the issuer.",
        },
    }
    schemas = parts.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = dict(SCHEMA)
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for methods in document["paths"].values():
        for operation in methods.values():
            roles = access.ROLES.get(operation["operationId"])
            if roles is not None:
                operation["security"] = [{"bearer": []}]
                operation["x-roles"] = sorted(roles)
    return document
