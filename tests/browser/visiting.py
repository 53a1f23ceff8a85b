"""Browsers of people, and pictures for people."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, expect
from premises import Premises

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / ".pytest_cache" / "pages"
HOLDS_MS = 30_000
expect.set_options(timeout=HOLDS_MS)  # a busy machine is no reason to fail


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


async def pictured(page: Page, name: str, *, whole: bool = True) -> None:
    """A screenshot for people, kept beside the test's cache."""
    await asyncio.to_thread(PICTURES.mkdir, parents=True, exist_ok=True)
    await page.screenshot(
        path=PICTURES / f"{name}.png", full_page=whole, caret="initial"
    )  # hiding it would break the CSP
