"""What each desk's picture is. A desk that is not named here gets its findings by rule.

A picture is made of plain facts, `{"findings": [{"id", "sentence", ...}], ...}`, as a checkpoint keeps them: what is
absent or has another form is left out of the picture, never an error. To add a desk's: a function from cases to
pictures, and its name in PICTURES.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tradeloop.report.cases import weight
from tradeloop.report.chart import Bars, Panel, Table
from tradeloop.report.day import Case, Json, Picture
from tradeloop.report.prices import price_picture
from tradeloop.report.tables import by_rule, counted, cut, id_of, listed, mapping, number, word
from tradeloop.report.words import count, figure, said

NOT_DUE: Final = "not due yet"
NO_DATE: Final = "date not told"
AGES: Final = ((21, "21 or more"), (7, "7 to 20"), (4, "4 to 6"), (3, "3"), (2, "2"), (1, "1"), (0, "0"))
"""Business days after the intended settlement date, from the oldest. CSDR's extension periods end at 4 (liquid shares)
and 7."""
BREAK_AGES: Final = ((6, "6 days or more"), (2, "2 to 5 days"), (0, "0 or 1 day"))
WARN, FULL, HARD = 0.8, 1.0, 1.2
"""Where a limit warns, is reached, and is beyond what any person may let pass."""
SHOWN: Final = 2.0
"""The scale's end: a limit used a thousand times over would press all others to nothing."""
CURRENCIES: Final = 2
"""Panels of money side by side; every currency stands in the table."""
ASKED: Final = 4
"""Panels of what breaks ask for; the rest is in the table."""


def pictures(desk: str, cases: Sequence[Case], root: Path, most: int = 40) -> tuple[list[Picture], int]:
    """At most so many pictures of a desk's cases, the weightiest first, and how many are left out.

    Batches by reference are read below `root`.
    """
    with_facts = sorted((case for case in cases if case.facts), key=weight)
    if not with_facts:
        return [], 0
    if desk == "marketdata":
        return [price_picture(case, root) for case in with_facts[:most]], max(len(with_facts) - most, 0)
    found = PICTURES.get(desk, by_rule)(with_facts)
    return found[:most], max(len(found) - most, 0)


def fails(cases: Sequence[Case]) -> list[Picture]:
    """Settlement: instructions by age, and what each age has cost so far."""
    groups: dict[str, list[Case]] = {NOT_DUE: [], **{name: [] for _, name in reversed(AGES)}, NO_DATE: []}
    for case in cases:
        groups[_age(case.facts.get("age_bd"), AGES, NOT_DUE)].append(case)
    told = {name: group for name, group in groups.items() if group}
    money = {name: _summed(_penalty(case) for case in group) for name, group in told.items()}
    totals = _summed(money.values())
    panels = [counted("instructions", [len(group) for group in told.values()])]
    for currency in sorted(totals, key=lambda one: -totals[one])[:CURRENCIES]:
        values = tuple(each.get(currency) for each in money.values())
        texts = tuple("—" if value is None else f"{value:,.2f}" for value in values)
        panels.append(Panel(f"penalty so far, {currency}", values, texts))
    rows = tuple(name if name in (NOT_DUE, NO_DATE) else _days(name) for name in told)
    words = ", ".join(f"{row}: {len(group)}" for row, group in zip(rows, told.values(), strict=True))
    cost = " and ".join(f"{currency} {value:,.2f}" for currency, value in totals.items()) or "none"
    notes = tuple(f"{asked} for a person" if (asked := _escalated(group)) else "" for group in told.values())
    chart = Bars("Instructions by age", f"{words}. Penalties so far: {cost}.", rows, tuple(panels), notes)
    return [Picture(chart, _fails_table(cases), remarks=(_unknown_penalties(cases),))]


def breaks(cases: Sequence[Case]) -> list[Picture]:
    """Reconciliation: breaks by class, and by age where findings tell it (`age_bd`), else by what they ask for."""
    found = [one for case in cases for one in case.findings]
    totals = Counter(_class(one) for one in found)
    for case in cases:  # of a long list the findings are only the beginning; the counts are of all
        told = Counter(_class(one) for one in case.findings)
        for kind, held in mapping(case.facts.get("kinds")).items():
            totals[str(kind)] += max(int(number(held) or 0) - told[str(kind)], 0)
    rows = tuple(kind for kind in sorted(totals) if totals[kind])
    if any(number(one.get("age_bd")) is not None for one in found):
        columns = [*(name for _, name in reversed(BREAK_AGES)), NO_DATE]
        cells = Counter((_class(one), _age(one.get("age_bd"), BREAK_AGES, BREAK_AGES[-1][1])) for one in found)
    else:
        columns = [name for name, _ in Counter(word(one.get("asks")) for one in found).most_common(ASKED)]
        cells = Counter((_class(one), word(one.get("asks"))) for one in found)
    most = max(totals.values(), default=1)
    panels = [counted("breaks", [totals[row] for row in rows], most)]
    panels += [counted(said(name), [cells[row, name] for row in rows], most) for name in columns]
    ids = tuple(_ids(one for one in found if _class(one) == row) for row in rows) if len(cases) == 1 else ()
    titles = tuple(_titled(row, found) for row in rows)
    words = ", ".join(f"{row}: {totals[row]}" for row in rows) or "no break"
    table = by_rule(cases)[0].table
    remarks = tuple(
        f"{case.run.subject}: {case.facts.get('matched')} matched of {case.facts.get('internal')} and "
        f"{case.facts.get('external')}, {count(int(number(case.facts.get('breaks')) or 0), 'break')}."
        for case in cases
        if "matched" in case.facts
    )
    return [Picture(Bars("Breaks by class", f"{words}.", titles, tuple(panels), ids), table, remarks=remarks)]


def limits(cases: Sequence[Case]) -> list[Picture]:
    """Risk limits: how far each limit is used, with lines at 80, 100 and 120 %."""
    found = []
    for case in cases:
        checked = sorted(listed(case.facts.get("limits")), key=lambda one: -(number(one.get("utilisation")) or 0.0))
        used = tuple(number(one.get("utilisation")) for one in checked)
        texts = tuple(_used(one) for one in checked)
        rows = tuple(f"{word(one.get('limit_id'))} {word(one.get('metric'), '')}".strip() for one in checked)
        strong = tuple((value or 0.0) >= FULL for value in used)
        bounds = ((WARN, "80%"), (FULL, "100%"), (HARD, "120%"))
        notes = tuple(
            _ids(one for one in case.findings if one.get("limit_id") == each.get("limit_id")) for each in checked
        )
        words = "; ".join(f"{row} {text}" for row, text in zip(rows, texts, strict=True)) or "no limit was checked"
        panel = Panel("used of the limit", used, texts, strong, bounds, SHOWN)
        figures = [(one.get("value"), one.get("limit")) for one in checked]
        cells = [
            (row, figure(number(value)), figure(number(most)), text)
            for row, (value, most), text in zip(rows, figures, texts, strict=True)
        ]
        table = cut(cells, count(len(rows), "limit"), ("limit", "value", "limit is", "used"), (1, 2))
        found.append(Picture(Bars(case.run.subject, f"{words}.", rows, (panel,), notes), table, case))
    return found


PICTURES: Final[Mapping[str, Callable[[Sequence[Case]], list[Picture]]]] = {
    "settlement": fails,
    "reconciliation": breaks,
    "limits": limits,
}
"""Market data is not among them: it alone reads the batch again."""


def _age(value: object, ages: tuple[tuple[int, str], ...], before: str) -> str:
    days = number(value)
    if days is None:
        return NO_DATE
    return next((name for least, name in ages if days >= least), before)


def _days(age: str) -> str:
    return {"0": "on its settlement date", "1": "1 business day late"}.get(age, f"{age} business days late")


def _class(finding: Json) -> str:
    return word(finding.get("kind") or finding.get("rule"), "no class")


def _titled(kind: str, found: Sequence[Json]) -> str:
    """The class with what its sentences begin with: `RB03 quantity differs`."""
    sentence = next((word(one.get("sentence"), "") for one in found if _class(one) == kind), "")
    return f"{kind} {sentence.partition(':')[0]}" if ":" in sentence else kind


def _ids(findings: Iterable[Json]) -> str:
    ids = [id_of(one) for one in findings]
    return " ".join(ids[:2]) + (f" +{len(ids) - 2}" if len(ids) > 2 else "")


def _used(limit: Json) -> str:
    value = number(limit.get("utilisation"))
    return "cannot be computed" if value is None else f"{value:,.1%} {said(word(limit.get('state'), ''))}".strip()


def _penalty(case: Case) -> dict[str, float]:
    told = mapping(case.facts.get("penalty"))
    accrued, currency = number(told.get("accrued")), told.get("currency")
    return {} if accrued is None else {word(currency, "no currency"): accrued}


def _escalated(cases: Sequence[Case]) -> int:
    return sum(any(one.get("asks") == "ESCALATE" for one in case.findings) for case in cases)


def _summed(amounts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each in amounts:
        for name, value in each.items():
            total[name] = total.get(name, 0.0) + value
    return total


def _unknown_penalties(cases: Sequence[Case]) -> str:
    unknown = [case for case in cases if mapping(case.facts.get("penalty")).get("missing")]
    if not unknown:
        return "The penalty of every instruction that bears one could be computed."
    return f"{count(len(unknown), 'penalty')} unknown, as something is not given: they are not in the sums."


def _fails_table(cases: Sequence[Case]) -> Table:
    rows = []
    for case in sorted(cases, key=lambda one: -(number(one.facts.get("age_bd")) or -1.0)):
        told, age = mapping(case.facts.get("penalty")), number(case.facts.get("age_bd"))
        accrued = number(told.get("accrued"))
        cost = f"{word(told.get('currency'), '')} {accrued:,.2f}".strip() if accrued is not None else "—"
        codes = case.facts.get("codes")
        named = " ".join(word(code) for code in codes) if isinstance(codes, list | tuple) else ""
        rows.append((case.key, word(case.run.subject), figure(age), cost, named or "—", word(case.facts.get("fault"))))
    columns = ("run", "instruction", "age", "penalty", "codes", "fault")
    return cut(rows, f"{count(len(rows), 'instruction')}, the oldest first; age in business days", columns, (2, 3))
