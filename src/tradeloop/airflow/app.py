"""What is mounted in Airflow's API server: the fast lane's start and end, and a health page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any  # Any: what Airflow's plugin manager takes


def apps() -> list[dict[str, Any]]:
    """The app under /tradeloop."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_view
    from fastapi import Depends, FastAPI

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warmed = _warm()
        yield
        if warmed is not None:
            warmed.close()

    app = FastAPI(title="tradeloop", lifespan=lifespan)

    @app.get("/health", dependencies=[Depends(requires_access_view(AccessView.PLUGINS))])
    def health() -> dict[str, Any]:
        """Counters of this API server's fast lane."""
        from tradeloop.airflow.options import is_enabled, option
        from tradeloop.kafka import fastlane

        if not is_enabled():
            return {"fast_lane": "off"}
        lane = fastlane.lane(option("kafka_bootstrap"), option("trace_file"))
        return {
            "fast_lane": "on",
            "offered": lane.offered,
            "delivered": lane.delivered,
            "expired": lane.expired,
            "dropped": lane.dropped,
        }

    return [{"app": app, "url_prefix": "/tradeloop", "name": "tradeloop"}]


def _warm() -> Any:
    """Import, connect and exercise the path that the first event takes: it costs 10 to 45 ms cold."""
    from tradeloop.airflow import listener
    from tradeloop.airflow.options import is_enabled, option
    from tradeloop.kafka import fastlane

    if not is_enabled():
        return None
    lane = fastlane.lane(option("kafka_bootstrap"), option("trace_file"))
    lane.warm(option("events_topic", "workflow-events"))
    listener.rehearse()
    return lane
