"""How far a limit is used: the state, exact at its edges, and why it is reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite
from typing import Final

import numpy as np

from tradeloop.desks.limits.findings import Cause
from tradeloop.desks.limits.limit import LOSSES, TAILS, Limit
from tradeloop.desks.limits.metrics import MOST, Measured, View
from tradeloop.desks.limits.pnl import Day
from tradeloop.desks.limits.policy import State, Thresholds, Zone

NEAR: Final = 1e-9
"""Of an edge's size: closer than that, sums of floats are not trusted, and the figure is computed exactly."""


@dataclass(frozen=True)
class Reading:
    """A limit under one view of the inputs."""

    measured: Measured
    utilisation: float | None
    state: State | None


def reading(
    view: View, limit: Limit, days: tuple[Day, ...], thresholds: Thresholds, *, observations: int | None = None
) -> Reading:
    """Value, utilisation and state; None where the value cannot be computed."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = view.measured(limit, days, observations=observations or thresholds.observations)
    if found.value is not None and not isfinite(found.value):
        found = replace(found, value=None)  # no all-clear comes of it: what cannot be computed is doubtful
    used = utilisation(found.value, limit.limit)
    if used is None:
        return Reading(found, None, None)
    return Reading(found, used, state_of(used, limit.limit, thresholds, lambda: view.exactly(limit, days)))


def utilisation(value: float | None, limit: Fraction) -> float | None:
    """Value over limit; of a limit of zero nothing or far too much."""
    if value is None:
        return None
    if limit == 0:
        return MOST if value > 0 else 0.0
    return min(MOST, value / float(limit))


def state_of(
    used: float, limit: Fraction, thresholds: Thresholds, exactly: Callable[[], Fraction | None] = lambda: None
) -> State:
    """The state of a utilisation; an edge belongs to the state above it.

    Near an edge it is decided by the exact value; where there is none (VaR, ES), for the worse state.
    """
    edges = ((thresholds.hard_at, State.HARD), (thresholds.breach_at, State.BREACH), (thresholds.warn_at, State.WARN))
    for edge, state in edges:
        bound = Fraction(edge)
        if abs(used - float(bound)) <= NEAR * float(bound):
            exact = exactly()
            if exact is None or limit == 0 or exact / limit >= bound:
                return state
        elif used > float(bound):
            return state
    return State.OK


@dataclass(frozen=True)
class Views:
    """The inputs in every way that tells causes apart; None: that way is no other."""

    delivered: View
    checked: View | None
    """Doubtful inputs replaced by the last good ones."""
    eased: View | None
    """The same, stale prices moved as far as they plausibly may have."""
    settled: View | None
    """Pending fills in, those of later days out."""
    opening: View | None
    """The quantities before today's fills, at today's prices: as much used as now, no trade has made it worse."""
    zones: tuple[Zone, ...] = ()


def cause_of(
    views: Views, limit: Limit, days: tuple[Day, ...], thresholds: Thresholds, *, was_breached: bool, is_doubtful: bool
) -> Cause:
    """Why a limit is reached. No cause makes the answer less cautious."""

    def is_reached(view: View | None, observations: int | None = None) -> bool | None:
        if view is None:
            return None
        state = reading(view, limit, days, thresholds, observations=observations).state
        return None if state is None else state.is_breach

    if limit.metric in LOSSES:
        return Cause.TRUE
    if is_doubtful and False in (is_reached(views.checked), is_reached(views.eased)):
        return Cause.DATA_DRIVEN
    best = views.checked or views.delivered
    if is_reached(views.settled) is False:
        return Cause.TIMING
    if limit.metric in TAILS and (Zone.RED in views.zones or is_reached(best, thresholds.observations_min) is False):
        return Cause.MODEL
    if not was_breached and is_reached(views.opening) and _is_no_better(views.opening, best, limit, days, thresholds):
        return Cause.PASSIVE
    return Cause.TRUE


def _is_no_better(before: View | None, now: View, limit: Limit, days: tuple[Day, ...], thresholds: Thresholds) -> bool:
    if before is None:
        return False
    was, used = (reading(view, limit, days, thresholds).utilisation for view in (before, now))
    return was is not None and used is not None and was >= used * (1 - NEAR)
