"""Pages for every eye and hand: forced colours, less motion, text of twice the size; and a page left open for a day."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import CDPSession, Page, expect
from premises import Premises, needs
from visiting import Visit, pictured

from tradeloop.domain.approvals import Pattern

WIDTHS = (1440, 720)
MESSAGES, SWAPS = 1_000, 500
GROWTH = 1.3
CUT = """() => [...document.querySelectorAll('main *, .top *, .foot *')].filter((one) => {
  const style = getComputedStyle(one);
  if (!one.textContent.trim() || one.closest('.unseen, .scroll, svg, pre, details:not([open])')) return false;
  const hides = (overflow) => overflow === 'hidden' || overflow === 'clip';
  return (hides(style.overflowX) && one.scrollWidth > one.clientWidth + 1)
      || (hides(style.overflowY) && one.scrollHeight > one.clientHeight + 1);
}).map((one) => one.outerHTML.slice(0, 120))"""
BEYOND = """() => [...document.querySelectorAll('main *, .top *')].filter((one) => {
  if (one.closest('.unseen, .scroll, svg, details:not([open])') || !one.getClientRects().length) return false;
  return one.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
}).map((one) => one.outerHTML.slice(0, 120))"""
OVER = """() => [...document.querySelectorAll('.facts li')].filter((one) => {
  const places = [...one.children].map((part) => part.getBoundingClientRect()).filter((place) => place.width);
  return places.some((a, at) => places.slice(at + 1).some((b) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1))
    || [...one.querySelectorAll('span')].some((part) =>
      part.getBoundingClientRect().right > one.getBoundingClientRect().right + 1);
}).map((one) => one.textContent.slice(0, 120))"""
UNFRAMED = """() => [...document.querySelectorAll('.state, button:not(.plain), input, textarea, select')]
  .filter((one) => one.getClientRects().length && one.type !== 'checkbox')
  .filter((one) => getComputedStyle(one).borderTopStyle === 'none')
  .map((one) => one.outerHTML.slice(0, 120))"""
UNSEEN_TEXT = """() => [...document.querySelectorAll('svg text, .state, main p, main td, main a')]
  .filter((one) => one.getClientRects().length).filter((one) => {
    const [style, ground] = [getComputedStyle(one), getComputedStyle(document.documentElement).backgroundColor];
    return (one.closest('svg') ? style.fill : style.color) === ground;
  }).map((one) => one.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="session")
def addresses(premises: Premises) -> list[str]:
    """One page of each kind of layout."""
    asked = premises.ask(needs(Pattern.N_OF_M, tier=3, count=2))
    runs = premises.do(premises.services.days.recent(limit=50, with_unhandled=True))
    one = next(run for run in runs if run.decision and run.desk == "marketdata" and run.decision.findings)
    pages = ("/inbox", "/runs", "/decisions", "/desks", "/desks/marketdata", "/dead-letters", "/dead-letters/1")
    more = ("/switch", "/audit", "/audit/oversight", "/me", "/help", "/search?q=marketdata")
    own = (f"/approvals/{asked.approval_id}", f"/runs/{one.run_id}", f"/decisions/{one.decision_id}")
    return [*pages, *more, *own, f"/events/{one.event_id}", f"/trace/{one.event_id}", f"/runs/{one.run_id}/compare"]


async def test_text_of_twice_the_size_is_neither_cut_nor_scrolls_sideways(visit: Visit, addresses: list[str]) -> None:
    page = await visit.page("anna.k", "/help", bypass_csp=True)
    problems = []
    for url in addresses:
        await page.goto(url)
        await page.add_style_tag(content="html{font-size:200%}")
        for width in WIDTHS:
            await page.set_viewport_size({"width": width, "height": 900})
            if await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                problems.append(f"{url} at {width}: scrolls sideways: {(await page.evaluate(BEYOND))[:3]}")
            if cut := await page.evaluate(CUT):
                problems.append(f"{url} at {width}: cut: {cut[:3]}")
            if over := await page.evaluate(OVER):
                problems.append(f"{url} at {width}: over one another: {over[:3]}")
        if url.startswith("/approvals/"):
            await pictured(page, "approval-text-200")
    assert problems == [], "\n".join(problems)


async def test_forced_colours_keep_words_edges_and_drawings(visit: Visit, addresses: list[str]) -> None:
    page = await visit.page("anna.k", "/help", forced_colors="active")
    problems = []
    for url in addresses:
        for scheme in ("light", "dark"):
            await page.emulate_media(forced_colors="active", color_scheme=scheme)
            if scheme == "light":
                await page.goto(url)
            problems += [f"{url} {scheme}: no edge: {one}" for one in (await page.evaluate(UNFRAMED))[:2]]
            problems += [f"{url} {scheme}: not seen: {one}" for one in (await page.evaluate(UNSEEN_TEXT))[:2]]
            if url.startswith(("/approvals/", "/runs/")):
                await pictured(page, f"forced-{url.split('/')[1]}-{scheme}")
    assert problems == [], "\n".join(problems)


async def test_with_less_motion_nothing_moves(visit: Visit, addresses: list[str]) -> None:
    page = await visit.page("anna.k", "/help", reduced_motion="reduce")
    moving = (
        "[...document.querySelectorAll('*')].filter((one) => { const style = getComputedStyle(one);"
        " return style.animationName !== 'none' || style.transitionDuration.split(', ').some((time) => time !== '0s')"
        " || style.scrollBehavior === 'smooth'; }).map((one) => one.outerHTML.slice(0, 120))"
    )
    for url in ("/inbox", next(one for one in addresses if one.startswith("/approvals/")), "/switch"):
        await page.goto(url)
        await page.get_by_text("STOP", exact=True).click()
        assert await page.evaluate(moving) == [], url
        assert await page.evaluate("document.getAnimations().length") == 0, url


async def _weight(page: Page, session: CDPSession) -> dict[str, float]:
    """Of the page, after what nobody holds was let go."""
    for _ in range(2):
        await session.send("HeapProfiler.collectGarbage")
    told = await session.send("Performance.getMetrics")
    wanted = ("Nodes", "JSEventListeners", "JSHeapUsedSize", "Documents")
    return {one["name"]: one["value"] for one in told["metrics"] if one["name"] in wanted}


async def _swapped(page: Page, times: int) -> None:
    """The region fetched and put in place so often, as a long day of news does; the server is asked once."""
    await page.evaluate(
        """async (times) => {
          for (let at = 0; at < times; at += 1) {
            await new Promise((done) => {
              document.body.addEventListener('htmx:after:swap', done, { once: true });
              setTimeout(done, 1000);
              htmx.ajax('GET', location.pathname, { target: '#rows', swap: 'innerMorph', source: document.body });
            });
          }
        }""",
        times,
    )


async def test_a_page_that_is_left_open_through_hundreds_of_news_does_not_grow(
    visit: Visit, premises: Premises
) -> None:
    page = await visit.page("anna.k", "/runs")
    await expect(page.locator("#live-state")).to_contain_text("Live")
    answer = await page.request.get("/runs", headers={"HX-Request": "true"})
    body, rows = await answer.text(), await page.locator("#rows tbody tr").count()
    turns = 0

    async def answered(route: object) -> None:
        nonlocal turns
        turns += 1
        await route.fulfill(body=body.replace("</td>", f"<i>{turns}</i></td>", 50), content_type="text/html")  # type: ignore[attr-defined]

    await page.route(lambda url: url.endswith("/runs"), answered)
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    await _swapped(page, 100)
    before = await _weight(page, session)
    feed = premises.services.changes

    async def news() -> None:
        for number in range(MESSAGES):
            feed._tell({"runs": {str(number)}, "approvals": {str(number)}})
            await asyncio.sleep(0.003)

    telling = asyncio.to_thread(premises.do, news())
    await asyncio.gather(telling, _swapped(page, SWAPS))
    await expect(page.locator("#live-state")).to_contain_text("Live")
    after = await _weight(page, session)
    assert turns >= SWAPS
    assert await page.locator("#rows tbody tr").count() == rows
    grown = {name: after[name] / before[name] for name in before}
    print(f"after {turns:,} swaps and {MESSAGES:,} messages: {grown}, heap {after['JSHeapUsedSize']:,.0f} bytes")
    assert all(factor <= GROWTH for factor in grown.values()), (before, after)
