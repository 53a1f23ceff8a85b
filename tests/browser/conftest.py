"""A real Chromium on the real pages. `scripts/browser` finds or installs it."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from day_at_the_desks import CASES, decide
from playwright.async_api import Browser, async_playwright
from premises import Premises
from visiting import Visit

from tradeloop.settings import Settings
from tradeloop.workflow import load_workflows

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def premises(template: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Premises]:
    """One server and one database for all browser tests; each test makes questions of its own."""
    base, _, origin = template["database_url"].rpartition("/")
    name = f"pages_{uuid4().hex[:8]}"
    with psycopg.connect(template["administrator_url"], autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{origin}" OWNER tradeloop'.encode())
    url = f"{base}/{name}"
    settings = Settings(
        _env_file=None,
        database_url=url,
        api_rate=0,
        airflow_url="http://127.0.0.1:8080",
        reference_root=tmp_path_factory.mktemp("batches"),
    )
    found = Premises(url, settings)
    workflows = load_workflows()
    found.start(workflows)
    assert found.do(decide(url, workflows)) >= sum(CASES.values())
    yield found
    found.stop()
    with psycopg.connect(template["administrator_url"], autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program."""
    found = subprocess.run([ROOT / "scripts" / "browser"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


@pytest.fixture(scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One browser for the session; each test has contexts of its own."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield launched
        await launched.close()


@pytest.fixture
async def visit(browser: Browser, premises: Premises) -> AsyncIterator[Visit]:
    """Browsers of people; at the end nothing may have been asked of other hosts, and nothing broken the CSP."""
    found = Visit(browser, premises)
    yield found
    await found.close()
    assert found.foreign == []
    assert found.complaints == []
