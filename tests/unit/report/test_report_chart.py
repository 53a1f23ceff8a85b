"""Charts: nothing extreme is lost, nothing is drawn outside, nothing from outside becomes markup."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradeloop.report.axis import fitted, path, px, thinned, width_of
from tradeloop.report.chart import Bars, Lines, Mark, Panel, Point, Series
from tradeloop.report.svg import LABEL_ROWS, ROWS_SHOWN, drawn, svg
from tradeloop.report.words import count, figure, markup, plain, span

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b[31m"


def lines(values: list[float | None], **more: object) -> Lines:
    slots = tuple(f"2009-01-{at:05d}" for at in range(len(values)))
    points = tuple(Point(at, value) for at, value in enumerate(values))
    return Lines("prices", "a sentence", slots, (Series("close", points),), **more)  # type: ignore[arg-type]


def parsed(chart: Lines | Bars) -> ElementTree.Element:
    return ElementTree.fromstring(svg(chart, "c"))  # noqa: S314 - our own


def texts(chart: Lines | Bars) -> list[str]:
    return [element.text or "" for element in parsed(chart).iter(f"{SVG}text")]


def line_ys(chart: Lines, look: str = "line") -> list[float]:
    found = [e.get("d", "") for e in parsed(chart).iter(f"{SVG}path") if e.get("class") == look]
    return [float(y) for _, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", found[-1])]


@given(st.lists(st.tuples(st.floats(0, 900), st.floats(-1e6, 1e6)), max_size=400))
def test_thinning_keeps_first_last_lowest_and_highest_of_every_column(points: list[tuple[float, float]]) -> None:
    points.sort(key=lambda one: one[0])
    kept = thinned(points)

    assert set(kept) <= set(points)
    assert len(kept) <= 4 * 901
    for column in {int(x) for x, _ in points}:
        before = [y for x, y in points if int(x) == column]
        after = [y for x, y in kept if int(x) == column]
        assert (after[0], after[-1], min(after), max(after)) == (before[0], before[-1], min(before), max(before))


def test_a_spike_among_fifty_thousand_points_is_drawn_and_the_picture_stays_small() -> None:
    values: list[float | None] = [100 + math.sin(at) for at in range(50_000)]
    values[31_337] = 140.0
    ys = line_ys(lines(values))

    assert min(ys) == pytest.approx(24 + 220 * 0.06 / 1.12, abs=1)
    assert sorted(ys)[1] > 200
    assert len(svg(lines(values), "c")) < 60_000


def test_a_spike_in_highs_alone_is_drawn_too() -> None:
    ranges = tuple((at, 99.0, 9_999.0 if at == 20_000 else 101.0) for at in range(40_000))
    chart = lines([100.0] * 40_000, ranges=ranges)
    found = next(
        e.get("d", "") for e in parsed(chart).iter(f"{SVG}path") if e.get("class") == "range" and "V" in e.get("d", "")
    )
    tops = [float(y) for y in re.findall(r"V([\d.]+)", found)]

    assert min(tops) < 40
    assert len(tops) < 1_000


def test_an_absent_value_breaks_the_line_and_a_lonely_one_is_a_dot() -> None:
    chart = lines([1.0, 2.0, None, 3.0, None, 2.0, 1.0])
    drawn_line = [e.get("d", "") for e in parsed(chart).iter(f"{SVG}path") if e.get("class") == "line"][-1]
    assert drawn_line.count("M") == 3
    assert drawn_line.count("h.01") == 1


@given(st.lists(st.one_of(st.none(), st.floats(-1e18, 1e18), st.floats(1e-18, 1e18)), max_size=60))
def test_every_point_lies_within_the_plot_whatever_its_size(values: list[float | None]) -> None:
    chart = lines(values)
    drawing = drawn(chart)

    assert all(
        math.isfinite(y) and 23 <= y <= 245 for y in (line_ys(chart) if any(v is not None for v in values) else [])
    )
    assert "nan" not in drawing.body
    assert "inf" not in drawing.body


@pytest.mark.parametrize("values", [[], [None, None], [5.0], [0.0, 0.0], [1e300, -1e300], [1e-300, 1e300]])
def test_an_odd_series_is_drawn_or_said_to_be_none(values: list[float | None]) -> None:
    said = texts(lines(values))
    assert ("no value can be drawn" in said) == (not [value for value in values if value is not None])


def test_a_legend_too_wide_for_a_row_takes_another() -> None:
    names = [f"close of a source with a long name {at}" for at in range(5)]
    chart = Lines(
        "t", "w", ("a",), tuple(Series(name, (Point(0, 1.0),)) for name in names), band=(0, 0), band_name="period"
    )
    tops = {e.get("transform", "").partition(" ")[2] for e in parsed(chart).iter(f"{SVG}g")}

    assert len(tops) > 1
    assert set(names) <= set(texts(chart))
    assert drawn(chart).height > drawn(lines([1.0])).height


def test_far_extremes_get_a_logarithmic_scale_and_the_picture_says_so() -> None:
    assert "logarithmic scale" in texts(lines([100.0, 101.0, 10_000.0]))
    assert "logarithmic scale" not in texts(lines([100.0, 101.0, 150.0]))
    assert "logarithmic scale" not in texts(lines([-1.0, 10_000.0]))


def test_every_finding_has_a_triangle_and_its_id_or_is_counted() -> None:
    marks = tuple(Mark(f"F-{at:02d}", 300 + at, 1.0) for at in range(60))
    said = texts(lines([1.0] * 1000, marks=marks))
    shown = [word for text in said for word in text.split() if word.startswith("F-")]
    lost = next(int(text.split()[0]) for text in said if "more finding" in text)
    triangles = [e for e in parsed(lines([1.0] * 1000, marks=marks)).iter(f"{SVG}path") if e.get("class") == "mark"]

    assert len(triangles) == 60 + 1  # the legend's own
    assert len(shown) + lost == 60
    assert len(shown) == len(set(shown)) >= LABEL_ROWS


def test_findings_of_one_day_share_a_label() -> None:
    marks = tuple(Mark(f"F-{at:02d}", 3) for at in range(1, 6))
    assert "F-01 F-02 F-03 +2" in texts(lines([1.0] * 10, marks=marks))


def test_labels_of_findings_never_overlap() -> None:
    marks = tuple(Mark(f"F-{at:02d}", at * 3, 1.0) for at in range(100))
    placed = [
        (float(e.get("y", 0)), float(e.get("x", 0)), width_of(e.text or ""))
        for e in parsed(lines([1.0] * 300, marks=marks)).iter(f"{SVG}text")
        if (e.text or "").startswith("F-")
    ]
    for row in {y for y, _, _ in placed}:
        ends = sorted((x - wide / 2, x + wide / 2) for y, x, wide in placed if y == row)
        assert all(one[1] <= other[0] for one, other in pairwise(ends))
        assert ends[-1][1] <= 700


def test_a_picture_tells_itself_in_title_and_description() -> None:
    root = parsed(lines([1.0, 2.0]))
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "c-t c-d"
    assert [root.find(f"{SVG}{name}").text for name in ("title", "desc")] == ["prices", "a sentence"]  # type: ignore[union-attr]


def test_no_text_becomes_markup() -> None:
    panel = Panel(HOSTILE, (1.0,), (HOSTILE,), lines=((0.5, HOSTILE),))
    for chart in (
        Bars(HOSTILE, HOSTILE, (HOSTILE,), (panel,), (HOSTILE,)),
        Lines(
            HOSTILE, HOSTILE, (HOSTILE,), (Series(HOSTILE, (Point(0, 1.0),)),), marks=(Mark(HOSTILE, 0),), band=(0, 0)
        ),
    ):
        told = svg(chart, "c")
        root = ElementTree.fromstring(told)  # noqa: S314
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            "svg",
            "title",
            "desc",
            "path",
            "text",
            "circle",
            "g",
        }
        assert "\u202e" not in told
        assert "\x1b" not in told


def test_bars_are_as_long_as_their_values_and_bounds_stand_where_they_are() -> None:
    chart = Bars(
        "b",
        "w",
        ("a", "b", "c"),
        (Panel("p", (1.0, 0.5, None), ("1", "½", "—"), (True, False, False), ((0.5, "half"),)),),
    )
    shapes = {e.get("class"): e.get("d", "") for e in parsed(chart).iter(f"{SVG}path")}
    long, short = (float(re.search(r"h([\d.]+)", shapes[look]).group(1)) for look in ("strong", "bar"))  # type: ignore[union-attr]
    bound = float(re.match(r"M([\d.]+)", shapes["bound"]).group(1))  # type: ignore[union-attr]
    begin = float(re.match(r"M([\d.]+)", shapes["strong"]).group(1))  # type: ignore[union-attr]

    assert long == pytest.approx(2 * short, abs=0.2)
    assert bound == pytest.approx(begin + short, abs=0.2)
    assert "—" in texts(chart)


def test_a_bar_beyond_the_scale_ends_in_a_tip_and_a_bound_runs_through_no_text() -> None:
    panel = Panel("p", (1000.0, 0.9), ("1000", "0.9"), lines=((1.0, "full"),), most=2.0)
    root = parsed(Bars("b", "w", ("a", "b"), (panel,)))
    bars = [e.get("d", "") for e in root.iter(f"{SVG}path") if e.get("class") == "bar"]
    looks = [e.get("class") for e in root.iter(f"{SVG}path")]

    assert ["l6 7l-6 7" in bar for bar in bars] == [True, False]
    assert looks.index("bound") < looks.index("ground")


def test_a_long_list_of_bars_says_what_it_leaves_out_and_an_empty_one_that_it_is() -> None:
    rows = tuple(f"row {at}" for at in range(ROWS_SHOWN + 3))
    panel = Panel("p", tuple(1.0 for _ in rows), tuple("1" for _ in rows))
    assert "3 more rows: see the table" in texts(Bars("b", "w", rows, (panel,)))
    assert "nothing to draw" in texts(Bars("b", "w", (), (Panel("p", (), ()),)))


def test_small_words() -> None:
    assert [figure(value) for value in (None, math.nan, 0.0, -1234.5, 0.00001, 1e20, 123_456.7, 98.5)] == [
        "—",
        "—",
        "0",
        "−1,234.5",
        "1e−05",
        "1e+20",
        "123,457",
        "98.5",
    ]
    assert [count(1, "run"), count(2, "penalty"), count(0, "batch")] == ["1 run", "2 penalties", "0 batches"]
    assert [span(s) for s in (None, 0.038, 2.1, 125, 7200, 200_000)] == [
        "—",
        "38 ms",
        "2.1 s",
        "2 min",
        "2.0 h",
        "2.3 d",
    ]
    assert plain("a\n\tb\u202e" + "x" * 500, 10) == "a b⟨U+202E⟩xxxxx…"
    assert markup("<'\">") == "&lt;&#x27;&quot;&gt;"
    assert (px(-0.01), px(3.0), px(2.25)) == ("0", "3", "2.2")
    assert path([[], [(1, 2)]]) == "M1 2h.01"
    assert fitted("abcdefgh", width_of("abc…")) == "abc…"
    assert fitted("漢字", 100) == "漢字"
