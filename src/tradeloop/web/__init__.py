"""The web page: server-rendered, for people who have eight screens already; mounted by the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import APIRouter

    from tradeloop.api.services import Services


def router(services: Services) -> APIRouter:
    """Every page, on the API's services."""
    from tradeloop.web.pages import router as made

    return made(services)
