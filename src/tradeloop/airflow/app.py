"""What is mounted in Airflow's API server: the fast lane's start and end, and a health page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any  # Any: what Airflow's plugin manager takes


@cache
def apps() -> list[dict[str, Any]]:
    """The app under /tradeloop. Airflow gives it no authentication of its own."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_view
    from fastapi import Depends, FastAPI

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        from tradeloop.airflow.listener import warm

        lane = await asyncio.to_thread(warm)
        yield
        if lane is not None:
            await asyncio.to_thread(lane.close)

    app = FastAPI(title="tradeloop", lifespan=lifespan)

    @app.get("/health", dependencies=[Depends(requires_access_view(AccessView.PLUGINS))])
    def health() -> dict[str, Any]:
        """Counters of this API server's fast lane."""
        from tradeloop.airflow.options import is_enabled, option
        from tradeloop.kafka import fastlane

        if not is_enabled():
            return {"fast_lane": "off"}
        return {"fast_lane": "on", **fastlane.lane(option("kafka_bootstrap"), option("trace_file")).counters()}

    return [{"app": app, "url_prefix": "/tradeloop", "name": "tradeloop"}]
