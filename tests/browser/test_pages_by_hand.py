"""The other pages, used: search, dead letters, filters, files to take away, preferences, errors, roles, the frame."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

import pytest
from playwright.async_api import Locator, Page, expect
from premises import PEOPLE, Premises
from visiting import Visit

from tradeloop.api.app import create_app
from tradeloop.web import roles
from tradeloop.web.verifying import Verifying


async def test_a_symbol_an_id_and_a_dag_run_are_found_and_one_hit_opens_at_once(
    visit: Visit, premises: Premises
) -> None:
    asked, _ = premises.ask(subject="XOM/2009-05"), premises.ask()
    page = await visit.page("anna.k", "/runs")
    await page.keyboard.press("/")
    await page.keyboard.type(str(asked.run_id))
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(f"/runs/{asked.run_id}$"))
    await expect(page.locator("main")).to_contain_text("Waits for an approver, deadline")
    for words in ("XOM/2009-05", asked.digest[:10], "load_marketdata/scheduled__2026-11-23"):
        await page.goto(f"/search?q={words}")
        assert await page.locator("table.list tbody tr").count() >= 1, words


async def test_a_dead_letter_is_tried_put_back_or_given_up_with_a_reason(visit: Visit, premises: Premises) -> None:
    page = await visit.page("anna.k", "/dead-letters")
    await page.locator("table.list a").first.click()
    await expect(page.locator("main")).to_contain_text("no uuid")
    await page.get_by_role("button", name="Dry run").click()
    await expect(page.locator("main")).to_contain_text("With today's code 0 of 1 would pass. Nothing was changed.")
    await page.go_back()
    await page.get_by_role("button", name="Replay").click()
    await expect(page.locator("main")).to_contain_text("would not pass")
    await page.goto("/dead-letters/1")
    await page.get_by_text("Discard…").click()
    await page.get_by_label("Reason").fill("short")
    await page.evaluate("document.querySelector('form[action$=discard]').noValidate = true")
    await page.get_by_role("button", name="Discard").click()
    await expect(page.get_by_role("alert")).to_contain_text("10 to 500 characters")
    await expect(page.get_by_label("Reason")).to_have_value("short")
    viewer = await visit.page("carl.v", "/dead-letters/1")
    await expect(viewer.locator("main")).to_contain_text("need the role operator")
    assert "no uuid" not in await viewer.locator("#h-bytes + *").inner_text()


async def test_a_run_tells_its_graph_its_road_its_facts_and_its_records(visit: Visit, premises: Premises) -> None:
    runs = premises.do(premises.services.days.recent(limit=50))
    one = next(run for run in runs if run.decision and run.desk == "marketdata" and run.decision.findings)
    page = await visit.page("carl.v", f"/runs/{one.run_id}")
    assert await page.locator("svg .node.taken").count() == 5
    assert await page.locator("svg .node.untaken").count() == 2
    await page.get_by_text("Steps as a table").click()
    await expect(page.locator("table", has_text="guard")).to_contain_text("act")
    await expect(page.locator("svg#none, .drawing svg").last).to_be_visible()
    await expect(page.locator("main")).to_contain_text("run_done")
    parked = premises.ask()
    await page.goto(f"/runs/{parked.run_id}")
    await expect(page.get_by_role("link", name=re.compile("^Answer"))).to_have_attribute(
        "href", f"/approvals/{parked.approval_id}"
    )


def _line(page: Page, name: str) -> Locator:
    return page.locator("tr", has=page.get_by_role("rowheader", name=name, exact=True))


async def test_two_runs_stand_side_by_side_and_what_differs_is_said(visit: Visit, premises: Premises) -> None:
    runs = [run for run in premises.do(premises.services.days.recent(limit=50)) if run.desk == "marketdata"]
    one = next(run for run in runs if run.decision and run.decision.findings)
    other = next(run for run in runs if run.decision and run.decision.outcome != one.decision.outcome)
    page = await visit.page("carl.v", f"/runs/{one.run_id}")
    await page.get_by_role("link", name="Compare with another run").click()
    await expect(page.locator("main")).to_contain_text("No other run has this subject")
    await page.get_by_label("with the run, event or decision").fill(str(other.decision_id)[:13])
    await page.get_by_role("button", name="Compare").click()
    row = _line(page, "outcome")
    await expect(row).to_contain_text(one.decision.outcome)
    await expect(row).to_contain_text(other.decision.outcome)
    await expect(row).to_contain_text("differs")
    await expect(_line(page, "policy")).to_contain_text("same")
    await page.get_by_role("link", name="The other way round").click()
    await expect(page).to_have_url(re.compile(f"/runs/{other.run_id}/compare"))
    answer = await page.goto(f"/runs/{one.run_id}/compare?with=ffffffff-ffff")
    assert answer is not None
    assert answer.status == 404
    alike = [premises.ask(subject=f"twice/seen{end}") for end in ("", "/again")]
    await page.goto(f"/runs/{alike[0].run_id}/compare")
    await page.locator(f"main ul a[href$='{alike[1].run_id}']").click()
    await expect(_line(page, "subject")).to_contain_text("differs")


async def test_a_trace_leads_from_the_task_to_the_dag_run(visit: Visit, premises: Premises) -> None:
    runs = premises.do(premises.services.days.recent(limit=50))
    one = next(run for run in runs if run.effect.get("state") == "executed")
    page = await visit.page("carl.v", f"/runs/{one.run_id}")
    await page.locator("a[href^='/trace/']").first.click()
    await expect(page.locator("h1")).to_contain_text("Trace")
    row = page.locator("table.list tbody tr")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text(f"load_{one.desk}/scheduled__2026-11-23/publish")
    await expect(row).to_contain_text(f"{one.topic}[{one.partition}]@{one.offset}")
    await expect(page.locator(".drawing svg").first).to_be_visible()
    await page.goto(f"/trace/{one.event_id}")
    await expect(row).to_contain_text(one.subject[:40])
    for url, words in (
        ("/trace/11111111-1111-4111-8111-111111111111", "no event of the last 30 days"),
        ("/trace/x", "no page"),
    ):
        answer = await page.goto(url)
        assert answer is not None
        assert answer.status == 404
        await expect(page.locator("main")).to_contain_text(words)


async def test_the_audit_is_verified_at_a_click_and_says_when_it_is_not_whole(visit: Visit, premises: Premises) -> None:
    page = await visit.page("carl.v", "/audit")
    await page.get_by_role("button", name="Verify now").click()
    told = page.get_by_role("status").filter(has_text=re.compile("erif"))
    await expect(told).to_contain_text("every seal and every record is whole", timeout=90_000)
    await page.get_by_role("button", name="Verify now").click()
    await expect(told).to_contain_text("every seal and every record is whole")
    verifier = premises.app.state.front.verifier
    first = verifier.last
    for code, trouble, words in ((6, "", "NOT whole"), (7, "no connection", "could not be verified")):
        verifier.last = Verifying("carl.v", datetime.now(UTC), datetime.now(UTC), code, trouble)
        await page.reload()
        await expect(told).to_contain_text(words)
    verifier.last = first


async def test_every_filter_is_in_the_address_and_decisions_can_be_taken_away(visit: Visit, premises: Premises) -> None:
    page = await visit.page("carl.v", "/decisions")
    await page.get_by_label("Desk").select_option("marketdata")
    await page.get_by_role("button", name="Show").click()
    assert "desk=marketdata" in page.url
    rows = await page.locator("table.list tbody tr").count()
    answer = await page.request.get("/decisions?desk=marketdata&format=csv")
    lines = (await answer.text()).strip().split("\r\n")
    assert len(lines) == rows + 1
    assert lines[0].startswith("decision_id,decided_at,desk")
    await page.goto("/runs?state=failed&desk=limits&subject=none")
    await expect(page.locator("main")).to_contain_text("No run matches state=failed and desk=limits and subject=none.")
    await page.get_by_role("link", name="Clear filters").click()
    assert page.url.endswith("/runs")


async def test_what_a_person_chose_is_kept_and_seen(visit: Visit, premises: Premises) -> None:
    page = await visit.page("carl.v", "/me", timezone_id="Europe/Berlin")
    await page.reload()
    await expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    await page.get_by_label("Time zone").fill("Asia/Tokyo")
    await page.get_by_label("Theme").select_option("dark")
    await page.locator("select[name=density]").select_option("comfortable")
    await page.get_by_role("button", name="Keep").click()
    await page.goto("/runs")
    await expect(page.locator("main")).to_contain_text("times in Asia/Tokyo")
    assert await page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(15, 19, 24)"
    await page.goto("/me")
    await page.get_by_role("button", name="Sign out").click()
    await page.goto("/runs")
    await expect(page).to_have_url(re.compile("/login"))


async def test_every_error_is_a_page_in_words(visit: Visit, premises: Premises) -> None:
    page = await visit.page("carl.v", "/runs")
    for url, status, words in (
        ("/approvals/11111111-1111-4111-8111-111111111111", 404, "there is no approval"),
        ("/approvals/nope", 404, "no page has the address"),
        ("/runs/zz", 404, "hexadecimal digits are expected"),
        ("/desks/none", 404, "there is no desk"),
        ("/desks/marketdata?date=soon", 422, "is no day"),
        ("/nowhere/at/all", 404, "no page has the address"),
        ("/dead-letters/1/raw", 403, "lacks the role for this; it takes one of: operator"),
    ):
        answer = await page.goto(url)
        assert answer is not None
        assert answer.status == status, url
        await expect(page.locator("main")).to_contain_text(words)
        await expect(page.get_by_role("link", name="Start page")).to_be_visible()


async def test_signing_in_leads_back_and_never_to_another_site(visit: Visit, premises: Premises) -> None:
    context = await visit.context()
    page = await context.new_page()
    await page.goto("/decisions?desk=limits")
    await expect(page).to_have_url(re.compile(r"/login\?next=%2Fdecisions%3Fdesk%3Dlimits"))
    await page.get_by_label("API key").fill("tlk_000000000000_" + "a" * 43)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.get_by_label("API key").fill(premises.keys["carl.v"])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page).to_have_url(re.compile(r"/decisions\?desk=limits$"))
    for url in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        await page.goto(f"/login?next={url}")
        assert await page.locator("input[name=next]").get_attribute("value") == "/"


async def test_a_form_without_its_token_or_of_another_site_changes_nothing(visit: Visit, premises: Premises) -> None:
    asked = premises.ask()
    page = await visit.page("anna.k", "/inbox")
    form = {"answer": "approve", "digest": asked.digest, "version": "1", "reason": "it is quite fine so"}
    for headers, wanted in (({"origin": "https://evil.example"}, 403), ({"origin": premises.url}, 403), ({}, 403)):
        url = f"/approvals/{asked.approval_id}/answer"
        answer = await page.request.post(url, form=form, headers=headers)
        assert answer.status == wanted
    assert premises.get(asked).votes == ()


async def test_in_airflows_frame_pages_only_show(visit: Visit, premises: Premises) -> None:
    asked = premises.ask()
    page = await visit.page("anna.k", "/inbox?frame=1")
    answer = await page.goto(f"/approvals/{asked.approval_id}?frame=1")
    assert answer is not None
    assert "frame-ancestors http://127.0.0.1:8080" in answer.headers["content-security-policy"]
    for selector in (".top", "#answer", "form"):
        assert await page.locator(selector).count() == 0, selector
    await expect(page.locator("#proposal")).to_contain_text("opening is recorded")
    plain = await page.goto(f"/approvals/{asked.approval_id}")
    assert plain is not None
    assert "frame-ancestors 'none'" in plain.headers["content-security-policy"]
    stranger = await (await visit.context()).new_page()
    await stranger.goto("/inbox?frame=1")
    await expect(stranger.locator("main")).to_contain_text("Open tradeloop in its own window to sign in")
    await page.goto("/airflow/run?dag_id=load_prices&run_id=none")
    await expect(page.locator("main")).to_contain_text("No event of this DAG run was taken in")


async def test_whatever_is_reached_in_the_frame_stays_in_it_and_sends_nothing(visit: Visit, premises: Premises) -> None:
    asked = premises.ask()
    context = await visit.context("anna.k")
    start = [
        f"/approvals/{asked.approval_id}?frame=1",
        f"/runs/{asked.run_id}?frame=1",
        "/switch?frame=1",
        "/runs?frame=1",
    ]
    start += [
        "/inbox?frame=1&group=1",
        "/decisions?frame=1",
        "/desks?frame=1",
        "/dead-letters?frame=1",
        "/audit?frame=1",
    ]
    start += [
        "/airflow/run?dag_id=load_marketdata&run_id=scheduled__2026-11-23&frame=1",
        "/search?q=marketdata&frame=1",
    ]
    waiting, done = list(start), 0
    seen = set(start)
    while waiting and done < 60:
        url = waiting.pop(0)
        answer = await context.request.get(url)
        text = await answer.text()
        if url.startswith("/decisions/") and answer.status == 404:
            continue  # of a question that a test asked without a decision
        assert answer.status == 200, url
        assert 'method="post"' not in text, url
        if "text/html" not in answer.headers["content-type"]:
            continue
        done += 1
        assert "frame-ancestors http://127.0.0.1:8080" in answer.headers["content-security-policy"], url
        for link in map(html.unescape, re.findall(r'(?:href|hx-get)="(/[^"#]*)', text)):
            if link.startswith(("/static/", "/api/")) or link in seen:
                continue
            assert "frame=1" in link, (url, link)
            seen.add(link)
            kind = link.split("/")[1].partition("?")[0]
            if sum(one.startswith(f"/{kind}") for one in seen) < 8:
                waiting.append(link)
    assert done >= len(start)


@pytest.mark.parametrize("who", [one.name for one in PEOPLE])
async def test_every_page_has_its_roles_and_nobody_else_opens_it(visit: Visit, premises: Premises, who: str) -> None:
    context = await visit.context(who)
    person = next(one for one in PEOPLE if one.name == who)
    known = [
        route
        for route in create_app(premises.services).routes
        if str(getattr(route, "name", "")).startswith(("page_", "send_"))
    ]
    assert {route.name for route in known} == set(roles.ROLES) | roles.PUBLIC
    for route in known:
        if route.name in roles.PUBLIC | {"page_live", "send_logout"}:
            continue
        url = re.sub(r"\{[^}]*\}", "11111111-1111-4111-8111-111111111111", re.sub(r"\{[^}]*:int\}", "1", route.path))
        method = next(iter(route.methods - {"HEAD"}))
        answer = await context.request.fetch(url, method=method, headers={"origin": premises.url}, max_redirects=0)
        may = person.has(*roles.ROLES[route.name])
        told = await answer.text()
        assert (answer.status == 403 and "lacks the role" in told) != may, (route.name, answer.status)
