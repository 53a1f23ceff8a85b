"""A desk's day as one HTML file: no script, nothing from elsewhere, text from outside always escaped."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Final

from tradeloop.domain.desk_days import Coverage
from tradeloop.report.chart import Table
from tradeloop.report.day import Case, Day, Picture, Source
from tradeloop.report.style import page_style
from tradeloop.report.svg import icon, svg
from tradeloop.report.words import clock, count, markup, moment, said, span, tone_of

TITLES: Final = {
    "marketdata": "Market data",
    "settlement": "Settlement",
    "reconciliation": "Reconciliation",
    "limits": "Risk limits",
}
REASONS: Final = 3
"""Reasons of a decision in the list; all of them stand with the run, which `tradeloop runs show` tells."""

SHORT: Final = 20
"""Cells that are not broken into lines: days, ids, codes."""


def title_of(day: Day) -> str:
    """What the report is called."""
    return f"{TITLES.get(day.desk, day.desk)}, {day.day.isoformat()}"


def page(day: Day, pictures: Sequence[Picture], *, left_out: int = 0) -> str:
    """The whole document; `left_out` pictures are not in it."""
    style = page_style()
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    shown = "".join(_figure(one, at) for at, one in enumerate(pictures))
    more = f"<p>{count(left_out, 'more picture')} left out: <code>--pictures</code> shows them.</p>" if left_out else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">'
        f"<title>{markup(title_of(day))}</title><style>{style}</style></head>"
        f"<body><header><h1>{markup(title_of(day))}</h1>"
        f'<p class="muted">The day is that of UTC, 00:00Z to 24:00Z; every time is UTC. Made {_time(day.made_at)}.</p>'
        f"</header><main><h2>Coverage</h2>{_coverage(day.coverage)}<h2>Decisions</h2>{_decisions(day, pictures)}"
        f"<h2>Pictures</h2>{shown or '<p>No run of the day has facts to draw.</p>'}{more}</main>"
        f"{_foot(day)}</body></html>\n"
    )


def state(word: str, more: str = "") -> str:
    """A state or an outcome: icon, word and colour together."""
    tone = tone_of(word)
    drawn = f'<svg viewBox="0 0 16 16" aria-hidden="true">{icon(tone)}</svg>'
    return f'<span class="state {tone.name}">{drawn}{markup(said(word) + more)}</span>'


def _coverage(found: Coverage) -> str:
    ended, waiting = sum(found.ended.values()), sum(found.open.values())
    letters = sum(found.dead_letters.values())
    lanes = _told(found.lanes, lambda lane: f"{lane} lane")
    earlier = f"{found.decided_of_earlier} of events of earlier days. " if found.decided_of_earlier else ""
    by = _told(found.decided_by, lambda who: f"by {who}")
    effects = _told(found.effects, said)
    tiles: list[tuple[str, int | str, str]] = [
        ("events taken in", found.received, f"{lanes or 'no lane'}; {found.doubles} came twice and changed nothing"),
        ("decided", found.decided, f"{earlier}{by or 'nothing'}{_degraded(found)}"),
        ("ended undecided", ended, _told(found.ended, said) or "none"),
        ("open now", waiting, _told(found.open, said) or "none; of events taken in by the end of the day"),
        ("actions", sum(found.effects.values()), effects or "no decision of the day had one"),
        ("dead letters", letters, _told(found.dead_letters, said) or "none of this desk's runs"),
    ]
    if found.median_s is not None:
        took = f"half of {found.decided} within it; the slowest {span(found.slowest_s)}"
        tiles.append(("intake to decision", span(found.median_s), took))
    shown = "".join(
        f"<div><dt>{markup(name)}</dt><dd>{value if isinstance(value, str) else f'{value:,}'}"
        f"<small>{markup(words)}</small></dd></div>"
        for name, value, words in tiles
    )
    outcomes = "".join(state(word, f" {number:,}") for word, number in found.outcomes.items())
    policies = ", ".join(found.policies) or "none"
    return f'<dl>{shown}</dl><p class="outcomes">{outcomes}</p><p>Policy of the decisions: {markup(policies)}.</p>'


def _told(counts: Mapping[str, int], named: Callable[[str], str]) -> str:
    return ", ".join(f"{number:,} {named(word)}" for word, number in counts.items())


def _degraded(found: Coverage) -> str:
    return f"; {found.degraded} degraded: no agent answered" if found.degraded else ""


def _decisions(day: Day, pictures: Sequence[Picture]) -> str:
    drawn = {one.case.key for one in pictures if one.case is not None}
    heads = ("taken in (UTC)", "decided (UTC)", "run", "subject", "outcome", "by", "action", "why")
    rows = "".join(f"<tr>{_row(case, day.day, drawn)}</tr>" for case in day.cases)
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    cut = f": the newest {len(day.cases):,} of {day.runs:,}" if day.runs > len(day.cases) else ""
    caption = f"{count(day.runs, 'run')} came, ended or stood open on the day{cut}; the newest first"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Decisions"><table class="runs">'
        f"<caption>{caption}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(case: Case, day: date, drawn: set[str]) -> str:
    run, decision = case.run, case.run.decision
    name = f'<a href="#r-{case.key}">{case.key}</a>' if case.key in drawn else case.key
    outcome = state(decision.outcome) if decision else state(run.state.value)
    by = f"{decision.decided_by}{' (degraded)' if decision.degraded else ''}" if decision else "—"
    why = decision.reasons if decision else [run.error] if run.error else []
    told = "<br>".join(markup(one) for one in why[:REASONS]) or "—"
    more = f"<br>… {len(why) - REASONS} more" if len(why) > REASONS else ""
    return (
        f'<td class="k">{_time(run.received_at, day)}</td><td class="k">{_time(run.finished_at, day)}</td>'
        f'<td class="id k">{name}</td><td class="s">{markup(run.subject)}</td><td>{outcome}</td>'
        f'<td>{markup(by)}</td><td>{_effect(case)}</td><td class="w">{told}{more}</td>'
    )


def _effect(case: Case) -> str:
    effect = case.run.effect
    if not effect.get("kind"):
        return "—"
    what = f"{markup(effect['kind'], 60)} {markup(effect.get('target', ''), 120)}"
    return f"{state(str(effect.get('state', 'prepared')))} {what}"


def _time(at: datetime | None, day: date | None = None) -> str:
    """A time in UTC, without its date where that is the report's own."""
    if at is None:
        return "—"
    own = at.astimezone(UTC)
    told = clock(own) if own.date() == day else moment(own)
    return f'<time datetime="{own.isoformat(timespec="seconds")}">{told}</time>'


def _figure(picture: Picture, at: int) -> str:
    case, chart = picture.case, picture.chart
    anchor = f' id="r-{case.key}"' if case else ""
    head = markup(chart.title)
    if case and case.run.decision:
        head += f" {state(case.run.decision.outcome)}"
    remarks = [
        *picture.remarks,
        *([] if case is None or case.source is Source.CHECKPOINT else [f"Facts: {case.source}."]),
    ]
    told = f'<p class="muted">{markup(" ".join(remarks), 1500)}</p>' if remarks else ""
    return (
        f"<figure{anchor}><figcaption><h3>{head}</h3>{told}</figcaption>"
        f'<div><div class="scroll">{svg(chart, f"c{at}")}</div>{_findings(case) if case else ""}</div>'
        f'<div class="beside" tabindex="0" role="region" aria-label="{markup(picture.table.caption)}">'
        f"{table(picture.table)}</div></figure>"
    )


def table(found: Table) -> str:
    """A table of figures."""
    head = "".join(f'<th scope="col"{_set(at, found)}>{markup(name)}</th>' for at, name in enumerate(found.columns))
    rows = "".join(
        "<tr>" + "".join(f"<td{_set(at, found, cell)}>{markup(cell)}</td>" for at, cell in enumerate(row)) + "</tr>"
        for row in found.rows
    )
    return (
        f"<table><caption>{markup(found.caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _set(at: int, found: Table, cell: str = "") -> str:
    return ' class="n"' if at in found.numeric else ' class="k"' if len(cell) <= SHORT else ""


def _findings(case: Case) -> str:
    if not case.findings:
        return '<p class="muted">No finding.</p>'
    items = "".join(
        f"<li><b>{markup(one.get('id', ''), 12)}</b> {markup(one.get('rule') or one.get('kind') or '', 12)}: "
        f"{markup(one.get('sentence', ''), 600)}</li>"
        for one in case.findings
    )
    return f"<ul>{items}</ul>"


def _foot(day: Day) -> str:
    words = (f"tradeloop report {day.desk} --date {day.day.isoformat()}", "tradeloop runs show RUN")
    commands = ", ".join(f"<code>{markup(one)}</code>" for one in words)
    return f"<footer><p>As command: {commands}. Made by tradeloop {markup(day.version)}.</p></footer>"
