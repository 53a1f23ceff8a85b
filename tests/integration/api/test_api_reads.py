"""What the API shows: runs, decisions, events, letters, effects, desks, audit; pages that nothing shifts."""

from __future__ import annotations

from uuid import uuid4

import pytest
from api_house import DESK, EVENT_TYPE, House

from tradeloop.domain.runs import RunState


async def every_page(house: House, path: str, size: int, who: str = "vera.v") -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    cursor = ""
    while True:
        mark = "&" if "?" in path else "?"
        told = (await house.call("GET", f"{path}{mark}limit={size}&cursor={cursor}", who)).json()
        assert len(told["items"]) <= size
        rows += told["items"]
        if not told["next"]:
            return rows
        cursor = told["next"]


async def test_pages_of_runs_lose_and_double_nothing_while_runs_come_in(house: House) -> None:
    subject = uuid4().hex
    first = await house.take_in(7, subject=subject)
    path = "runs"
    params = {"subject": subject, "limit": 3}
    one = (await house.call("GET", path, "vera.v", params=params)).json()
    await house.take_in(4, subject=subject)
    two = (await house.call("GET", path, "vera.v", params=params | {"cursor": one["next"]})).json()
    three = (await house.call("GET", path, "vera.v", params=params | {"cursor": two["next"]})).json()

    found = [row["run_id"] for page in (one, two, three) for row in page["items"]]
    known = await house.services.database.rows(
        "SELECT run_id::text FROM inbox WHERE subject = %s ORDER BY run_id LIMIT 7", (subject,)
    )
    assert found == [row["run_id"] for row in reversed(known)]
    assert three["next"] is None
    assert len(first) == 1  # of one subject, one at a time


async def test_a_run_is_shown_by_any_of_its_ids(house: House) -> None:
    (claim,) = await house.take_in(data={"rows": 22})
    live = (await house.call("GET", f"runs/{claim.run_id}", "vera.v")).json()
    assert (live["state"], live["decision"]) == ("running", None)
    decision_id = await house.finish(claim)

    for one in (claim.run_id, claim.event_id, decision_id):
        told = (await house.call("GET", f"runs/{one}", "vera.v")).json()
        assert (told["run_id"], told["state"]) == (str(claim.run_id), "done")
    steps = (await house.call("GET", f"runs/{claim.run_id}/steps", "vera.v")).json()
    assert steps == {"run_id": str(claim.run_id), "state": "done", "items": []}
    state = (await house.call("GET", f"runs/{claim.run_id}/state", "vera.v")).json()
    assert state == {"run_id": str(claim.run_id), "values": {}, "next": []}
    [record] = (await house.call("GET", f"runs/{claim.run_id}/audit", "vera.v")).json()["items"]
    assert (record["kind"], record["stream_id"]) == ("run_done", str(claim.run_id))
    event = (await house.call("GET", f"events/{claim.event_id}", "vera.v")).json()
    assert event["event"]["payload"]["data"] == {"rows": 22}
    decision = (await house.call("GET", f"decisions/{decision_id}", "vera.v")).json()
    assert decision["decision"]["outcome"] == "ACCEPT"
    assert (await house.call("GET", f"decisions/{claim.run_id}", "vera.v")).status_code == 404
    bundle = await house.call("GET", f"decisions/{decision_id}/bundle.zip", "vera.v")
    assert (bundle.status_code, bundle.json()["code"]) == (409, "not_sealed")  # no relay seals here
    assert (await house.call("GET", f"events/{uuid4()}", "vera.v")).status_code == 404
    assert decision_id in {row["decision_id"] and decision_id for row in await every_page(house, "decisions", 2)}


async def test_lists_are_narrowed_and_wrong_words_are_told(house: House) -> None:
    (claim,) = await house.take_in()
    await house.finish(claim, RunState.FAILED)

    failed = (await house.call("GET", "runs?state=failed&limit=200", "vera.v")).json()["items"]
    assert {row["state"] for row in failed} == {"failed"}
    assert (await house.call("GET", "runs?desk=none", "vera.v")).json() == {"items": [], "next": None}
    assert (await house.call("GET", "runs?since=2126-01-01T00:00:00Z", "vera.v")).json()["items"] == []
    wrong = (await house.call("GET", "runs?state=lost", "vera.v")).json()
    assert (wrong["code"], wrong["field"]) == ("invalid", "query.state")
    assert "waiting_for_person" in wrong["allowed"]


@pytest.mark.parametrize(
    "cursor",
    ["x", "e30", "WyJydW5zIl0", "WyJydW5zIiwxXQ", "WyJsZXR0ZXJzIiwxXQ", "WyJydW5zIiwieCJd", "\U0001f600", "a" * 501],
)
async def test_a_foreign_cursor_is_refused(house: House, cursor: str) -> None:
    for path in ("runs", "decisions", "effects", "dead-letters", "audit"):
        if path == "dead-letters" and cursor == "WyJsZXR0ZXJzIiwxXQ":
            continue  # that one is theirs
        told = await house.call("GET", path, "vera.v", params={"cursor": cursor})
        assert (told.status_code, told.json()["field"]) == (422, "query.cursor")


@pytest.mark.parametrize(
    "path", ["runs?text=%00", "runs?subject=a%00b", "workflows/%00", "runs?limit=0", "runs?limit=1e9"]
)
async def test_what_no_database_stores_is_refused(house: House, path: str) -> None:
    assert (await house.call("GET", path, "vera.v")).status_code in (400, 422)


async def test_workflows_are_shown_with_their_graphs(house: House) -> None:
    [found] = (await house.call("GET", "workflows", "nightly")).json()["items"]
    assert (found["event_type"], found["desk"]) == (EVENT_TYPE, DESK)
    graph = (await house.call("GET", f"workflows/{EVENT_TYPE}", "vera.v")).json()
    assert {"decide", "act"} <= set(graph["nodes"])
    assert {"source": "decide", "target": "act"} in graph["edges"]
    assert "decide" in graph["mermaid"]
    assert (await house.call("GET", "workflows/none", "vera.v")).status_code == 404


async def test_desks_are_shown_in_figures(house: House) -> None:
    (claim,) = await house.take_in()
    await house.finish(claim)
    told = (await house.call("GET", "desks", "vera.v")).json()
    [desk] = [one for one in told["desks"] if one["desk"] == DESK]
    assert desk["outcomes"]["ACCEPT"] >= 1
    assert told["platform"]["workers"] == 1
    day = (await house.call("GET", f"desks/{DESK}", "vera.v")).json()
    assert day["coverage"]["decided"] >= 1
    assert str(claim.run_id) in {run["run_id"] for run in day["runs"]}
    assert (await house.call("GET", "desks/none", "vera.v")).status_code == 404
    assert (await house.call("GET", f"desks/{DESK}?date=0001-01-01", "vera.v")).status_code == 404
    assert (await house.call("GET", f"desks/{DESK}?date=2020-02-30", "vera.v")).status_code == 422


async def test_the_audit_is_read_by_kind(house: House) -> None:
    rows = await every_page(house, "audit?kind=key_made", 2)
    assert len(rows) >= 6
    assert {row["kind"] for row in rows} == {"key_made"}
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    heads = await house.call("GET", "audit/heads", "vera.v")
    assert (heads.status_code, heads.json()["seal"]) == (200, 0)


async def test_effects_whose_outcome_is_unknown_are_settled_once(house: House) -> None:
    await house.take_in()
    key = await house.unknown_effect()
    waiting = await every_page(house, "effects?state=outcome_unknown", 1)
    assert key in {row["key"] for row in waiting}
    assert (await house.call("GET", f"effects/{key}", "vera.v")).json()["state"] == "outcome_unknown"
    word = {"outcome": "happened", "reason": "the desk shows it"}
    settled = await house.call("POST", f"effects/{key}/resolve", "otto.o", json=word)
    assert (settled.status_code, settled.json()["state"]) == (200, "executed")
    again = await house.call("POST", f"effects/{key}/resolve", "otto.o", json=word)
    assert (again.status_code, again.json()["code"]) == (409, "settled")
    missing = await house.call("POST", f"effects/{'0' * 64}/resolve", "otto.o", json=word)
    assert missing.status_code == 404
    short = await house.call("POST", f"effects/{key}/resolve", "otto.o", json=word | {"reason": "yes"})
    assert (short.status_code, short.json()["field"]) == (422, "body.reason")


async def test_a_run_is_cancelled_once_it_is_asked(house: House) -> None:
    (claim,) = await house.take_in()
    told = await house.call("POST", f"runs/{claim.run_id}/cancel", "otto.o", json={"reason": "a test"})
    assert (told.status_code, told.json()["state"]) == (202, "running")
    await house.finish(claim)
    over = await house.call("POST", f"runs/{claim.run_id}/cancel", "otto.o", json={"reason": "a test"})
    assert (over.status_code, over.json()["code"]) == (409, "settled")


async def test_the_switch_is_turned_by_its_roles(house: House) -> None:
    order = {"desk": "prices", "reason": "wrong prices"}
    assert (await house.call("POST", "switches/stop", "otto.o", json=order)).json()["changed"] is True
    assert (await house.call("POST", "switches/stop", "adam.a", json=order)).json()["changed"] is False
    [found] = [
        one for one in (await house.call("GET", "switches", "vera.v")).json()["items"] if one["scope"] == "desk:prices"
    ]
    assert (found["stopped"], found["changed_by"], found["reason"]) == (True, "otto.o", "wrong prices")
    asked = (await house.call("POST", "switches/release", "adam.a", json=order)).json()
    assert (asked["stopped"], asked["changed"], asked["asked"]["asked_by"]) == (True, False, "adam.a")
    confirm = f"switches/releases/{asked['asked']['release_id']}/confirm"
    alone = await house.call("POST", confirm, "adam.a")
    assert (alone.status_code, alone.json()["code"]) == (403, "forbidden")
    other = await house.call("POST", "switches/release", "anna.k", json=order)
    assert (other.status_code, other.json()["code"]) == (409, "release_refused")
    told = [(await house.call("POST", confirm, "anna.k")).json() for _ in range(2)]
    assert told == [
        {"scope": "desk:prices", "stopped": False, "changed": is_new, "asked": None} for is_new in (True, False)
    ]
    late = await house.call("POST", confirm, "ben.o")
    assert (late.status_code, late.json()["code"]) == (409, "release_refused")
    assert (await house.call("POST", "switches/release", "adam.a", json=order)).json()["stopped"] is False
    bad = await house.call("POST", "switches/stop", "otto.o", json={"desk": "a b", "reason": "x"})
    assert bad.json()["field"] == "body.desk"


async def test_dead_letters_are_judged_replayed_and_given_up(house: House) -> None:
    from api_house import event_of

    good = await house.bury(event_of("a letter", {}).to_json().encode())
    broken = await house.bury(event_of("a letter", {"break": True}).to_json().encode())
    rubbish = await house.bury(b"\xffrubbish")

    assert {row["letter_id"] for row in await every_page(house, "dead-letters", 1)} >= {good, broken, rubbish}
    raw = await house.call("GET", f"dead-letters/{rubbish}/raw", "otto.o")
    assert (raw.content, raw.headers["x-content-type-options"]) == (b"\xffrubbish", "nosniff")
    for letter, passes in ((good, True), (broken, False), (rubbish, False)):
        told = (await house.call("POST", f"dead-letters/{letter}/replay", "otto.o", json={"dry_run": True})).json()
        assert (told["passes"], told["run_id"]) == (passes, None)
    refused = await house.call("POST", f"dead-letters/{rubbish}/replay", "otto.o", json={})
    assert (refused.status_code, refused.json()["code"]) == (422, "would_not_pass")
    replayed = (await house.call("POST", f"dead-letters/{good}/replay", "otto.o", json={})).json()
    assert replayed["run_id"]
    again = await house.call("POST", f"dead-letters/{good}/replay", "otto.o", json={})
    assert (again.status_code, again.json()["code"]) == (409, "settled")
    gone = await house.call("POST", f"dead-letters/{rubbish}/discard", "otto.o", json={"reason": "a test"})
    assert (gone.json()["state"], gone.json()["decided_by"]) == ("discarded", "otto.o")
    twice = await house.call("POST", f"dead-letters/{rubbish}/discard", "otto.o", json={"reason": "a test"})
    assert twice.status_code == 409
    assert (await house.call("GET", "dead-letters/999999", "vera.v")).status_code == 404


async def test_every_error_is_a_problem_also_for_routes_that_are_none(house: House) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/runs", 405),
        ("PUT", "/livez", 405),
        ("GET", "/api/v1/runs/not-an-id", 422),
        ("GET", "/api/v1/runs/", 404),
        ("GET", "/api/v1/runs?x=" + "a" * 9000, 414),
    ):
        told = await house.call(method, path, "vera.v")
        assert (told.status_code, told.headers["content-type"]) == (status, "application/problem+json")
        assert told.json()["status"] == status
        assert told.headers["x-frame-options"] == "DENY"
    assert (await house.call("DELETE", "/api/v1/runs", "vera.v")).headers["allow"] == "GET"


async def test_health_and_figures(house: House) -> None:
    assert (await house.call("GET", "/livez")).json() == {"status": "ok", "database": "not_asked"}
    assert (await house.call("GET", "/readyz")).json() == {"status": "ok", "database": "ok"}
    text = (await house.call("GET", "/metrics", "nightly")).text
    assert 'tradeloop_live_runs{desk="prices",state="queued"}' in text
    assert "tradeloop_database_up 1.0" in text
    assert 'tradeloop_api_unauthenticated_total{reason="missing"}' in text or "unauthenticated" in text
