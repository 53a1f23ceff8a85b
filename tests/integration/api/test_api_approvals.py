"""Answers through the API: who, to what, and once."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any
from uuid import uuid4

from api_house import House

from tradeloop.domain.approvals import Approval
from tradeloop.domain.people import Delegation, Role

REASON = "the second source agrees"


def yes(approval: Approval, **more: Any) -> dict[str, Any]:
    return {"answer": "approve", "digest": approval.digest, "version": approval.version, "reason": REASON} | more


async def send(house: House, approval: Approval, order: str, who: str, body: dict[str, Any], etag: str = "*") -> Any:
    headers = {"If-Match": etag} if etag else {}
    return await house.call("POST", f"approvals/{approval.approval_id}/{order}", who, headers=headers, json=body)


async def test_an_approval_is_listed_shown_and_answered(house: House) -> None:
    approval = await house.ask()
    listed = (await house.call("GET", f"approvals?run_id={approval.run_id}", "vera.v")).json()["items"]
    assert [one["approval"]["approval_id"] for one in listed] == [str(approval.approval_id)]
    assert (listed[0]["may_answer"], listed[0]["why_not"] != "") == (False, True)
    shown = await house.call("GET", f"approvals/{approval.approval_id}", "anna.k")
    assert (shown.json()["may_answer"], shown.json()["approval"]["digest"]) == (True, approval.digest)

    told = await send(house, approval, "answer", "anna.k", yes(approval), shown.headers["etag"])

    assert (told.status_code, told.json()["approval"]["state"]) == (200, "approved")
    assert told.headers["etag"] != shown.headers["etag"]
    [vote] = told.json()["approval"]["votes"]
    assert (vote["principal"], vote["channel"], vote["reason"]) == ("anna.k", "api", REASON)
    again = await send(house, approval, "answer", "anna.k", yes(approval), told.headers["etag"])
    assert (again.status_code, again.headers["etag"]) == (200, told.headers["etag"])
    late = await send(house, approval, "answer", "ben.o", yes(approval, answer="reject"))
    assert (late.status_code, late.json()["code"]) == (409, "answer_too_late")


async def test_an_answer_without_or_with_an_old_etag_does_nothing(house: House) -> None:
    approval = await house.ask()
    etag = (await house.call("GET", f"approvals/{approval.approval_id}", "anna.k")).headers["etag"]

    missing = await send(house, approval, "answer", "anna.k", yes(approval), "")
    assert (missing.status_code, missing.json()["code"]) == (428, "if_match_required")
    old = await send(house, approval, "answer", "anna.k", yes(approval), etag.replace("-1", "-0"))
    assert (old.status_code, old.json()["code"], old.json()["allowed"]) == (412, "changed", [etag])
    assert (await house.call("GET", f"approvals/{approval.approval_id}", "anna.k")).headers["etag"] == etag


async def test_who_lacks_authority_is_told_so(house: House) -> None:
    approval = await house.ask(amount=Decimal(5000), currency="EUR")
    await house.add("lou.l", Role.APPROVER, delegations=(Delegation(desk="other"),))
    await house.add(
        "max.m", Role.APPROVER, delegations=(Delegation(desk="prices", up_to=Decimal(100), currency="EUR"),)
    )

    for who in ("lou.l", "max.m"):
        told = await send(house, approval, "answer", who, yes(approval))
        assert (told.status_code, told.json()["code"]) == (403, "answer_forbidden")
    for who in ("vera.v", "otto.o", "adam.a", "nightly"):
        assert (await send(house, approval, "answer", who, yes(approval))).json()["code"] == "forbidden"
    assert (await house.call("GET", f"approvals/{approval.approval_id}", "vera.v")).json()["approval"]["votes"] == []


async def test_a_right_that_was_taken_away_counts_no_more(house: House) -> None:
    approval = await house.ask()
    await house.add("kim.k", Role.APPROVER, delegations=(Delegation(),))
    principal = await house.services.people.find("kim.k")
    await house.services.people.change(principal.model_copy(update={"delegations": ()}), by="tests")
    assert (await send(house, approval, "answer", "kim.k", yes(approval))).json()["code"] == "answer_forbidden"


async def test_an_answer_to_another_action_is_stale_and_one_without_reason_invalid(house: House) -> None:
    approval = await house.ask()
    stale = await send(house, approval, "answer", "anna.k", yes(approval, digest="0" * 64))
    assert (stale.status_code, stale.json()["code"]) == (409, "answer_stale")
    short = await send(house, approval, "answer", "anna.k", yes(approval, reason="ok"))
    assert (short.status_code, short.json()["field"]) == (422, "body.reason")
    deep = await send(house, approval, "answer", "anna.k", yes(approval, reason="a" * 9 + "\x00"))
    assert deep.status_code == 400
    tier = await house.ask(tier=3)
    careless = await send(house, tier, "answer", "anna.k", yes(tier))
    assert (careless.status_code, careless.json()["code"]) == (422, "answer_invalid")
    missing = await house.call("GET", f"approvals/{uuid4()}", "anna.k")
    assert missing.status_code == 404


async def test_many_answers_at_once_count_once(house: House) -> None:
    approval = await house.ask()
    told = await asyncio.gather(
        *[send(house, approval, "answer", who, yes(approval)) for who in ("anna.k", "ben.o") for _ in range(10)]
    )
    assert {one.status_code for one in told} <= {200, 409, 412}
    found = (await house.call("GET", f"approvals/{approval.approval_id}", "vera.v")).json()["approval"]
    assert (found["state"], len(found["votes"])) == ("approved", 1)


async def test_a_changed_action_is_a_new_question_whose_changer_cannot_check(house: House) -> None:
    approval = await house.ask()
    change = {"params": {"amount": "11.00"}, "digest": approval.digest, "version": 1, "reason": REASON}

    same = await send(house, approval, "modify", "anna.k", change | {"params": approval.action.params})
    assert (same.status_code, same.json()["field"]) == (422, "body.params")
    floats = await send(house, approval, "modify", "anna.k", change | {"params": {"amount": 11.5}})
    assert (floats.status_code, floats.json()["field"]) == (422, "body.params")
    told = (await send(house, approval, "modify", "anna.k", change)).json()

    new = told["approval"]
    assert (new["version"], new["previous_id"], new["requester"]) == (2, str(approval.approval_id), "anna.k")
    assert new["action"]["params"] == {"amount": "11.00"}
    old = (await house.call("GET", f"approvals/{approval.approval_id}", "vera.v")).json()["approval"]
    assert (old["state"], old["next_id"]) == ("cancelled", new["approval_id"])
    answer = {"answer": "approve", "digest": new["digest"], "reason": REASON}
    path = f"approvals/{new['approval_id']}/answer"
    own = await house.call("POST", path, "anna.k", headers={"If-Match": "*"}, json=answer)
    assert (own.status_code, own.json()["code"]) == (403, "answer_forbidden")
    other = await house.call("POST", path, "ben.o", headers={"If-Match": "*"}, json=answer)
    assert other.json()["approval"]["state"] == "approved"


async def test_an_escalation_asks_for_one_more(house: House) -> None:
    approval = await house.ask()
    told = await send(house, approval, "escalate", "anna.k", {"reason": REASON})
    assert told.status_code == 200, told.text
    wanted = told.json()["approval"]["requirement"]
    assert (wanted["pattern"], wanted["tier"]) == ("n_of_m", 2)
    assert sum(step["needs"] for step in wanted["steps"]) == 2
    assert "escalated" in wanted["raised_by"]


async def test_pages_of_approvals(house: House) -> None:
    asked = {str((await house.ask()).approval_id) for _ in range(3)}
    found: list[str] = []
    cursor = ""
    while True:
        told = (await house.call("GET", "approvals", "vera.v", params={"limit": 1, "cursor": cursor})).json()
        found += [one["approval"]["approval_id"] for one in told["items"]]
        cursor = told["next"]
        if not cursor:
            break
    assert asked <= set(found)
    assert len(found) == len(set(found))
    assert (await house.call("GET", "approvals?cursor=rubbish", "vera.v")).status_code == 422
