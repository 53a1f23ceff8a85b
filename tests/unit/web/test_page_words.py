"""What pages are made of, without a browser: spelling, times, sentences, figures, drawings, preferences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from markupsafe import Markup

from tradeloop import Action, Decision
from tradeloop.domain.approvals import Approval, ApprovalState, ApprovalStep, Pattern, Requirement, Vote
from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.domain.runs import RunState, RunView
from tradeloop.errors import AnswerStale, DatabaseUnreachable, NotFound, TradeloopError
from tradeloop.web import assets, graph, road, times
from tradeloop.web.boxes import box_for, closed, history_of
from tradeloop.web.oversight import by_approver, by_key, in_all, is_phrase, to_be_read, took_s
from tradeloop.web.preferences import COOKIE, Preferences
from tradeloop.web.question import (
    PHRASES,
    against,
    changes_of,
    difference,
    ended_words,
    quoted_of,
    sentences_of,
    value_words,
)
from tradeloop.web.sentences import why
from tradeloop.web.spelling import cut, finalized, spelled
from tradeloop.web.troubles import trouble_of

NOW = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
ACTION = Action(kind="trigger_dag", target="publish", params={"rows": 3, "price": "86.10"})
ANNA = Principal(name="anna.k", roles=frozenset({Role.APPROVER}), delegations=(Delegation(),))
BEN = Principal(name="ben.o", roles=frozenset({Role.APPROVER}), delegations=(Delegation(),))


def approval(**more: Any) -> Approval:
    given: dict[str, Any] = {
        "approval_id": uuid4(),
        "run_id": uuid4(),
        "decision_id": uuid4(),
        "event_id": uuid4(),
        "desk": "marketdata",
        "subject": "SPY",
        "slot": "act",
        "interrupt_id": "i1",
        "action": ACTION,
        "digest": ACTION.digest,
        "requirement": Requirement(pattern=Pattern.MAKER_CHECKER, rule="r1"),
        "policy_hash": "p",
        "agent": "agent:marketdata",
        "asked_at": NOW - timedelta(hours=1),
        "deadline_at": NOW + timedelta(hours=1),
    }
    return Approval.model_validate(given | more)


def vote(
    name: str = "anna.k", answer: str = "approve", reason: str = "it is all in order", opened_s: float = 60
) -> Vote:
    opened = (NOW - timedelta(seconds=opened_s)).isoformat()
    return Vote.model_validate(
        {"principal": name, "answer": answer, "reason": reason, "channel": "web", "digest": ACTION.digest, "at": NOW}
        | {"seen": {"opened_at": opened}}
    )


def run(state: RunState, **more: Any) -> RunView:
    given: dict[str, Any] = {
        "run_id": uuid4(), "state": state, "desk": "d", "subject": "SPY", "event_id": uuid4(), "event_type": "t",
        "graph": "g", "graph_version": "4c00", "appended_at": NOW, "received_at": NOW, "finished_at": None,
        "decision_id": uuid4(), "decision": None, "effect": {}, "error": "", "lane": "fast", "topic": "e",
        "partition": 0, "offset": 1,
    }  # fmt: skip
    return RunView(**(given | more))


def test_what_nobody_sees_is_spelled_and_what_is_plain_is_left_alone() -> None:
    assert spelled("plain text\nof two lines") == "plain text\nof two lines"
    assert spelled("a\u202eb\u200bc\u3164\ufe0fd\r\ne") == "a⟨U+202E⟩b⟨U+200B⟩c⟨U+3164⟩⟨U+FE0F⟩d\ne"
    assert spelled("Grüße, 日本 العربية") == "Grüße, 日本 العربية"
    assert finalized(Markup("<b>")) == Markup("<b>")
    assert finalized(None) == ""
    assert finalized(3) == 3
    assert cut("a " * 400, 10) == "a a a a a…"


def test_times_tell_utc_and_the_local_zone_and_what_is_left() -> None:
    berlin, utc = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
    assert times.both(NOW, berlin, NOW) == Markup(
        '<time datetime="2026-11-23T17:00:00Z">17:00:00Z (18:00:00 CET)</time>'
    )
    assert "2026-11-23 17:00:00Z" in times.both(NOW, utc, NOW + timedelta(days=2))
    assert times.when(None, utc, NOW) == times.both(None, utc, NOW) == "—"
    left = [times.left(NOW + timedelta(seconds=s), NOW) for s in (-1, 2739, 7500, 360_000)]
    assert left == ["none", "45 min 39 s", "2 h 05 min", "4 d 4 h"]
    assert times.ago(None, NOW) == "—"


def test_preferences_fall_back_where_they_do_not_fit() -> None:
    chosen = Preferences.read({COOKIE: "zone=Asia%2FTokyo&theme=dark&density=comfortable&keys=off"})
    assert (chosen.zone, chosen.theme, chosen.density, chosen.keys) == ("Asia/Tokyo", "dark", "comfortable", False)
    assert Preferences.read({COOKIE: chosen.cookie}) == chosen
    assert Preferences.read({COOKIE: "zone=../../etc&theme=pink", "tradeloop_zone": "Europe%2FBerlin"}) == Preferences()
    assert Preferences.read({"tradeloop_zone": "Europe%2FBerlin"}).tz.key == "Europe/Berlin"


@pytest.mark.parametrize(
    ("now", "after", "told"),
    [("86.10", "86.1", "0"), ("22", 19, "−3"), ("1.10", "2.25", "+1.15"), ("a", "b", "changed"), ("a", "a", ""),
     ("86", None, "removed"), (None, "86", "added"), (None, None, ""), (True, False, "changed"),
     ("1e99999", "1", "changed")],
)  # fmt: skip
def test_differences_keep_their_scale(now: Any, after: Any, told: str) -> None:
    assert difference(now, after) == told


def test_values_are_told_in_words() -> None:
    told = [value_words(one) for one in (None, "", True, False, -1200, ["a", 1], [], {"a": 1}, {}, "86.10")]
    assert told == ["—", "—", "yes", "no", "−1,200", "a, 1", "none", "a 1", "none", "86.10"]


def test_a_context_of_any_form_makes_a_page_and_never_an_error() -> None:
    for context in (
        {},
        {"facts": "x", "consequences": 3, "proposal": []},
        {"proposal": "words"},
        {"consequences": "one"},
    ):
        one = approval(context=context)
        assert changes_of(one) == []
        assert sentences_of(one) in ([], ["one"])
        quoted_of(one)
    told = approval(
        context={"consequences": {"rows": 3}, "proposal": {"rationale": "why", "model": "m", "cited": ["F-01"]}}
    )
    assert sentences_of(told) == ["rows: 3"]
    quoted = quoted_of(told)
    assert quoted is not None
    assert (quoted.author, quoted.text, quoted.cites) == ("m", "why", (("F-01", False),))


def test_two_versions_differ_by_parameter() -> None:
    later = approval(action=Action(kind="trigger_dag", target="other", params={"rows": 4, "new": "x"}))
    told = [(row.field, row.now, row.after, row.difference, row.removed) for row in against(approval(), later)]
    assert told == [
        ("target", "publish", "other", "changed", False),
        ("rows", "3", "4", "+1", False),
        ("price", "86.10", "—", "removed", True),
        ("new", "—", "x", "added", False),
    ]


def test_the_box_says_how_it_ended() -> None:
    ended = {
        ApprovalState.EXPIRED: "Expired: nobody answered",
        ApprovalState.CANCELLED: "Void",
        ApprovalState.REJECTED: "Rejected",
        ApprovalState.EXECUTED: "Approved by nobody",
    }
    for state, words in ended.items():
        one = approval(state=state, closed_at=NOW)
        assert ended_words(one).startswith(words)
        assert closed(one, NOW).state == state.value
        assert closed(one, NOW + timedelta(days=1), "typed").typed == "typed"
    assert closed(approval(), NOW + timedelta(hours=2)).heading == "Expired at 18:00:00Z, rejected"
    mine = box_for(approval(votes=(vote(),), requirement=two()), ANNA, NOW, [])
    assert "waits for 1 more" in mine.lines[1]
    assert box_for(approval(), BEN, NOW, []).can_answer
    rows = history_of([approval(votes=(vote(),), requirement=two()), approval(state="expired", closed_at=NOW)], BEN)
    assert [row["who"] for row in rows].count("another person") == 1


def two() -> Requirement:
    return Requirement(pattern=Pattern.N_OF_M, rule="r2", steps=(ApprovalStep(needs=2),))


def test_every_state_of_a_run_is_one_sentence() -> None:
    decision = Decision(outcome="ACCEPT_WITH_NOTE")
    effect = {"kind": "trigger_dag", "target": "publish", "state": "executed"}
    ahead = run(RunState.RUNNING)
    told = [
        why(run(RunState.QUEUED)),
        why(run(RunState.QUEUED), (), ahead),
        why(run(RunState.RUNNING)),
        why(run(RunState.RETRYING, error="switched off: global stopped by anna.k: bad feed")),
        why(run(RunState.RETRYING, error="", fails=2)),
        why(run(RunState.PARKED), [approval(requirement=two(), votes=(vote(),))]),
        why(run(RunState.PARKED)),
        why(run(RunState.OUTCOME_UNKNOWN, effect=effect)),
        why(run(RunState.VERSION_UNAVAILABLE)),
        why(run(RunState.DONE, decision=decision, effect=effect)),
        why(run(RunState.DONE, decision=decision)),
        why(run(RunState.UNHANDLED)),
        why(run(RunState.FAILED, error="no luck")),
        why(run(RunState.EXPIRED)),
    ]
    assert told == [
        "Waits for a free worker",
        f"Waits: earlier event of SPY still runs ({str(ahead.decision_id)[:8]}…)",
        "A worker is at it",
        "Rests: global stopped by anna.k: bad feed",
        "Tries again, 2 failures so far: no word",
        "Waits for 1 more approver, deadline 2026-11-23 18:00:00Z",
        "Waits for a person",
        "Outcome unknown: trigger_dag publish executed; a person must say what happened",
        "Graph version 4c00 is no longer deployed: runs move takes it to another",
        "Decided accept with note by policy; trigger_dag publish executed",
        "Decided accept with note by policy; nothing was to be done",
        "No desk answers t",
        "Failed: no luck",
        "Expired",
    ]


def test_figures_tell_a_rubber_stamp_and_a_summary_is_to_be_read() -> None:
    quick = [approval(votes=(vote(opened_s=2, reason=PHRASES[0]),), state="executed") for _ in range(30)]
    others = [approval(votes=(vote("ben.o", "reject"),), state="rejected"), approval(state="expired")]
    others.append(approval(votes=(vote("ben.o"),), state="outcome_unknown"))
    anna, ben = by_approver([*quick, *others])
    assert (anna.name, anna.answers, anna.yes_share, anna.median_s, anna.phrase_only) == ("anna.k", 30, 1.0, 2.0, 30)
    assert anna.is_signal
    assert not ben.is_signal
    assert (ben.rejected, ben.undone) == (1, 1)
    everything = in_all([*quick, *others])
    assert (everything.asked, everything.expired) == (33, 1)
    assert [one.name for one in by_key(quick, lambda one: one.desk)] == ["marketdata"]
    assert in_all([]).yes_share is None
    pairs = [(one, one.votes[0]) for one in quick]
    assert len(to_be_read(pairs[:3])) == 3
    slow = [(one, vote(opened_s=90)) for one in quick]
    assert to_be_read(slow[:3]) == []
    assert len(to_be_read(slow[:20])) == 20
    assert to_be_read([]) == []
    assert is_phrase("Checked against the second source; within the desk's tolerance")
    assert not is_phrase("because")
    for opened in (None, "never", "2026-11-23T16:00:00", "2027-11-23T16:00:00+00:00"):
        assert took_s(vote().model_copy(update={"seen": {"opened_at": opened}})) is None


def test_the_graph_is_drawn_in_layers_and_says_what_was_not_taken() -> None:
    shape = graph.Shape(
        ("load", "policy", "ask", "guard", "act"),
        (("__start__", "load"), ("load", "policy"), ("policy", "ask"), ("policy", "guard"), ("ask", "guard"),
         ("guard", "act"), ("act", "load"), ("act", "__end__")),
    )  # fmt: skip
    steps = [
        SimpleNamespace(nodes=(name,), at=NOW + timedelta(seconds=at))
        for at, name in enumerate(("load", "policy", "guard"), 1)
    ]
    nodes = graph.nodes_of(shape, steps, NOW, live=True, parked=True)
    assert [(node.name, node.state) for node in nodes] == [
        ("load", "done"), ("policy", "done"), ("ask", "not taken"), ("guard", "done"), ("act", "current"),
    ]  # fmt: skip
    drawn = graph.drawing(shape, nodes)
    assert drawn.count("<rect") == 5
    assert "here now" in drawn
    unknown = graph.Shape.of_steps(["a", "b", "a"])
    assert unknown.nodes == ("a", "b")
    assert graph.drawing(graph.Shape((), ()), []) == ""
    longest = graph.Shape.of_steps([f"n{at}" for at in range(20)])
    assert graph.drawing(longest, graph.nodes_of(longest, [], NOW, live=False)) == ""


def test_the_road_names_its_legs_and_breaks_its_axis_for_a_long_wait() -> None:
    points = [
        ("task", NOW),
        ("Kafka", NOW + timedelta(milliseconds=11)),
        ("gone", None),
        ("done", NOW + timedelta(hours=1)),
    ]
    legs = road.legs_of(points, [("asked", NOW + timedelta(seconds=1), NOW + timedelta(minutes=41))])
    assert [leg.name for leg in legs] == ["task → Kafka", "Kafka → done", "asked"]
    drawn = road.drawing(legs)
    assert "person 41 min" in drawn
    assert "axis broken" in drawn
    assert road.drawing([]) == ""
    assert "axis broken" not in road.drawing(legs[:1])


def test_troubles_tell_no_machine_and_name_the_part_that_is_down() -> None:
    away = trouble_of(DatabaseUnreachable("PostgreSQL at 10.0.0.7:5432 did not answer"))
    assert (away.status, away.headers) == (503, {"Retry-After": "2"})
    assert "10.0.0.7" not in away.details
    assert away.detail.startswith("PostgreSQL does not answer")
    assert trouble_of(AnswerStale("x")).status == 412
    assert trouble_of(NotFound("no such run.", hint="tradeloop runs list")).next == "tradeloop runs list"
    defect = trouble_of(TradeloopError("secret"))
    assert (defect.status, defect.title) == (500, "This is a defect of tradeloop")
    assert "secret" not in defect.details


def test_vendored_files_are_those_that_the_list_names() -> None:
    from hashlib import sha256

    listed = {}
    for line in assets.content("VENDOR.txt").decode().splitlines():
        parts = line.split()
        if len(parts) >= 4 and len(parts[-1]) == 64:
            listed[parts[0]] = parts[-1]
    assert set(listed) == {"htmx.min.js", "icons.svg"}
    assert all(sha256(assets.content(name)).hexdigest() == digest for name, digest in listed.items())
    assert sum(len(assets.content(name)) for name in assets.names()) <= 120_000
