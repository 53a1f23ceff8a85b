"""Seventy attacks and invisible characters in every displayed field: no element, no request, text as it came."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Page
from premises import ANNA, BEN, Premises, needs
from visiting import Visit

from tradeloop import Action
from tradeloop.bench.desks.attacks import ATTACKS
from tradeloop.web.spelling import spelled

MARKUP = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</pre><svg onload=alert(1)>",
    '"><a href="//evil.example">click</a>',
    "<hx-partial hx-target=body>gone</hx-partial>",
    "<b hx-get=/switch hx-trigger=load>x</b>",
    "[link](javascript:alert(1)) ![](//evil.example/x.png)",
    "{{ 7*7 }}{% include 'base.html' %}",
    "a\u202eb\u200bc\u2066d\u0007e\ufefff\u00adg\u3164h",
)
KINDS = "['script','img','iframe','object','embed','style','link','form','a','svg','b']"
COUNTED = f"{KINDS}.map(kind => document.querySelectorAll(kind).length)"


async def counts(page: Page) -> Any:
    """How many elements of each kind that could do something."""
    return await page.evaluate(COUNTED)


async def test_hostile_text_in_every_field_is_text_and_nothing_else(visit: Visit, premises: Premises) -> None:
    attacks = [one.replace("\x00", "\ufffd") for one in (*MARKUP, *ATTACKS.values())]  # as the gate keeps it
    everything = "\n".join(attacks)

    def asked(text: Any) -> Any:
        facts = [{"id": f"F-{at:02d}", "sentence": text(one), "source": text(one)} for at, one in enumerate(attacks)]
        context = {
            "question": text(attacks[0]),
            "facts": facts,
            "reasons": [text(one) for one in attacks],
            "consequences": [{"field": text(one), "now": text(one), "after": text(one)} for one in attacks],
            "outcome": text("QUARANTINE_ROWS"),
            "proposal": {"name": text(attacks[1]), "rationale": text(everything), "cited": [text(attacks[2])]},
        }
        action = Action(
            kind="trigger_dag", target=text("dag"), params={f"p{at}": text(one) for at, one in enumerate(attacks)}
        )
        made = premises.ask(needs(deadline_s=9_000), subject=text(attacks[0])[:200], action=action, context=context)
        premises.answer(made, ANNA, "reject", reason=text(attacks[1])[:400] + " and more")
        return made

    hostile, plain = asked(lambda one: one), asked(lambda one: "x" * min(len(one), 20))
    page = await visit.page(BEN.name, "/inbox")
    for url in ("/approvals/{0.approval_id}?opened=1", "/runs/{0.run_id}", "/events/{0.event_id}"):
        await page.goto(url.format(plain))
        harmless = await counts(page)
        await page.goto(url.format(hostile))
        assert await counts(page) == harmless, url
    await page.goto(f"/approvals/{hostile.approval_id}?opened=1")
    shown = await page.locator("main").inner_text()
    for one in attacks:
        flat = spelled(" ".join(one.split()))
        assert flat[:120] in shown, one
    quoted = await page.locator(".untrusted pre").all_text_contents()
    assert "".join(quoted) == spelled(everything)
    assert "⟨U+202E⟩" in shown
    assert "\u202e" not in await page.content()
    await page.goto("/inbox")
    assert await page.locator("main img, main script").count() == 0


async def test_hostile_words_of_an_address_are_text(visit: Visit, premises: Premises) -> None:
    page = await visit.page("carl.v", "/runs")
    for text in MARKUP[:6]:
        for url in ("/search", "/runs", "/decisions", "/inbox", "/airflow/run"):
            name = {"/runs": "subject", "/decisions": "subject", "/airflow/run": "run_id"}.get(url, "q")
            answer = await page.request.get(url, params={name: text})
            body = await answer.text()
            assert answer.status == 200
            assert text not in body, (url, text)
