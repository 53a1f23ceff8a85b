"""One database for the tests of mi-24: each begins with it empty."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from uuid import uuid4

import psycopg
import pytest
from test_approvals import Desk

from tradeloop.store.approvals import PostgresApprovals
from tradeloop.store.database import Database
from tradeloop.store.effects import PostgresEffects
from tradeloop.store.inbox import PostgresInbox
from tradeloop.store.runs import PostgresRuns

EMPTY = "TRUNCATE approvals, approval_votes, reservations, work, effects, inbox, inbox_keys, runs"
OFFSETS = count(0, 1000)
"""No offset of the topic comes twice, or it would be a copy."""


@pytest.fixture(scope="session")
async def gate_database(template: dict[str, str]) -> AsyncIterator[Database]:
    """A migrated database for the session."""
    base, _, origin = template["database_url"].rpartition("/")
    name = f"mi24_{uuid4().hex[:12]}"
    with psycopg.connect(template["administrator_url"], autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{origin}" OWNER tradeloop'.encode())
    async with Database(f"{base}/{name}", size=6) as opened:
        yield opened
    with psycopg.connect(template["administrator_url"], autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture
async def gate_desk(gate_database: Database) -> Desk:
    """Runs, ledger and approvals of PostgreSQL, emptied."""
    await gate_database.rows(EMPTY)
    found = Desk(
        PostgresInbox(gate_database),
        PostgresRuns(gate_database),
        PostgresEffects(gate_database),
        PostgresApprovals(gate_database),
        uuid4(),
        next(OFFSETS),
    )
    await found.runs.enlist(found.owner, "test", 60)
    return found
