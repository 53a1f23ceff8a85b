"""A real Chromium on the real pages. `scripts/browser` finds or installs it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from day_at_the_desks import CASES, decide
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from premises import Premises

from tradeloop.settings import Settings
from tradeloop.workflow import load_workflows

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / ".pytest_cache" / "pages"
HOLDS_MS = 30_000
Opener = Callable[..., Awaitable[Page]]


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


class Visit:
    """Contexts of browsers in which somebody is signed in; closed with the test. Breaches of the CSP fail it."""

    def __init__(self, browser: Browser, premises: Premises) -> None:
        self._browser = browser
        self._premises = premises
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self.foreign: list[str] = []

    async def context(self, who: str = "", **options: Any) -> BrowserContext:
        """A browser of a person's own."""
        made = await self._browser.new_context(base_url=self._premises.url, **options)
        self._contexts.append(made)
        made.set_default_timeout(HOLDS_MS)
        made.on("console", self._heard)
        made.on("weberror", lambda error: self.complaints.append(str(error.error)))
        made.on("request", self._asked)
        if who:
            page = await made.new_page()
            await page.goto("/login")
            await page.get_by_label("API key").fill(self._premises.keys[who])
            await page.get_by_role("button", name="Sign in").click()
            await page.wait_for_url(lambda url: "/login" not in url)
            await page.close()
        return made

    async def page(self, who: str, url: str, **options: Any) -> Page:
        """A page in a new browser of that person."""
        context = await self.context(who, **options)
        page = await context.new_page()
        await page.goto(url)
        return page

    async def close(self) -> None:
        for one in self._contexts:
            await one.close()

    def _heard(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self._premises.url, "data:", "blob:")):
            self.foreign.append(request.url)


@pytest.fixture
async def visit(browser: Browser, premises: Premises) -> AsyncIterator[Visit]:
    """Browsers of people; at the end nothing may have been asked of other hosts, and nothing broken the CSP."""
    found = Visit(browser, premises)
    yield found
    await found.close()
    assert found.foreign == []
    assert found.complaints == []


async def pictured(page: Page, name: str, *, whole: bool = True) -> None:
    """A screenshot for people, kept beside the test's cache."""
    await asyncio.to_thread(PICTURES.mkdir, parents=True, exist_ok=True)
    await page.screenshot(
        path=PICTURES / f"{name}.png", full_page=whole, caret="initial"
    )  # hiding it would break the CSP
