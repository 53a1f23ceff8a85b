"""Every page in a real browser, in both themes and two widths: no finding of axe, no scrolling sideways, small."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page
from premises import BEN, Premises, needs
from visiting import Visit, pictured

from tradeloop.domain.approvals import Pattern

PAGE_BYTES = 60_000
ELEMENTS = 1_500
STATIC_BYTES = 120_000
REVIEWED = {
    "color-contrast": "text in drawings, whose background axe cannot tell: seen by a person, tokens of the style sheet",
    "aria-prohibited-attr": "names of definition lists, which readers may leave out",
}
"""What axe leaves to a person; anything else fails."""
COLOURS: dict[str, Any] = {"runOnly": ["color-contrast", "link-in-text-block"]}
"""Of all rules those that a theme can break."""


@pytest.fixture(scope="session")
def urls(premises: Premises) -> dict[str, str]:
    """Every page, with something in it, or empty where its name says so."""
    asked = premises.ask(needs(Pattern.N_OF_M, tier=3, count=2))
    closed = premises.ask()
    premises.answer(closed, BEN, "reject")
    runs = premises.do(premises.services.days.recent(limit=50, with_unhandled=True))
    one = next(run for run in runs if run.decision and run.desk == "marketdata" and run.decision.findings)
    other = next(run for run in runs if run.decision and run.desk == "marketdata" and run.run_id != one.run_id)
    approval = f"/approvals/{asked.approval_id}"
    return {
        "login": "/login",
        "inbox": "/inbox",
        "inbox-grouped": "/inbox?group=1",
        "inbox-empty": "/inbox?q=nothing-of-this-name",
        "approval": approval,
        "approval-closed": f"/approvals/{closed.approval_id}",
        "approval-opened": f"{approval}?opened=1",
        "change": f"{approval}/change",
        "runs": "/runs",
        "runs-empty": "/runs?state=failed&desk=limits",
        "run": f"/runs/{one.run_id}",
        "compare": f"/runs/{one.run_id}/compare",
        "compared": f"/runs/{one.run_id}/compare?with={other.run_id}",
        "trace": f"/trace/{one.event_id}",
        "run-waiting": f"/runs/{asked.run_id}",
        "decisions": "/decisions",
        "decision": f"/decisions/{one.decision_id}",
        "event": f"/events/{one.event_id}",
        "search": "/search?q=marketdata",
        "letters": "/dead-letters",
        "letter": "/dead-letters/1",
        "switch": "/switch",
        "desks": "/desks",
        "desk": "/desks/marketdata",
        "audit": "/audit",
        "oversight": "/audit/oversight",
        "me": "/me",
        "help": "/help",
        "nowhere": "/nowhere",
        "airflow": "/airflow/run?dag_id=load_marketdata&run_id=scheduled__2026-11-23",
        "frame": "/inbox?frame=1",
    }


async def test_every_page_is_accessible_small_and_fits(visit: Visit, urls: dict[str, str]) -> None:
    context = await visit.context("anna.k", bypass_csp=True, timezone_id="Europe/Berlin")
    pages = [await context.new_page() for _ in range(2)]
    wanted = list(urls.items())
    found = await asyncio.gather(*(_walked(page, wanted[at::2]) for at, page in enumerate(pages)))
    problems = [problem for part in found for problem in part]
    assert problems == [], "\n".join(problems)


async def test_the_files_of_all_pages_are_small_and_kept(
    visit: Visit, urls: dict[str, str], premises: Premises
) -> None:
    page = await visit.page("anna.k", urls["approval"])
    sizes = await page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.includes('/static/'))"
        ".map(e => [new URL(e.name).pathname, e.decodedBodySize])"
    )
    assert {name.rpartition("/")[2] for name, _ in sizes} >= {
        "app.css",
        "app.js",
        "htmx.min.js",
        "icons.svg",
        "live.js",
    }
    assert sum(size for _, size in sizes) <= STATIC_BYTES
    answer = await page.request.get("/static/app.css")
    assert "immutable" in answer.headers["cache-control"]
    paint = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(f"first paint {paint:.0f} ms, files {sum(size for _, size in sizes):,} bytes")


async def _walked(page: Page, wanted: list[tuple[str, str]]) -> list[str]:
    """Each page loaded once, seen in both themes and widths: every rule in each width, colours in each theme."""
    problems = []
    for name, url in wanted:
        await page.emulate_media(color_scheme="light")
        await page.set_viewport_size({"width": 1440, "height": 900})
        answer = await page.goto(url)
        assert answer is not None
        size, elements = len(await answer.body()), await page.evaluate("document.querySelectorAll('*').length")
        if answer.status != (404 if name == "nowhere" else 200) or size > PAGE_BYTES or elements > ELEMENTS:
            problems.append(f"{name}: {answer.status}, {size:,} bytes, {elements} elements")
        problems += await _seen(page, f"{name}-light-1440", {})
        await page.emulate_media(color_scheme="dark")
        problems += await _seen(page, f"{name}-dark-1440", COLOURS, pictures=False)
        await page.set_viewport_size({"width": 320, "height": 900})
        problems += await _seen(page, f"{name}-dark-320", {})
        await page.emulate_media(color_scheme="light")
        problems += await _seen(page, f"{name}-light-320", COLOURS, pictures=False)
    return problems


async def _seen(page: Page, name: str, options: dict[str, Any], *, pictures: bool = True) -> list[str]:
    problems = []
    if await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
        problems.append(f"{name}: scrolls sideways")
    results = (await Axe().run(page, options=options)).response
    problems += [f"{name}: {_told(one)}" for one in results["violations"]]
    problems += [f"{name}: {_told(one)}" for one in results["incomplete"] if one["id"] not in REVIEWED]
    if pictures:
        await pictured(page, name)
    return problems


def _told(one: dict[str, Any]) -> str:
    return f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:120] for node in one['nodes']][:3]}"
