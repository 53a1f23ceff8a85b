"""Bodies that have one meaning: an object, no key twice, no NaN, not too deep, nothing that no database stores."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any  # Any: JSON

from fastapi import Request, Response
from fastapi.routing import APIRoute

from tradeloop.api.access import admitted
from tradeloop.api.problems import Refusal
from tradeloop.domain.events import decode_object
from tradeloop.errors import EventNotJson


class StrictRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """The body as an object.

        Raises:
            Refusal: 400, it is no JSON object, or one with two meanings.
        """
        if not hasattr(self, "_json"):
            try:
                self._json = decode_object(await self.body())
            except EventNotJson as problem:
                raise Refusal(400, "not_json", f"{problem.message}.", field="body") from problem
        return self._json


class StrictRoute(APIRoute):
    """A route that asks who calls before it reads a byte, reads its body so, and takes JSON alone."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler with the strict request in front."""
        handler = super().get_route_handler()
        has_body = self.body_field is not None

        async def strict(request: Request) -> Response:
            await admitted(request)
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if has_body and kind != "application/json":
                raise Refusal(
                    415, "media_type", "a body of JSON is expected.", field="Content-Type", allowed=["application/json"]
                )
            return await handler(StrictRequest(request.scope, request.receive))

        return strict
