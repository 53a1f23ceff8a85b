"""First paint of the web page in a real Chromium: fresh contexts, nothing cached."""

from __future__ import annotations

import asyncio
import os
import shutil
from statistics import quantiles
from typing import Final

from tradeloop.bench.report import Leg

CONTEXTS: Final = 20
PAGES: Final = ("/inbox", "/runs", "/desks")
PAINT_MS: Final = 300.0
NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
READ: Final = "performance.getEntriesByType('paint').find(e => e.name === 'first-contentful-paint')?.startTime ?? null"


def measure_paint(leg: Leg, url: str, key: str, contexts: int = CONTEXTS) -> None:
    """Add the first contentful paint of three pages, each in so many fresh contexts of one browser, in milliseconds.

    A browser that is not there is told in a note: the page needs none to serve.
    """
    try:
        import playwright.async_api  # noqa: F401
    except ImportError:
        leg.notes.append("First paint: not measured, as Playwright is not installed.")
        return
    program = os.environ.get("TRADELOOP_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        leg.notes.append("First paint: not measured, as there is no Chromium; TRADELOOP_BROWSER names one.")
        return
    for page, times in asyncio.run(_paints(url, key, program, contexts)).items():
        p75 = quantiles(times, n=4)[2]
        leg.add(
            f"first paint of {page}",
            {"n": len(times), "p50_ms": round(quantiles(times, n=4)[1], 1), "p75_ms": round(p75, 1)},
        )
        leg.aim(
            f"first paint of {page} within {PAINT_MS:g} ms, p75 of {len(times)} fresh contexts", met=p75 <= PAINT_MS
        )


async def _paints(url: str, key: str, program: str, contexts: int) -> dict[str, list[float]]:
    from playwright.async_api import async_playwright

    found: dict[str, list[float]] = {page: [] for page in PAGES}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        first = await browser.new_context(base_url=url)
        tab = await first.new_page()
        await tab.goto("/login")
        await tab.get_by_label("API key").fill(key)
        await tab.get_by_role("button", name="Sign in").click()
        await tab.wait_for_url(lambda place: "/login" not in place)
        session = await first.storage_state()
        for page in PAGES:
            for _ in range(contexts):
                fresh = await browser.new_context(base_url=url, storage_state=session)
                tab = await fresh.new_page()
                await tab.goto(page, wait_until="load")
                paint = None
                while paint is None:
                    paint = await tab.evaluate(READ)
                found[page].append(float(paint))
                await fresh.close()
        await browser.close()
    return found
