"""A desk's day as one picture: heading, coverage, charts and the decisions, for a chat or a slide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tradeloop.report.axis import fitted, px, width_of
from tradeloop.report.day import Case, Day, Picture
from tradeloop.report.page import title_of
from tradeloop.report.svg import drawn, icon, text
from tradeloop.report.words import clock, count, markup, moment, plain, said, tone_of

EDGE: Final = 24.0
WIDTH: Final = 900.0
CHARTS: Final = 6
"""Charts on one sheet: more would be too small to read; the page has them all."""
RUNS: Final = 15
FINDINGS: Final = 6
"""Findings beneath a chart."""
LINE: Final = 18.0
SET: Final = 0.81
"""How wide the sheet's own font runs beside those of pages."""


def sheet(day: Day, pictures: Sequence[Picture]) -> str:
    """The sheet as SVG, in one theme that its style sheet chooses."""
    made = _Sheet()
    made.heading(day)
    for picture in pictures[:CHARTS]:
        made.picture(picture)
    if len(pictures) > CHARTS:
        made.line(f"{count(len(pictures) - CHARTS, 'more picture')}: see the page.")
    made.decisions(day)
    return made.svg(title_of(day))


class _Sheet:
    def __init__(self) -> None:
        self._parts: list[str] = []
        self._y = EDGE

    def heading(self, day: Day) -> None:
        """Desk, day and the counts that matter."""
        found = day.coverage
        self._parts.append(
            f'<text x="{px(EDGE)}" y="{px(self._y + 16)}" class="t b title">{markup(title_of(day))}</text>'
        )
        self._y += 26
        self.line(f"Day in UTC. Made {moment(day.made_at)}.")
        waiting, ended = sum(found.open.values()), sum(found.ended.values())
        told = f"{count(found.received, 'event')} taken in, {found.decided:,} decided, {ended:,} ended undecided, "
        self.line(f"{told}{waiting:,} open now, {count(sum(found.dead_letters.values()), 'dead letter')}.", "t")
        x = EDGE
        for word, number in found.outcomes.items():
            x = self._badge(word, x, self._y, f" {number:,}") + 12
        self._y += 32 if found.outcomes else 6

    def picture(self, picture: Picture) -> None:
        """A chart with its heading and first findings."""
        case = picture.case
        x = EDGE
        told = fitted(plain(picture.chart.title), WIDTH - 300)
        self._parts.append(text(x, self._y + 12, told, "t b"))
        if case and case.run.decision:
            self._badge(case.run.decision.outcome, x + width_of(told) * SET * 1.06 + 14, self._y - 2)
        self._y += 24
        if picture.remarks:
            self.line(" ".join(picture.remarks))
        drawing = drawn(picture.chart, WIDTH)
        self._parts.append(f'<g transform="translate({px(EDGE)} {px(self._y)})">{drawing.body}</g>')
        self._y += drawing.height + 6
        findings = case.findings if case else []
        for one in findings[:FINDINGS]:
            self.line(f"{one.get('id', '')} {one.get('rule') or one.get('kind') or ''}: {one.get('sentence', '')}", "t")
        if len(findings) > FINDINGS:
            self.line(f"{count(len(findings) - FINDINGS, 'more finding')}: see the page.")
        self._y += 14

    def decisions(self, day: Day) -> None:
        """The newest runs, one a line."""
        self._parts.append(text(EDGE, self._y + 12, "Decisions, times in UTC", "t b"))
        self._y += 22
        shown = day.cases[:RUNS]
        wide = max((_wide(_word(case)) for case in shown), default=0.0)
        for case in shown:
            self._decision(case, EDGE + 318 + wide + 12)
        if day.runs > RUNS:
            self.line(f"{count(day.runs - RUNS, 'more run')}: see the page.")

    def line(self, words: str, look: str = "m") -> None:
        """A line of text, cut at the sheet's edge."""
        self._parts.append(text(EDGE, self._y + 12, fitted(plain(words, 1000), WIDTH / SET), look))
        self._y += LINE

    def svg(self, title: str) -> str:
        """The whole, on its ground."""
        wide, high = px(WIDTH + 2 * EDGE), px(self._y + EDGE)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}">'
            f"<title>{markup(title)}</title>"
            f'<path class="ground" d="M0 0h{wide}v{high}h-{wide}z"/>{"".join(self._parts)}</svg>'
        )

    def _decision(self, case: Case, why_at: float) -> None:
        run, decision = case.run, case.run.decision
        self._parts += [
            text(EDGE, self._y + 12, clock(run.finished_at or run.received_at)),
            text(EDGE + 64, self._y + 12, case.key),
            text(EDGE + 128, self._y + 12, fitted(plain(run.subject), 180 / SET), "t"),
        ]
        self._badge(_word(case), EDGE + 318, self._y - 3)
        why = "".join(decision.reasons[:1]) if decision else run.error
        self._parts.append(text(why_at, self._y + 12, fitted(plain(why), (WIDTH + EDGE - why_at) / SET)))
        self._y += 22

    def _badge(self, word: str, x: float, y: float, more: str = "") -> float:
        """Icon and word on the tone's ground; returns where it ends."""
        tone, told = tone_of(word), f"{said(word)}{more}"
        wide = _wide(told)
        self._parts.append(
            f'<rect class="{tone.name}-ground" x="{px(x)}" y="{px(y)}" width="{px(wide)}" height="20" rx="4"/>'
        )
        self._parts += [icon(tone, x + 5, y + 2), text(x + 24, y + 14, told, f"{tone.name}-ink")]
        return x + wide


def _word(case: Case) -> str:
    return case.run.decision.outcome if case.run.decision else case.run.state.value


def _wide(told: str) -> float:
    return width_of(said(told)) * SET + 34
