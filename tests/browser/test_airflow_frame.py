"""tradeloop's page inside a real Airflow's own: in its menu and on a DAG run, signed in as a person, read-only."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from playwright.async_api import Browser, BrowserContext, FrameLocator, Page, expect
from premises import ACTION, CONTEXT, Premises, needs
from visiting import pictured

from tradeloop.airflow.client import AirflowClient
from tradeloop.api.services import services
from tradeloop.domain.approvals import Approval
from tradeloop.stack.airflow_home import passwords_file
from tradeloop.stack.people import folder_of
from tradeloop.store.database import Database
from tradeloop.store.runs import PostgresRuns

if TYPE_CHECKING:
    from tradeloop.stack import Stack

DAG = "edge_target"
SLOW_MS = 120_000
"""Airflow's page is 11 MB of script, and beside other tests its server has half a core."""
WATCHED = "for (const name of ['confirm', 'open', 'alert', 'prompt']) window[name] = () => { window.asked = name; };"


@pytest.fixture
async def framed(airflow_stack: Stack) -> AsyncIterator[tuple[Approval, str]]:
    """A question that waits, of an event of a DAG run that Airflow has; and that run's id."""
    run_id = f"framed-{uuid4().hex[:8]}"
    async with AirflowClient.from_settings(airflow_stack.settings) as airflow:
        async with asyncio.timeout(60):
            while await airflow.dag_problem(DAG):
                await asyncio.sleep(0.2)
        await airflow.trigger_dag(DAG, run_id, {})
    async with Database(airflow_stack.settings.database_url, size=3) as database:
        parts = services(airflow_stack.settings, database, {})
        house = Premises(airflow_stack.settings.database_url, airflow_stack.settings, _services=parts)
        house._offset = uuid4().int % 1_000_000_000
        await PostgresRuns(database, "").enlist(house._owner, "test", 3600)
        yield await house._ask(needs(), f"framed/{run_id}", "framed", ACTION, CONTEXT, "", (DAG, run_id)), run_id


@pytest.fixture
async def anna(airflow_stack: Stack, browser: Browser) -> AsyncIterator[BrowserContext]:
    """anna.k's browser, signed in to Airflow; not yet to tradeloop."""
    made = await browser.new_context(viewport={"width": 1400, "height": 900})
    made.set_default_timeout(SLOW_MS)
    await made.add_init_script(WATCHED)
    page = await made.new_page()
    await page.goto(f"{airflow_stack.settings.airflow_url}/auth/login")
    passwords = json.loads(await asyncio.to_thread(passwords_file(airflow_stack.home).read_text))
    await page.locator("input[name=username]").fill("anna.k")
    await page.locator("input[name=password]").fill(passwords["anna.k"])
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(lambda url: "/auth/login" not in url)
    await page.close()
    yield made
    await made.close()


async def _sign_in(stack: Stack, context: BrowserContext) -> None:
    """To tradeloop, in a window of its own."""
    page = await context.new_page()
    await page.goto(f"{stack.settings.api_url}/login")
    key = await asyncio.to_thread((folder_of(stack.home.root) / "anna.k.key").read_text)
    await page.get_by_label("API key").fill(key.strip())
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(lambda url: "/login" not in url)
    await page.close()


async def _sends_nothing(page: Page, frame: FrameLocator) -> None:
    """No control to answer with, no bar, no word through a window that the sandbox would swallow."""
    for selector in ("form[method=post]", ".top", "#answer", "#stop", "a[target]", "main input:not([type=hidden])"):
        await expect(frame.locator(selector)).to_have_count(0)
    (inner,) = [one for one in page.frames if "frame=1" in one.url]
    assert await inner.evaluate("window.asked || ''") == ""


async def test_airflows_own_page_shows_ours_and_answers_nothing(
    airflow_stack: Stack, anna: BrowserContext, framed: tuple[Approval, str]
) -> None:
    question, run_id = framed
    home = airflow_stack.settings.airflow_url
    complaints: list[str] = []
    anna.on("console", lambda said: complaints.append(said.text) if "Refused to" in said.text else None)
    page = await anna.new_page()
    await page.goto(f"{home}/plugin/tradeloop")
    frame = page.frame_locator("iframe")
    sign_in = "Open tradeloop in its own window to sign in"
    await expect(frame.locator("main")).to_contain_text(sign_in, timeout=SLOW_MS)
    await frame.get_by_role("button", name="copy").click()
    await expect(frame.get_by_role("status")).to_have_text(re.compile("copied|selected"))
    await expect(frame.locator("input")).to_have_count(0)

    await _sign_in(airflow_stack, anna)
    await page.goto(home)
    await page.get_by_text("Browse", exact=True).first.click()
    await page.get_by_role("menuitem", name="tradeloop").click()
    await expect(page.locator("iframe")).to_have_attribute(
        "sandbox", "allow-scripts allow-same-origin allow-forms allow-downloads"
    )
    await expect(frame.locator("h1")).to_have_text("Inbox", timeout=SLOW_MS)
    await _sends_nothing(page, frame)
    await pictured(page, "in-airflow-menu", whole=False)
    await frame.locator(f"#row-{str(question.approval_id)[:8]} a").first.click()
    await expect(frame.locator("#h-evidence")).to_be_visible()
    await expect(frame.locator("#proposal")).to_contain_text("opening is recorded")
    await expect(frame.locator("main")).to_contain_text(f"own window: {airflow_stack.settings.api_url}/approvals/")
    await _sends_nothing(page, frame)
    await pictured(page, "in-airflow-question", whole=False)

    await page.goto(f"{home}/dags/{DAG}/runs/{run_id}")
    await page.locator(f"a[href$='/runs/{run_id}/plugin/tradeloop-run']").click()
    await expect(frame.locator("main")).to_contain_text("Waits for an approver", timeout=SLOW_MS)
    await expect(frame.locator("main")).to_contain_text(f"framed/{run_id}")
    await _sends_nothing(page, frame)
    await pictured(page, "in-airflow-run", whole=False)
    for theme, ground in (("dark", "rgb(15, 19, 24)"), ("light", "rgb(255, 255, 255)")):
        await page.emulate_media(color_scheme=theme)
        await page.evaluate(f"localStorage.setItem('theme', '{theme}')")
        await page.reload()
        await expect(frame.locator("main")).to_contain_text("Waits for an approver", timeout=SLOW_MS)
        assert await frame.locator("html").evaluate("one => getComputedStyle(one).backgroundColor") == ground
        await pictured(page, f"in-airflow-run-{theme}", whole=False)
    assert complaints == []
