"""First paint of the web page in a real Chromium: fresh contexts, nothing cached."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Final

from tradeloop.bench.report import Leg

CONTEXTS: Final = 20
PAGES: Final = ("/inbox", "/runs", "/desks")
PAINT_MS: Final = 300.0
NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ANSWER_MS: Final = 50.0
PAGE_BYTES: Final = 60_000
STATIC_BYTES: Final = 120_000
READ: Final = """(() => {
  const paint = performance.getEntriesByType('paint').find(e => e.name === 'first-contentful-paint');
  const page = performance.getEntriesByType('navigation')[0];
  const files = performance.getEntriesByType('resource').filter(e => e.name.includes('/static/'));
  return paint ? [paint.startTime, page.responseEnd - page.requestStart, page.decodedBodySize,
                  files.reduce((sum, file) => sum + file.decodedBodySize, 0)] : null;
})()"""


@dataclass(frozen=True, slots=True)
class Load:
    """One load of a page in a fresh context."""

    paint_ms: float
    answer_ms: float
    """From the request to the last byte of the page itself, as the browser sees it."""
    page_bytes: int
    static_bytes: int


def measure_paint(leg: Leg, url: str, key: str, contexts: int = CONTEXTS) -> None:
    """Add first contentful paint, answer and weight of three pages, each in so many fresh contexts of one browser.

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
    for page, loads in asyncio.run(_paints(url, key, program, contexts)).items():
        _tell(leg, page, loads)


def _tell(leg: Leg, page: str, loads: Sequence[Load]) -> None:
    paints, answers = [one.paint_ms for one in loads], [one.answer_ms for one in loads]
    p75, p95 = quantiles(paints, n=4)[2], quantiles(answers, n=20, method="inclusive")[18]
    pages, files = max(one.page_bytes for one in loads), max(one.static_bytes for one in loads)
    leg.add(
        f"first paint of {page}",
        {"n": len(loads), "p50_ms": round(quantiles(paints, n=4)[1], 1), "p75_ms": round(p75, 1)},
    )
    leg.aim(f"first paint of {page} within {PAINT_MS:g} ms, p75 of {len(loads)} fresh contexts", met=p75 <= PAINT_MS)
    leg.add(
        f"answer of {page}", {"n": len(loads), "p50_ms": round(quantiles(answers, n=4)[1], 1), "p95_ms": round(p95, 1)}
    )
    leg.aim(f"answer of {page} within {ANSWER_MS:g} ms p95", met=p95 <= ANSWER_MS)
    leg.add(f"weight of {page}", {"page_bytes": pages, "static_bytes": files})
    leg.aim(
        f"weight of {page}, {PAGE_BYTES:,} and {STATIC_BYTES:,} bytes",
        met=pages <= PAGE_BYTES and files <= STATIC_BYTES,
    )


async def _paints(url: str, key: str, program: str, contexts: int) -> dict[str, list[Load]]:
    from playwright.async_api import async_playwright

    found: dict[str, list[Load]] = {page: [] for page in PAGES}
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
                told = None
                while told is None:
                    told = await tab.evaluate(READ)
                found[page].append(Load(float(told[0]), float(told[1]), int(told[2]), int(told[3])))
                await fresh.close()
        await browser.close()
    return found
