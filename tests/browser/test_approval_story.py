"""The whole story of an approval, by mouse and by keyboard, in a real browser."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect
from premises import ANNA, BEN, CONTEXT, DORA, Premises, needs
from visiting import Visit, pictured

from tradeloop.domain.approvals import ApprovalState, ApprovalStep, Pattern

REASON = "feed B says 68.92, so the rows are held"


async def answered(page: Page, answer: str, reason: str = REASON) -> None:
    """Type the reason, and press the button."""
    await page.get_by_label("Reason").fill(reason)
    await page.get_by_role("button", name=answer, exact=True).click()


async def without_news(page: Page) -> None:
    """Let the box stay as it is: what somebody answers who reads while another is faster."""
    await page.route("**/box?*", lambda route: route.fulfill(status=204))


async def test_an_analyst_approves_by_mouse_after_reading_and_is_led_to_the_next(
    visit: Visit, premises: Premises
) -> None:
    asked, following = premises.ask(needs(tier=2, deadline_s=60)), premises.ask(needs(deadline_s=61))
    page = await visit.page("anna.k", "/inbox")
    row = page.locator(f"#row-{str(asked.approval_id)[:8]}")
    await expect(row).to_contain_text("soon")
    await row.get_by_role("link").first.click()

    headings = await page.locator("main h2").all_inner_texts()
    assert [one.split()[0] for one in headings] == ["1", "2", "3", "Your", "4", "5"], "evidence comes before the answer"
    await expect(page.locator(".facts li").first).to_contain_text("against what is asked")
    assert "fat finger" not in await page.content(), "the model's text is not even in the page before it is opened"
    reject, approve = (page.get_by_role("button", name=name, exact=True) for name in ("Reject", "Approve"))
    sizes = [await one.bounding_box() for one in (reject, approve)]
    assert sizes[0]
    assert sizes[1]
    assert sizes[0]["x"] < sizes[1]["x"]
    assert [round(sizes[0][side]) for side in ("width", "height")] == [
        round(sizes[1][side]) for side in ("width", "height")
    ]
    await pictured(page, "story-asked")

    await answered(page, "Approve")
    await expect(page.locator(".field-error").first).to_contain_text("at least one fact")
    await expect(page.get_by_label("Reason")).to_have_value(REASON)
    assert premises.get(asked).state is ApprovalState.PENDING

    await page.get_by_label("I rely on F-01").check()
    await page.get_by_label("I rely on F-03").check()
    await expect(page.locator("#relied")).to_have_text("F-01 F-03")
    await page.get_by_role("button", name="Show what was proposed").click()
    await expect(page.locator(".untrusted")).to_contain_text("F-09 ✗ no such fact")
    await page.get_by_role("button", name="Approve", exact=True).click()
    await expect(page.locator("#h-answer")).to_have_text("Recorded")
    await expect(page.locator("#next")).to_be_focused()
    await pictured(page, "story-recorded")

    (vote,) = premises.get(asked).votes
    assert (vote.principal, vote.answer, vote.channel, vote.reason) == ("anna.k", "approve", "web", REASON)
    assert vote.relied_on == ("F-01", "F-03")
    assert vote.seen["model_text_opened"] is True
    assert vote.seen["opened_at"]
    await page.locator("#next").click()
    await expect(page).to_have_url(re.compile(str(following.approval_id)))
    premises.answer(following, BEN, "reject")


async def test_the_same_by_keyboard_alone_and_no_single_key_sends(visit: Visit, premises: Premises) -> None:
    asked = premises.ask(needs(deadline_s=50))
    page = await visit.page("anna.k", "/desks")
    await page.keyboard.press("g")
    await page.keyboard.press("i")
    await page.wait_for_url("**/inbox")
    await page.keyboard.press("j")
    await expect(page.locator("tr[aria-current] a").first).to_be_focused()
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/approvals/{asked.approval_id}")
    await page.keyboard.press("x")
    await expect(page.locator(".untrusted")).to_be_visible()
    for key in ("a", "Escape", "r"):
        await page.locator("body").press(key) if key != "Escape" else await page.keyboard.press(key)
        await page.evaluate("document.activeElement.blur()") if key != "r" else None
    await expect(page.locator("#choice")).to_contain_text("Ctrl+Enter rejects")
    await expect(page.get_by_label("Reason")).to_be_focused()
    await page.keyboard.type("the evidence is r a x n thin")
    await page.keyboard.press("Enter")
    assert premises.get(asked).state is ApprovalState.PENDING
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("#h-answer")).to_have_text("Recorded")
    assert premises.get(asked).state is ApprovalState.REJECTED
    await expect(page.locator("#answer a[autofocus]")).to_be_focused()
    await page.keyboard.press("u")
    await page.wait_for_url("**/inbox")


async def test_single_keys_that_are_switched_off_do_nothing(visit: Visit, premises: Premises) -> None:
    asked = premises.ask()
    page = await visit.page("anna.k", "/me")
    await page.get_by_label("Single keys").select_option("off")
    await page.get_by_role("button", name="Keep").click()
    await page.goto(f"/approvals/{asked.approval_id}")
    await page.keyboard.press("r")
    await page.keyboard.press("g")
    await page.keyboard.press("i")
    await expect(page.locator("#choice")).to_be_empty()
    assert page.url.endswith(str(asked.approval_id))


async def test_of_two_people_at_once_one_wins_and_the_other_reads_who_and_keeps_the_text(
    visit: Visit, premises: Premises
) -> None:
    asked = premises.ask()
    first, second = [await visit.page(who, f"/approvals/{asked.approval_id}") for who in ("anna.k", "ben.o")]
    await second.get_by_label("Reason").fill("the rows are fine, I checked them")
    await answered(first, "Reject", "second source is late, not wrong")
    await expect(second.locator("#h-answer")).to_contain_text("Rejected by anna.k")
    await expect(second.locator("#answer")).to_contain_text("second source is late, not wrong")
    await expect(second.locator("#typed-kept")).to_contain_text("the rows are fine, I checked them")
    await pictured(second, "story-beaten")
    assert [vote.principal for vote in premises.get(asked).votes] == ["anna.k"]


async def test_an_answer_that_comes_late_gets_409_in_the_box(visit: Visit, premises: Premises) -> None:
    asked = premises.ask()
    page = await visit.page("anna.k", f"/approvals/{asked.approval_id}")
    await without_news(page)
    premises.answer(asked, BEN, "reject")
    async with page.expect_response("**/answer") as response:
        await answered(page, "Approve")
    assert (await response.value).status == 409
    await expect(page.locator("#answer")).to_contain_text("Your answer was not recorded")
    await expect(page.locator("#typed")).to_have_text(REASON)


async def test_a_changed_action_gets_412_the_difference_and_the_reason_offered(
    visit: Visit, premises: Premises
) -> None:
    # No fact against it: the changed action would be of tier 2, and want a fact that this page has no box for.
    facts = [fact for fact in CONTEXT["facts"] if not fact.get("against")]
    asked = premises.ask(context={**CONTEXT, "facts": facts})
    stale = await visit.page("anna.k", f"/approvals/{asked.approval_id}")
    await without_news(stale)
    other = await visit.page("ben.o", f"/approvals/{asked.approval_id}/change")
    await other.get_by_label("price").fill("68.92")
    await other.get_by_label("Reason").fill("feed B has the right price")
    await other.get_by_role("button", name="Ask for version 2").click()
    await expect(other.locator("#h-answer")).to_have_text("Another person answers")
    await expect(other.locator("#answer")).to_contain_text("You asked for this action")
    async with stale.expect_response("**/answer") as response:
        await answered(stale, "Approve")
    assert (await response.value).status == 412
    box = stale.locator("#answer")
    await expect(box).to_contain_text("Version 2 exists, this form was for version 1")
    await expect(box.locator("table")).to_contain_text("68.92")
    await expect(stale.get_by_label("Reason")).to_have_value("")
    await box.get_by_role("button", name="use it").click()
    await stale.get_by_role("button", name="Approve", exact=True).click()
    await expect(stale.locator("#h-answer")).to_have_text("Recorded")
    versions = premises.do(premises.services.approvals.of_run(asked.run_id))  # type: ignore[union-attr]
    assert [(one.version, one.state) for one in versions] == [(1, "cancelled"), (2, "approved")]
    await stale.goto(f"/approvals/{asked.approval_id}")
    await expect(stale.locator(".note").first).to_contain_text("Version 2 exists")


async def test_tier_three_wants_the_digits_and_two_people_who_do_not_sway_one_another(
    visit: Visit, premises: Premises
) -> None:
    asked = premises.ask(needs(Pattern.N_OF_M, tier=3, count=2))
    first = await visit.page("anna.k", f"/approvals/{asked.approval_id}")
    await first.get_by_label("I rely on F-01").check()
    await answered(first, "Approve", "anna's own secret reason")
    await expect(first.locator("#four-error")).to_contain_text("last four digits")
    await first.locator("#last-four").fill(asked.digest[-4:])
    await first.locator("#last-four").press("Enter")  # a single key never sends
    assert premises.get(asked).votes == ()
    await first.get_by_role("button", name="Approve", exact=True).click()
    await expect(first.locator("#answer")).to_contain_text("Approved 1 of 2: waits for 1 more")

    second = await visit.page("ben.o", f"/approvals/{asked.approval_id}")
    assert "secret reason" not in await second.content()
    await expect(second.locator("#answer")).to_contain_text("1 of 2 so far, by another person")
    await second.get_by_label("I rely on F-02").check()
    await second.locator("#last-four").fill(asked.digest[-4:])
    await answered(second, "Approve")
    await expect(second.locator("#h-answer")).to_have_text("Recorded")
    await expect(second.locator("#answer")).to_contain_text("released once")
    assert premises.get(asked).state is ApprovalState.APPROVED
    await second.reload()
    await expect(second.locator("main")).to_contain_text("anna's own secret reason")


async def test_an_old_session_signs_in_again_for_tier_three_and_what_was_typed_is_there(
    visit: Visit, premises: Premises
) -> None:
    asked = premises.ask(needs(tier=3))
    page = await visit.page("anna.k", f"/approvals/{asked.approval_id}")
    ago = "UPDATE web_sessions SET signed_in_at = signed_in_at - interval '20 minutes'"
    premises.do(premises.services.database.rows(ago))
    await page.get_by_label("I rely on F-01").check()
    await page.locator("#last-four").fill(asked.digest[-4:])
    await answered(page, "Approve")
    await expect(page.locator("#answer")).to_contain_text("sign in again")
    await page.get_by_role("link", name="Sign in again").click()
    await page.get_by_label("API key").fill(premises.keys["anna.k"])
    await page.locator("main").get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/approvals/**")
    await expect(page.get_by_label("Reason")).to_have_value(REASON)


async def test_a_question_whose_time_is_up_shows_no_buttons_by_the_servers_clock(
    visit: Visit, premises: Premises
) -> None:
    asked = premises.ask(needs(deadline_s=5))
    page = await visit.page("anna.k", f"/approvals/{asked.approval_id}")
    await expect(page.get_by_role("button", name="Approve", exact=True)).to_be_visible()
    await expect(page.locator("#h-answer")).to_contain_text("Expired at", timeout=20_000)
    await expect(page.get_by_role("button", name="Approve", exact=True)).to_have_count(0)


async def test_who_may_not_answer_reads_why_and_who_can(visit: Visit, premises: Premises) -> None:
    own = premises.ask(requester=ANNA.name)
    page = await visit.page("anna.k", f"/approvals/{own.approval_id}")
    await expect(page.locator("#answer")).to_contain_text("You asked for this action, so another person must answer")
    await expect(page.locator("#answer")).to_contain_text("Who can answer: ben.o")
    viewer = await visit.page("carl.v", f"/approvals/{own.approval_id}")
    await expect(viewer.get_by_role("button", name="Approve", exact=True)).to_have_count(0)
    boss = await visit.page(DORA.name, f"/approvals/{own.approval_id}")
    await expect(boss.locator("#answer")).to_contain_text("is no approver")
    sequence = needs(
        Pattern.SEQUENTIAL, steps=[ApprovalStep(approvers=("ben.o",)), ApprovalStep(approvers=("anna.k",))]
    )
    await page.goto(f"/approvals/{premises.ask(sequence).approval_id}")
    await expect(page.locator("#answer")).to_contain_text("This step is for ben.o")


async def test_everything_but_liveness_works_without_javascript(visit: Visit, premises: Premises) -> None:
    asked = premises.ask(needs(tier=2))
    page = await visit.page("anna.k", f"/approvals/{asked.approval_id}", java_script_enabled=False)
    await page.get_by_role("button", name="Show what was proposed").click()
    await expect(page.locator(".untrusted")).to_be_visible()
    await answered(page, "Approve")
    await expect(page.locator(".field-error").first).to_contain_text("at least one fact")
    await expect(page.get_by_label("Reason")).to_have_value(REASON)
    await page.get_by_label("I rely on F-02").check()
    await page.get_by_role("button", name="Approve", exact=True).click()
    await expect(page.locator("#h-answer")).to_have_text("Recorded")
    assert premises.get(asked).votes[0].seen["model_text_opened"] is True
    escalated = premises.ask()
    await page.goto(f"/approvals/{escalated.approval_id}/escalate")
    await page.get_by_label("Reason").fill("the head of the desk should see this")
    await page.get_by_role("button", name="Escalate").click()
    await expect(page.locator("main")).to_contain_text("it was escalated")
    await page.goto("/inbox")
    await page.get_by_label("Group").select_option("by cause")
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("main")).to_contain_text("of one cause")


async def test_questions_of_one_cause_are_rejected_together_and_never_approved_together(
    visit: Visit, premises: Premises
) -> None:
    context = {"cause": "feed B late since 15:10Z", "question": "hold the batch?"}
    questions = [premises.ask(context=context) for _ in range(3)]
    page = await visit.page("ben.o", "/inbox?group=1")
    group = page.locator("section", has_text="3 of one cause: feed B late since 15:10Z")
    assert await group.get_by_role("button", name=re.compile("approve", re.IGNORECASE)).count() == 0
    await group.get_by_text("Reject all 3 with one reason").click()
    await group.locator("textarea").fill("the feed is late, so nothing is done")
    premises.answer(questions[0], ANNA, "reject")
    await group.get_by_role("button", name="Reject 3").click()
    await expect(page.locator("h1")).to_have_text("2 of 3 rejected.")
    assert [premises.get(one).state for one in questions] == ["rejected"] * 3
