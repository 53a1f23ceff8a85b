"""The page and the sheet: whole, without script or outside reference, text from outside inert, a picture a desk."""

from __future__ import annotations

import base64
import re
import struct
import sys
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import pytest
from reporting import NOON, NOWHERE, batch, case, day, payload, priced, run

from tradeloop.domain.decisions import Decision
from tradeloop.domain.desk_days import Coverage
from tradeloop.domain.runs import RunState
from tradeloop.errors import PrerequisiteMissing
from tradeloop.report.cases import case_of, weight
from tradeloop.report.chart import Bars, Lines
from tradeloop.report.day import Day, Picture, Source
from tradeloop.report.desks import pictures
from tradeloop.report.page import page
from tradeloop.report.png import png
from tradeloop.report.sheet import CHARTS, RUNS, sheet
from tradeloop.report.style import DARK, LIGHT, TONES, page_style, picture_style

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202e\x1b[31m"
VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Elements and attributes, as a browser's parser would find them; every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def told(found: Day, most: int = 40) -> str:
    drawn, left_out = pictures(found.desk, found.cases, NOWHERE, most)
    return page(found, drawn, left_out=left_out)


def one(cases: list[Any], desk: str) -> Picture:
    (found,) = pictures(desk, cases, NOWHERE)[0]
    return found


def spiked() -> dict[str, Any]:
    data = batch()
    row = data["bars"][9]
    data["bars"][9] = row | {name: f"{float(row[name]) * 100:.2f}" for name in ("open", "high", "low", "close")}
    return data


def test_a_page_is_whole_and_asks_nobody_for_anything() -> None:
    text = told(day(priced(spiked()), priced(batch(), subject="ABC/2009-06/2")))
    read = Reader(text)

    assert read.open == []
    assert {"script", "link", "img", "iframe", "object", "style"} & set(read.tags) == {"style"}
    assert {name for name, _ in read.attributes if name.startswith("on") or name in ("src", "style", "srcset")} == set()
    assert [value for name, value in read.attributes if name == "href" and not value.startswith("#")] == []
    ids = [value for name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for name, value in read.attributes if name == "href"} <= set(ids)
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_of_the_page_allows_its_own_style_and_nothing_else() -> None:
    text = told(day(priced(batch())))
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(sha256(style.group(1).encode()).digest()).decode()

    policy = next(value for _, value in Reader(text).attributes if value.startswith("default-src"))
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_text_from_outside_is_shown_and_does_nothing() -> None:
    decision = Decision(
        outcome=HOSTILE[:90],
        reasons=[HOSTILE] * 5,
        findings=[{"id": HOSTILE, "rule": HOSTILE, "sentence": HOSTILE, "dates": [HOSTILE]}],
        policy_version=HOSTILE,
    )
    facts = {
        "findings": decision.findings,
        "penalty": {"currency": HOSTILE, "accrued": "1"},
        "codes": [HOSTILE],
        "fault": HOSTILE,
        "kinds": {HOSTILE: 3},
        "matched": HOSTILE,
        "breaks": HOSTILE,
        "limits": [{"limit_id": HOSTILE, "metric": HOSTILE, "state": HOSTILE, "utilisation": 1.3}],
    }
    effect: dict[str, object] = {"kind": HOSTILE, "target": HOSTILE, "state": HOSTILE}
    counts = Coverage(
        received=1, decided=1, outcomes={HOSTILE: 1}, lanes={HOSTILE: 1}, policies=(HOSTILE,), open={HOSTILE: 1}
    )
    for desk in ("marketdata", "settlement", "reconciliation", "limits", HOSTILE):
        bad = case(facts, desk, subject=HOSTILE, decision=decision, effect=effect, error=HOSTILE)
        for made in (bad, replace(bad, run=replace(bad.run, decision=None)), replace(bad, source=Source.DECISION)):
            found = day(made, desk=desk, coverage=counts)
            read = Reader(told(found))
            assert {"script", "img"} & set(read.tags) == set()
            assert {name for name, _ in read.attributes if name.startswith("on")} == set()
            assert not {c for c in "".join(read.text) if not c.isprintable() and c != "\n"}
            assert "<script>alert(1)</script>" in "".join(read.text)
            drawn, _ = pictures(desk, [made], NOWHERE)
            assert "<script" not in sheet(found, drawn)


def test_every_state_has_an_icon_and_a_word() -> None:
    views = [run(state=state, decision=None, finished_at=None) for state in RunState]
    text = told(day(*(case_of(view, None, {}, NOWHERE) for view in views)))
    badges = re.findall(r'<span class="state (\w+)"><svg[^>]*><path[^>]* d="[^"]+"[^>]*/></svg>([^<]+)</span>', text)

    assert {word for _, word in badges} >= {state.value.replace("_", " ") for state in RunState}
    assert {tone for tone, _ in badges} <= set(TONES)
    assert "No run of the day has facts to draw." in text


def test_the_counts_of_the_day_stand_with_their_words() -> None:
    counts = Coverage(
        received=12,
        decided=10,
        decided_of_earlier=1,
        ended={"failed": 1},
        open={"waiting_for_person": 2},
        outcomes={"ESCALATE": 4, "ACCEPT": 6},
        decided_by={"policy": 8, "model": 2},
        degraded=1,
        effects={"executed": 5},
        policies=("2026.11",),
        doubles=3,
        lanes={"fast": 11, "sweep": 1},
        dead_letters={"open": 1},
        median_s=0.038,
        slowest_s=61,
    )
    shown = " ".join("".join(Reader(told(day(priced(batch()), coverage=counts))).text).split())
    for words in (
        "11 fast lane, 1 sweep lane; 3 came twice",
        "1 of events of earlier days. 8 by policy, 2 by model; 1 degraded",
        "1 failed",
        "2 waiting for person",
        "escalate 4",
        "5 executed",
        "1 open",
        "38 ms",
        "half of 10 within it; the slowest 1 min",
        "Policy of the decisions: 2026.11.",
        "The day is that of UTC",
        "2026-11-23 12:00:00Z",
    ):
        assert words in shown, words


def test_times_of_other_days_are_told_with_their_day_and_all_for_programs() -> None:
    late = run(received_at=NOON.replace(day=22), finished_at=NOON)
    text = told(day(case_of(late, None, {}, NOWHERE)))
    assert '<time datetime="2026-11-22T12:00:00+00:00">2026-11-22 12:00:00Z</time>' in text
    assert '<time datetime="2026-11-23T12:00:00+00:00">12:00:00Z</time>' in text


def test_a_batch_is_drawn_with_its_findings_and_its_bars_stand_beside() -> None:
    found = one([priced(spiked())], "marketdata")
    chart, table = found.chart, found.table
    assert isinstance(chart, Lines)
    at = chart.slots.index("2009-06-12")

    assert {mark.label for mark in chart.marks if mark.slot == at} >= {"F-01"}
    assert [series.look for series in chart.series] == ["before", "line"]
    assert chart.band
    assert chart.slots[chart.band[0]] == "2009-06-01"
    assert "F-01" in chart.words
    assert next(row for row in table.rows if row[0] == "2009-06-12")[-1] == "F-01"
    assert len(table.rows) == 22
    assert found.remarks[0] == "Coverage: 22 of 22 sessions of XNYS, 22 rows."


def test_a_second_source_is_dashed_and_in_the_table() -> None:
    data = spiked() | {"second_source": {"name": "feed B", "bars": batch()["bars"]}}
    found = one([priced(data)], "marketdata")
    assert isinstance(found.chart, Lines)

    assert next((s.name, s.look) for s in found.chart.series) == ("close, feed B", "second")
    assert "stroke-dasharray" in "".join(re.findall(r"\.second\{[^}]*\}", page_style()))
    assert found.table.columns == ("day", "low", "high", "close", "second", "findings")
    assert found.table.rows[0][4] == batch()["bars"][0]["close"]


def test_a_missing_bar_breaks_the_line_and_is_marked_and_odd_rows_are_told() -> None:
    data = batch()
    del data["bars"][5]
    data["bars"][2]["close"] = "n/a"
    data["bars"].append({"date": "rubbish", "close": "1"})
    found = one([priced(data)], "marketdata")
    assert isinstance(found.chart, Lines)
    gap = found.chart.slots.index("2009-06-08")
    own = {point.slot: point.value for point in found.chart.series[-1].points}

    assert own[gap] is None
    assert own[found.chart.slots.index("2009-06-03")] is None
    assert [mark.value for mark in found.chart.marks if mark.slot == gap] == [None]
    assert "1 row without a readable date: not drawn." in found.remarks
    assert found.table.rows[-1][0] == "row 22"


def test_a_long_batch_shows_the_bars_that_say_most() -> None:
    data = batch() | {"period": "2009-01-05/2009-06-30"}
    data["bars"], data["context"] = [*data["context"], *data["bars"]], []
    data["bars"][77] = data["bars"][77] | {"close": "5"}
    found = one([priced(data)], "marketdata")

    assert len(found.table.rows) <= 45
    assert {"2009-01-05", "2009-06-30"} <= {row[0] for row in found.table.rows}
    assert any(row[3] == "5" for row in found.table.rows)
    assert " of 127 bars" in found.table.caption


def test_bars_within_a_day_are_drawn_by_the_minute() -> None:
    data = batch(frequency="1h", period="2009-06-01", context=[])
    data["bars"] = [bar | {"date": f"2009-06-01T{13 + at}:00:00+00:00"} for at, bar in enumerate(data["bars"][:7])]
    found = one([priced(data)], "marketdata")
    assert isinstance(found.chart, Lines)

    assert found.chart.slots[0] == "2009-06-01T13:00Z"
    assert found.table.columns[0] == "start (UTC)"
    assert found.remarks[0].startswith("Coverage: 7 of 8 bars") or found.remarks[0].startswith("Coverage: 7 of 7 bars")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "its bars are not kept any more"),
        ({"symbol": "ABC"}, "cannot be read"),
        ({"reference": {"uri": "file:///gone", "sha256": "0" * 64, "size_bytes": 1}}, "cannot be read"),
    ],
)
def test_a_batch_that_is_gone_is_told_and_its_findings_stay(data: dict[str, Any], why: str) -> None:
    facts = {"findings": [{"id": "F-01", "rule": "MD05", "sentence": "gap", "dates": ["2009-06-08"]}, "rubbish"]}
    made = case_of(run(), payload(data) if data else None, {"facts": facts}, NOWHERE)
    found = one([made], "marketdata")

    assert why in found.remarks[0]
    assert found.table.rows == (("2009-06-08", "F-01"),)
    assert "<b>F-01</b> MD05: gap" in told(day(made))


def test_facts_come_from_checkpoint_event_or_decision_and_the_page_says_from_which() -> None:
    data, recorded = spiked(), Decision(outcome="REFETCH", findings=[{"id": "F-09", "sentence": "kept"}])
    kept = case_of(run(), payload(data), {"facts": {"findings": []}, "header": 7}, NOWHERE)
    again = case_of(run(), payload(data), {}, NOWHERE)
    only = case_of(run(decision=recorded), None, {}, NOWHERE)
    own = case_of(run("own", decision=recorded), payload(data), {}, NOWHERE)
    broken = case_of(run(decision=None), b"\xff{", {"facts": []}, NOWHERE)
    refused = case_of(run(decision=None), payload({"symbol": 5}), {}, NOWHERE)

    assert [one.source for one in (kept, again, only, own)] == [
        Source.CHECKPOINT,
        Source.COMPUTED,
        Source.DECISION,
        Source.DECISION,
    ]
    assert kept.header == {}
    assert [finding["id"] for finding in again.findings][:1] == ["F-01"]
    assert [finding["id"] for finding in only.findings] == ["F-09"]
    assert broken.findings == refused.findings == []
    assert "computed again from the event" in told(day(again))


def settled(age: object, accrued: object = None, currency: str = "EUR", **more: Any) -> Any:
    penalty = {"currency": currency, "accrued": accrued, "missing": [] if accrued is not None else ["price"]}
    return case(
        {"age_bd": age, "penalty": penalty, "codes": ["LACK"], "fault": "us", "findings": [], **more}, "settlement"
    )


def test_fails_are_counted_by_age_and_money_by_currency() -> None:
    cases = [
        settled(0, "0.00"),
        settled(5, "10.50"),
        settled(6, "4.50"),
        settled(30, "7", "GBP"),
        settled(None),
        settled(-2, "1", "USD"),
        settled("rubbish"),
        settled(2, True),
        settled(1, findings=[{"asks": "ESCALATE"}]),
    ]
    found = one(cases, "settlement")
    assert isinstance(found.chart, Bars)
    panels = {panel.name: dict(zip(found.chart.rows, panel.texts, strict=True)) for panel in found.chart.panels}

    assert panels["instructions"] == {
        "not due yet": "1",
        "on its settlement date": "1",
        "1 business day late": "1",
        "2 business days late": "1",
        "4 to 6 business days late": "2",
        "21 or more business days late": "1",
        "date not told": "2",
    }
    assert panels["penalty so far, EUR"]["4 to 6 business days late"] == "15.00"
    assert panels["penalty so far, EUR"]["on its settlement date"] == "0.00"
    assert panels["penalty so far, EUR"]["1 business day late"] == "—"
    assert set(panels) == {"instructions", "penalty so far, EUR", "penalty so far, GBP"}
    assert "EUR 15.00" in found.chart.words
    assert "USD 1.00" in found.chart.words
    assert dict(zip(found.chart.rows, found.chart.notes, strict=True))["1 business day late"] == "1 for a person"
    assert found.table.rows[0][2:4] == ("30", "GBP 7.00")
    assert found.remarks == ("3 penalties unknown, as something is not given: they are not in the sums.",)
    assert one([settled(1, "1")], "settlement").remarks[0].startswith("The penalty of every")


def test_breaks_are_counted_by_class_and_by_age_or_what_they_ask() -> None:
    listed = [
        {"id": "F-01", "kind": "RB03", "asks": "ESCALATE", "sentence": "quantity differs: line 4"},
        {"id": "F-02", "kind": "RB03", "asks": "WAIT_NEXT_CYCLE"},
    ]
    facts = {
        "findings": listed,
        "kinds": {"RB03": 5, "RB10": 1, "RB99": 0},
        "matched": 90,
        "internal": 96,
        "external": 95,
        "breaks": 6,
    }
    asked = one([case(facts, "reconciliation")], "reconciliation")
    aged = one(
        [case({"findings": [{"kind": "RB03", "age_bd": 3}, {"kind": "RB03"}]}, "reconciliation")], "reconciliation"
    )
    assert isinstance(asked.chart, Bars)
    assert isinstance(aged.chart, Bars)

    assert asked.chart.rows == ("RB03 quantity differs", "RB10")
    assert asked.chart.notes == ("F-01 F-02", "")
    assert [(p.name, p.texts) for p in asked.chart.panels] == [
        ("breaks", ("5", "1")),
        ("escalate", ("1", "0")),
        ("wait next cycle", ("1", "0")),
    ]
    assert asked.remarks == ("ABC/2009-06: 90 matched of 96 and 95, 6 breaks.",)
    assert [(p.name, p.texts) for p in aged.chart.panels][1:] == [
        ("0 or 1 day", ("0",)),
        ("2 to 5 days", ("1",)),
        ("6 days or more", ("0",)),
        ("date not told", ("1",)),
    ]


def test_limits_are_bars_against_their_bounds_the_fullest_first() -> None:
    checked = [
        {"limit_id": "L1", "metric": "GROSS", "utilisation": 0.5, "state": "OK", "value": 50.0, "limit": 100},
        {"limit_id": "L2", "metric": "VAR", "utilisation": 1.25, "state": "HARD", "value": 125.0, "limit": 100},
        {"limit_id": "L3", "metric": "NET", "utilisation": None, "state": None},
        "rubbish",
    ]
    facts = {"limits": checked, "findings": [{"id": "F-01", "limit_id": "L2"}]}
    found = one([case(facts, "limits")], "limits")
    assert isinstance(found.chart, Bars)
    (panel,) = found.chart.panels

    assert found.chart.rows == ("L2 VAR", "L1 GROSS", "L3 NET")
    assert panel.texts == ("125.0% hard", "50.0% ok", "cannot be computed")
    assert panel.strong == (True, False, False)
    assert [name for _, name in panel.lines] == ["80%", "100%", "120%"]
    assert found.chart.notes == ("F-01", "", "")
    assert found.table.rows[0] == ("L2 VAR", "125", "100", "125.0% hard")
    assert "no limit was checked" in one([case({"limits": "none"}, "limits")], "limits").chart.words


def test_a_desk_without_a_picture_of_its_own_gets_its_findings_by_rule() -> None:
    findings = [{"id": f"F-{at}", "rule": "R1" if at else "R2", "sentence": "odd"} for at in range(150)]
    found = one([case({"findings": findings}, "own")], "own")

    assert found.chart.words == "Findings by rule: R1: 149, R2: 1."
    assert len(found.table.rows) == 100
    assert found.table.caption == "150 findings: the first 100 of 150"


def test_the_weightiest_pictures_come_first_and_the_rest_is_counted() -> None:
    calm, odd = priced(batch(), subject="calm"), priced(spiked(), subject="odd")
    own = case({"findings": []}, decision=Decision(outcome="OWN_WORD"))
    waits = case({"findings": []}, decision=Decision(outcome="ESCALATE"))
    ended = case({"findings": []}, decision=None, state=RunState.EXPIRED)
    drawn, left_out = pictures("marketdata", [calm, odd], NOWHERE, 1)

    assert [picture.chart.title for picture in drawn] == ["odd"]
    assert left_out == 1
    assert "1 more picture left out" in told(day(calm, odd), 1)
    assert sorted([own, ended, waits, calm], key=weight) == [waits, own, calm, ended]
    assert pictures("marketdata", [], NOWHERE) == ([], 0)


def test_the_picture_is_a_png_in_a_font_of_its_own() -> None:
    found = day(priced(spiked()), priced(batch()))
    drawn, _ = pictures("marketdata", found.cases, NOWHERE)
    made = png(sheet(found, drawn), picture_style(LIGHT), LIGHT["ground"])
    without_text = png(re.sub(r"<text.*?</text>", "", sheet(found, drawn)), picture_style(LIGHT), LIGHT["ground"])

    assert made[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", made[16:24])
    assert (width, height > 1000) == (1896, True)
    assert len(made) > 1.5 * len(without_text)


def test_a_sheet_says_what_it_leaves_out() -> None:
    cases = [priced(batch(), subject=f"ABC/{at}") for at in range(CHARTS + 2)]
    many = [case({}, subject=f"S{at}") for at in range(RUNS + 5)]
    found = day(*many)
    findings = [{"id": f"F-{at}", "sentence": "odd"} for at in range(9)]
    text = sheet(found, pictures("marketdata", [*cases, case({"findings": findings}, "marketdata")], NOWHERE)[0])

    assert "3 more pictures: see the page." in text
    assert "5 more runs: see the page." in text
    assert "3 more findings: see the page." in text


@pytest.mark.parametrize("module", ["resvg_py", "fontpkg"])
def test_a_png_without_its_parts_says_what_to_install(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PrerequisiteMissing, match="not installed") as raised:
        png("<svg/>", "", "#fff")
    assert "tradeloop[report]" in raised.value.hint


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_text_and_lines_stand_out_from_their_grounds(colours: dict[str, str]) -> None:
    assert colours.keys() == LIGHT.keys()
    for ground in ("ground", "surface"):
        assert min(contrast(colours[ink], colours[ground]) for ink in ("text", "muted", "link")) >= 4.5
        assert contrast(colours["edge"], colours[ground]) >= 3
    for tone in TONES:
        assert contrast(colours[tone], colours[f"{tone}-ground"]) >= 4.5
    assert min(contrast(ink, colours["ground"]) for ink in ("#0072b2", "#d55e00")) >= 3


def test_paper_is_light_and_screens_are_asked() -> None:
    style = page_style()
    assert "@media screen and (prefers-color-scheme:dark)" in style
    assert "@media print" in style
    assert "@media (forced-colors:active)" in style


def test_the_same_day_gives_the_same_bytes() -> None:
    found = day(priced(spiked()))
    assert told(found) == told(found)
