"""Profit and loss by day: the loss of the day, the drawdown, and the reported VaR beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from tradeloop.desks.limits.case import Case, name_of
from tradeloop.desks.limits.columns import PNL, read_table
from tradeloop.desks.limits.refusal import InputInvalid

Number = TypeVar("Number", float, Fraction)


@dataclass(frozen=True)
class Day:
    """One day's P&L of an account, or of the scope."""

    day: date
    account: str
    pnl: Fraction | None
    """None: a return was told and the net asset value was not."""
    var: Fraction | None
    nav: Fraction | None


@dataclass(frozen=True)
class Pnl:
    """All days up to that of the check, in order."""

    days: tuple[Day, ...] = ()

    def of(self, account: str) -> tuple[Day, ...]:
        """The days of an account; of the scope the sum over its accounts."""
        if account and any(one.account for one in self.days):
            return tuple(one for one in self.days if one.account == account)
        summed: dict[date, Day] = {}
        for one in self.days:
            before = summed.get(one.day)
            summed[one.day] = one if before is None else _sum(before, one)
        return tuple(summed.values())


def pnl_of(case: Case, root: Path) -> Pnl:
    """The P&L file.

    Raises:
        InputInvalid: it cannot be read, or tells a day of an account twice.
    """
    if case.pnl is None:
        return Pnl()
    import polars as pl

    file = name_of(case.pnl, "pnl")
    rows = read_table(PNL, case.pnl, root).filter(pl.col("date") <= case.as_of).sort("date", "line")
    twice = rows.filter(pl.struct("date", pl.col("account").fill_null("")).is_duplicated())
    if len(twice):
        told = f"{twice['date'][1]} is there twice"
        raise InputInvalid(told, file=file, line=twice["line"][1], field="date")
    nav = Fraction(case.nav) if case.nav is not None else None
    days = []
    for row in rows.iter_rows(named=True):
        own = _fraction(row["nav_text"])
        var = _fraction(row["var_text"])
        if var is not None and var < 0:
            raise InputInvalid("VaR is told as a loss, at least 0", file=file, line=row["line"], field="var")
        days.append(Day(row["date"], row["account"] or "", _money(row, own or nav, file), var, own))
    return Pnl(tuple(days))


def drawdown(changes: Sequence[Number], zero: Number) -> Number:
    """How far the sum of changes lies below its highest so far; the start counts as one."""
    peak = total = zero
    for change in changes:
        total = total + change
        peak = max(peak, total)
    return peak - total


def drawdown_share(changes: Sequence[Number], last: Number, zero: Number) -> Number:
    """The same as a share of the highest level, when the level is now `last`."""
    total = last - sum(changes, zero)
    peak = total
    for change in changes:
        total = total + change
        peak = max(peak, total)
    return (peak - total) / peak if peak > 0 else zero + 1


def _money(row: dict[str, object], nav: Fraction | None, file: str) -> Fraction | None:
    if row["pnl_text"] is not None:
        return _fraction(row["pnl_text"])
    if row["return_text"] is None:
        line = row["line"]
        raise InputInvalid("is empty", file=file, line=line if isinstance(line, int) else 0, field="pnl")
    share = _fraction(row["return_text"])
    return share * nav if share is not None and nav is not None else None


def _fraction(text: object) -> Fraction | None:
    return None if text is None else Fraction(str(text))


def _sum(one: Day, other: Day) -> Day:
    def both(mine: Fraction | None, theirs: Fraction | None) -> Fraction | None:
        return None if mine is None or theirs is None else mine + theirs

    # VaR does not add up, so of several accounts none is told.
    return Day(one.day, "", both(one.pnl, other.pnl), None, both(one.nav, other.nav))
