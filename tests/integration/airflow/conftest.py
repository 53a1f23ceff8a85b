"""The stack's Airflow and inbox, as the tests of capture and of the way back use them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tradeloop.airflow.client import AirflowClient
from tradeloop.store.database import Database

if TYPE_CHECKING:
    from tradeloop.stack import Stack


@pytest.fixture
async def airflow(airflow_stack: Stack) -> AsyncIterator[AirflowClient]:
    async with AirflowClient.from_settings(airflow_stack.settings) as client:
        yield client


@pytest.fixture
async def inbox(airflow_stack: Stack) -> AsyncIterator[Database]:
    """The database of the stack's relay and worker."""
    async with Database(airflow_stack.settings.database_url, size=2) as database:
        yield database


@pytest.fixture
def instance(airflow_stack: Stack) -> str:
    return airflow_stack.settings.instance
