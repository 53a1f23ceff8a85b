"""One application for all tests of the API; each leaves rows that do not disturb the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import psycopg
import pytest
from api_house import AUDIENCE, DESK, EVENT_TYPE, ISSUER, PEOPLE, House, Issuer, workflow

from tradeloop.api.app import create_app
from tradeloop.api.services import services
from tradeloop.domain.people import Delegation, Role
from tradeloop.settings import Settings
from tradeloop.store.database import Database

assert DESK  # re-exported for tests


@pytest.fixture(scope="session")
def api_database_url(template: dict[str, str]) -> str:
    """A database for the session: its server ends with it."""
    base, _, origin = template["database_url"].rpartition("/")
    name = f"api_{uuid4().hex[:12]}"
    with psycopg.connect(template["administrator_url"], autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{origin}" OWNER tradeloop'.encode())
    return f"{base}/{name}"


@pytest.fixture(scope="session")
async def house(api_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    issuer = Issuer(tmp_path_factory.mktemp("issuer"))
    settings = Settings(
        database_url=api_database_url,
        instance="tests",
        api_rate=0,
        oidc_issuer=ISSUER,
        oidc_audience=AUDIENCE,
        oidc_jwks_file=issuer.file,
        _env_file=None,
    )
    async with Database(api_database_url, size=4) as database:
        parts = services(settings, database, {EVENT_TYPE: workflow()})
        app = create_app(parts)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with parts.changes, httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            built = House(app, parts, client, issuer)
            for name, (kind, role, delegations) in PEOPLE.items():
                await built.add(name, role, kind=kind, delegations=delegations)
            await built.add("ben.o", Role.APPROVER, Role.VIEWER, delegations=(Delegation(),))
            yield built
