"""Open pages stay true: sixteen windows of one browser, badges, new rows that wait, stops, a stream that was lost."""

from __future__ import annotations

import asyncio
import re

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect
from premises import BEN, Premises, needs
from visiting import Visit, pictured

WINDOWS = 16


async def test_sixteen_windows_of_one_browser_load_and_stay_live(visit: Visit, premises: Premises) -> None:
    asked = premises.ask()
    context = await visit.context("anna.k")
    pages = [await context.new_page() for _ in range(WINDOWS)]
    await asyncio.gather(*(page.goto(f"/approvals/{asked.approval_id}") for page in pages))
    for page in pages:
        await expect(page.locator("#live-state")).to_contain_text("Live", timeout=20_000)
    premises.until(lambda: premises.services.changes.count == 1)
    premises.answer(asked, BEN, "reject")
    for page in pages:
        await expect(page.locator("#h-answer")).to_contain_text("Rejected by ben.o", timeout=20_000)
    assert premises.services.changes.count == 1, "one stream a browser, however many windows"


async def test_badge_list_and_metric_are_one_number_and_new_rows_wait_behind_it(
    visit: Visit, premises: Premises
) -> None:
    old = premises.ask(needs(deadline_s=300))
    page = await visit.page("anna.k", "/inbox")
    await expect(page.locator("#live-state")).to_contain_text("Live")
    before = int(await page.locator("#count-inbox").inner_text())
    rows = page.locator("table.list tbody tr")
    assert await rows.count() == before
    assert (await page.title()).startswith(f"({before}) Inbox")
    premises.ask()
    await expect(page.locator("#news")).to_contain_text("1 new.", timeout=15_000)
    await expect(page.locator("#count-inbox")).to_have_text(str(before + 1))
    assert await rows.count() == before, "no row moves under the pointer"
    premises.answer(old, BEN, "reject")
    row = page.locator(f"#row-{str(old.approval_id)[:8]}")
    await expect(row).to_contain_text("rejected", timeout=15_000)
    await expect(row).to_contain_text("ben.o")
    await page.get_by_role("link", name="Show it").click()
    await expect(rows).to_have_count(before)


async def test_a_stop_is_two_clicks_and_a_reason_from_any_page_and_seen_on_every_other(
    visit: Visit, premises: Premises
) -> None:
    stopping, watching = await visit.page("olga.o", "/runs"), await visit.page("carl.v", "/desks")
    await expect(watching.locator("#live-state")).to_contain_text("Live")
    assert await watching.get_by_text("STOP", exact=True).count() == 0, "a viewer stops nothing"
    await stopping.get_by_text("STOP", exact=True).click()
    await stopping.locator("#stop-scope").select_option("settlement")
    await stopping.locator("#stop-reason").fill("bad statuses from the agent")
    await pictured(stopping, "stop-panel", whole=False)
    await stopping.get_by_role("button", name="Stop now").click()
    await expect(stopping.locator("main")).to_contain_text("no new effect since")
    await expect(watching.locator("#stopped")).to_contain_text("settlement stopped by olga.o", timeout=15_000)
    assert await stopping.get_by_role("button", name="Ask for the release").count() == 0, "an operator releases nothing"


async def test_two_people_release_a_stop_and_neither_alone(visit: Visit, premises: Premises) -> None:
    switches = premises.services.switches
    premises.do(switches.turn("desk:settlement", stopped=True, by="anna.k", reason="bad statuses from the agent"))
    boss, head = await visit.page("dora.a", "/switch", bypass_csp=True), await visit.page("ben.o", "/switch")
    watching = await visit.page("carl.v", "/desks")
    for page in (boss, head, watching):
        await expect(page.locator("#live-state")).to_contain_text("Live")
    await pictured(boss, "switch-stopped")
    asking = boss.locator("section", has_text="Ask for the release of settlement")
    await expect(asking).to_contain_text("Can confirm: anna.k, ben.o.")
    await asking.get_by_label("Why").fill("x")
    await boss.evaluate("document.querySelector('form[action=\"/switch/release\"]').noValidate = true")
    await boss.get_by_role("button", name="Ask for the release").click()
    await expect(boss.get_by_role("alert")).to_contain_text("3 to 300 characters")
    await expect(asking.get_by_label("Why")).to_have_value("x")
    await asking.get_by_label("Why").fill("the agent was mended")
    await boss.get_by_role("button", name="Ask for the release").click()
    await expect(boss.get_by_role("status").first).to_contain_text("another person was asked to release it")
    wish = boss.locator("section", has_text="Release of settlement: 1 of 2")
    await expect(wish).to_contain_text("You asked")
    await expect(wish).to_contain_text("Can confirm: anna.k, ben.o")
    assert await wish.get_by_role("button").count() == 0, "no dead button for the one who asked"
    for theme, width in (("light", 1440), ("dark", 320)):
        await boss.emulate_media(color_scheme=theme)
        await boss.set_viewport_size({"width": width, "height": 900})
        assert [one["id"] for one in (await Axe().run(boss)).response["violations"]] == []
        await pictured(boss, f"switch-asked-{theme}-{width}")
    await expect(watching.locator("#stopped")).to_contain_text("dora.a asks for its release", timeout=15_000)
    button = head.get_by_role("button", name="Release settlement")
    await expect(button).to_be_visible(timeout=15_000)
    await pictured(head, "switch-to-confirm")
    premises.do(switches.turn("desk:settlement", stopped=True, by="anna.k", reason="it came back"))
    await button.evaluate("one => one.form.submit()")
    await expect(head.get_by_role("alert")).to_contain_text("anna.k stopped or asked anew")
    head_asks = head.locator("section", has_text="Ask for the release of settlement")
    await head_asks.get_by_label("Why").fill("now it is mended")
    await head.get_by_role("button", name="Ask for the release").click()
    await expect(head.get_by_role("status").first).to_contain_text("another person was asked to release it")
    await boss.goto("/switch")
    await boss.get_by_role("button", name="Release settlement").click()
    await expect(boss.locator("main")).to_contain_text("Settlement released.")
    await expect(boss.locator("table").first).to_contain_text("ben.o and dora.a")
    await expect(watching.locator("#stopped")).to_be_empty(timeout=15_000)
    await boss.goto("/switch")
    for form, words in (
        ({"release": "rubbish"}, "no release has this id"),
        ({"desk": "settlement", "reason": "again"}, ""),
    ):
        token = await boss.locator("input[name=token]").first.get_attribute("value")
        url = "/switch/confirm" if "release" in form else "/switch/release"
        answer = await boss.request.post(url, form={"token": token or "", **form}, headers={"origin": premises.url})
        assert words in await answer.text()
        assert answer.status == (422 if words else 200)


async def test_a_lost_stream_says_so_in_words_and_blanks_nothing(visit: Visit, premises: Premises) -> None:
    page = await visit.page("anna.k", "/inbox")
    await expect(page.locator("#live-state")).to_contain_text("Live")
    premises.services.changes.end()
    await expect(page.locator("#live-state")).to_contain_text("Not live since", timeout=30_000)
    await expect(page.locator("h1")).to_have_text("Inbox")
    premises.services.changes._is_over = False
    await expect(page.locator("#live-state")).to_contain_text(re.compile("^Live"), timeout=30_000)
