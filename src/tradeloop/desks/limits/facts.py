"""From an event's data to facts: limits, book, gate, readings, causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np

from tradeloop.desks.limits.book import Book, book_of
from tradeloop.desks.limits.case import Case, digest_of
from tradeloop.desks.limits.fills import Rolled, flows_of, rolled
from tradeloop.desks.limits.findings import Backtest, Checked, Facts, Finding, Header, Rule
from tradeloop.desks.limits.history import prices_of, rates_of
from tradeloop.desks.limits.limit import LOSSES, TAILS, Limit, Metric, limits_of
from tradeloop.desks.limits.metrics import View
from tradeloop.desks.limits.pnl import Day, Pnl, pnl_of
from tradeloop.desks.limits.policy import Outcome, Policy, State
from tradeloop.desks.limits.quality import Gate, gate_of, jumps
from tradeloop.desks.limits.scenarios import Scenarios, scenarios_of
from tradeloop.desks.limits.states import Reading, Views, cause_of, reading
from tradeloop.desks.limits.tails import BACKTEST_DAYS, exceptions, rolling_var, zone_of
from tradeloop.desks.limits.weighing import asked, told_of

LISTED: Final = 200
"""Findings that are listed; the most cautious first. More would not fit a decision."""
QUOTED: Final = 20
"""Free texts that agents see, of at most 300 characters each."""


def header_of(case: Case, root: Path) -> Header:
    """What identifies the check."""
    notes: dict[str, str] = {}
    for limit in limits_of(case, root):
        for what, text in (("note", limit.note), ("key", limit.key)):
            if text and len(notes) < QUOTED:
                notes[f"{what} of {limit.limit_id}"] = text.encode("utf-8", "replace").decode()[:300]
    return Header(
        scope_kind=case.scope.kind,
        scope=case.scope.name,
        as_of=case.as_of,
        base_currency=case.base_currency,
        attempt=case.attempt,
        inputs={name: digest_of(source) for name, source in case.sources().items()},
        notes=notes,
    )


@dataclass(frozen=True)
class _Inputs:
    case: Case
    policy: Policy
    views: Views
    gate: Gate
    past: frozenset[int]
    """Positions with a jump in their history."""
    pnl: Pnl
    ask: Outcome
    breached: frozenset[str]


def gather(case: Case, policy: Policy, root: Path) -> Facts:
    """All that policy needs to know.

    Raises:
        InputInvalid: an input cannot be read; names file, line and field.
    """
    limits = limits_of(case, root)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        inputs = _inputs(case, policy, limits, root)
        backtests = _backtests(inputs, limits)
    inputs = replace(inputs, views=replace(inputs.views, zones=tuple(one.zone for one in backtests)))
    checked, findings = [], list(inputs.gate.findings)
    for limit in limits:
        one, more = _checked(inputs, limit)
        checked.append(one)
        findings += more
    findings += _told_backtests(backtests, policy)
    if case.attempt >= policy.thresholds.rechecks_max and any(one.asks is policy.data for one in findings):
        told = f"the inputs were asked for again {case.attempt} times and are doubtful still"
        findings.append(Finding(rule=Rule.RECHECKED, sentence=told, asks=policy.data_again))
    return Facts(findings=_listed(findings, policy), limits=tuple(checked), backtests=backtests)


def _inputs(case: Case, policy: Policy, limits: Sequence[Limit], root: Path) -> _Inputs:
    thresholds, ask = policy.thresholds, policy.data
    prices, rates = prices_of(case, root), rates_of(case, root)
    delivered = book_of(case, prices, rates, root)
    book = delivered.book
    roll = rolled(book, flows_of(case, root), float(thresholds.unit_ratio), ask)
    gate = gate_of(case, delivered, prices, rates, roll, thresholds, ask)
    scenarios = scenarios_of(book, prices, rates, case.base_currency)
    odd = jumps(scenarios, float(thresholds.unit_ratio))[-thresholds.observations :]
    cells = np.zeros(scenarios.returns.shape, dtype=np.bool_)
    cells[len(cells) - len(odd) :] = odd
    past = frozenset(np.flatnonzero(odd.any(axis=0)).tolist()) if odd.size else frozenset()
    held = frozenset(np.flatnonzero(book.figures["quantity"] != 0).tolist())
    unknown = frozenset(np.flatnonzero(np.isnan(scenarios.returns).all(axis=0)).tolist())
    if any(limit.metric in TAILS for limit in limits):
        for at in sorted((past | unknown) & held):
            told = "moves as if its unit had changed" if at in past else "has no history of prices"
            if at not in gate.doubtful:
                sentence = f"{book.symbol[at]} {told}"
                gate.findings.append(Finding(rule=Rule.SAMPLE, sentence=sentence, symbol=book.symbol[at], asks=ask))
        gate.doubtful_past |= (past | unknown) & held
    nav = Fraction(case.nav) if case.nav is not None else None
    calm = scenarios.calmed(cells)
    is_doubted = bool(gate.prices or gate.rates or gate.quantities or gate.gone or past)
    mended = gate.checked(book)
    views = Views(
        delivered=View(book, scenarios, nav),
        checked=View(mended, calm, nav) if is_doubted else None,
        eased=View(gate.eased(book, calm), calm, nav) if gate.stale else None,
        settled=_quantities(mended, calm, nav, roll),
        opening=_opening(mended, calm, nav),
    )
    breached = frozenset(one.limit_id for one in case.previous if State(one.state).is_breach)
    return _Inputs(case, policy, views, gate, past, pnl_of(case, root), ask, breached)


def _quantities(book: Book, scenarios: Scenarios, nav: Fraction | None, roll: Rolled) -> View | None:
    if not roll.settled:
        return None
    return View(book.but("quantity", {at: (figure, None) for at, figure in roll.settled.items()}), scenarios, nav)


def _opening(book: Book, scenarios: Scenarios, nav: Fraction | None) -> View | None:
    opening = book.figures["opening"]
    if not len(book) or bool(np.isnan(opening).any()):
        return None
    changes = {at: (float(figure), book.texts["opening"][at]) for at, figure in enumerate(opening)}
    return View(book.but("quantity", changes), scenarios, nav)


def _checked(inputs: _Inputs, limit: Limit) -> tuple[Checked, list[Finding]]:
    views, policy = inputs.views, inputs.policy
    days = inputs.pnl.of(limit.account)
    found = reading(views.delivered, limit, days, policy.thresholds)
    mended = reading(views.checked, limit, days, policy.thresholds) if views.checked is not None else None
    lacking = _lacking(inputs, limit, days, found)
    is_doubtful = bool(lacking) or _is_doubtful(inputs, limit)
    state = _worse(found.state, mended.state if mended is not None else None)
    cause = None
    if state is not None and state.is_breach:
        cause = cause_of(
            views,
            limit,
            days,
            policy.thresholds,
            was_breached=limit.limit_id in inputs.breached,
            is_doubtful=is_doubtful,
        )
    one = Checked(
        limit_id=limit.limit_id,
        metric=limit.metric.value,
        version=limit.version,
        owner=limit.owner,
        account=limit.account,
        limit=float(limit.limit),
        value=found.measured.value,
        utilisation=found.utilisation,
        checked=mended.utilisation if mended is not None else None,
        state=state,
        cause=cause,
        is_soft=limit.is_soft,
        is_loss=limit.metric in LOSSES,
        is_doubtful=is_doubtful,
        observations=found.measured.observations,
    )
    findings = [*lacking, *asked(policy, one, was_breached=limit.limit_id in inputs.breached)]
    if limit.refused:
        told = f"the temporary increase of {limit.limit_id} is not in force: {limit.refused}"
        findings.append(Finding(rule=Rule.TEMPORARY, sentence=told, limit_id=limit.limit_id, asks=Outcome.WARN))
    elif limit.is_temporary:
        told = f"{limit.limit_id} is checked at its temporary figure"
        findings.append(Finding(rule=Rule.TEMPORARY, sentence=told, limit_id=limit.limit_id))
    return one, findings


def _worse(one: State | None, other: State | None) -> State | None:
    known = [state for state in (one, other) if state is not None]
    return max(known, key=list(State).index, default=None)


def _is_doubtful(inputs: _Inputs, limit: Limit) -> bool:
    if limit.metric in LOSSES:
        return False
    if inputs.gate.is_whole:
        return True
    doubtful = inputs.gate.doubtful | (inputs.gate.doubtful_past if limit.metric in TAILS else set())
    mask = inputs.views.delivered.mask(limit)
    return any(mask[at] for at in doubtful)


def _lacking(inputs: _Inputs, limit: Limit, days: tuple[Day, ...], found: Reading) -> list[Finding]:
    """What the limit itself lacks."""
    told = []
    if limit.metric in LOSSES and (not days or days[-1].day != inputs.case.as_of):
        told.append((Rule.MISSING, f"{limit.limit_id} has no P&L of {inputs.case.as_of}"))
    elif found.state is None:
        told.append((Rule.MISSING, f"{limit.limit_id} cannot be computed: an input of {limit.metric} is missing"))
    count = found.measured.observations
    if limit.metric in TAILS and count is not None and count < inputs.policy.thresholds.observations_min:
        least = inputs.policy.thresholds.observations_min
        if np.any(inputs.views.delivered.values[inputs.views.delivered.mask(limit)]):
            told.append((Rule.SAMPLE, f"{limit.limit_id} rests on {count} observations; {least} are expected"))
    book, mask = inputs.views.delivered.book, inputs.views.delivered.mask(replace(limit, key=""))
    held = mask & (book.figures["quantity"] != 0)
    needed = {Metric.ISSUER_NAV: book.issuer, Metric.SECTOR_NAV: book.sector}.get(limit.metric)
    if needed is not None and any(not needed[at] for at in np.flatnonzero(held)):
        told.append((Rule.MISSING, f"{limit.limit_id}: positions without issuer or sector"))
    if limit.metric is Metric.CONCENTRATION_ADV:
        adv = book.figures["adv"][inputs.views.delivered.mask(limit) & held]
        if bool((~(adv > 0)).any()):
            told.append((Rule.MISSING, f"{limit.limit_id}: positions without an average daily volume"))
    return [Finding(rule=rule, sentence=text, limit_id=limit.limit_id, asks=inputs.ask) for rule, text in told]


def _backtests(inputs: _Inputs, limits: Sequence[Limit]) -> tuple[Backtest, ...]:
    thresholds, found = inputs.policy.thresholds, []
    days = [one for one in inputs.pnl.of("") if one.pnl is not None and one.var is not None][-BACKTEST_DAYS:]
    if len(days) == BACKTEST_DAYS:
        pnl = np.array([float(one.pnl or 0) for one in days])
        var = np.array([float(one.var or 0) for one in days])
        found.append((len(days), exceptions(pnl, var), True))
    if any(limit.metric in TAILS for limit in limits):
        view = inputs.views.checked or inputs.views.delivered
        everything = np.ones(len(view.book), dtype=np.bool_)
        window = thresholds.observations_min
        pnl = view.scenarios.pnl(view.values, everything, window + BACKTEST_DAYS)
        if len(pnl) == window + BACKTEST_DAYS:
            var = rolling_var(pnl, window)[:-1]
            found.append((BACKTEST_DAYS, exceptions(pnl[window:], var), False))
    return tuple(
        Backtest(
            days=count,
            exceptions=over,
            zone=zone_of(over, thresholds.green_max, thresholds.yellow_max),
            is_reported=is_reported,
        )
        for count, over, is_reported in found
    )


def _told_backtests(backtests: Sequence[Backtest], policy: Policy) -> list[Finding]:
    return [
        Finding(
            rule=Rule.BACKTEST,
            sentence=told_of(one),
            asks=asks if one.is_reported and (asks := policy.zones[one.zone]) is not Outcome.OK else None,
        )
        for one in backtests
    ]


def _listed(findings: Sequence[Finding], policy: Policy) -> tuple[Finding, ...]:
    def weight(one: Finding) -> int:
        return -1 if one.asks is None else policy.caution(one.asks)

    ordered = sorted(findings, key=lambda one: -weight(one))
    shown, rest = ordered[:LISTED], ordered[LISTED:]
    if rest:
        asks = max((one.asks for one in rest if one.asks is not None), key=policy.caution, default=None)
        shown.append(Finding(rule=rest[0].rule, sentence=f"{len(rest)} more findings are not listed", asks=asks))
    return tuple(one.model_copy(update={"id": f"F-{at:02d}"}) for at, one in enumerate(shown, 1))
