"""The limits of a check: what each bounds, in which unit, whose it is, and which version is in force."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Final  # Any: a row of a table

from tradeloop.desks.limits.case import Case, name_of
from tradeloop.desks.limits.columns import LIMITS, read_table
from tradeloop.desks.limits.refusal import InputInvalid


class Metric(StrEnum):
    """What a limit bounds. Money is in the base currency; shares are fractions."""

    GROSS = "GROSS"
    NET = "NET"
    LONG = "LONG"
    SHORT = "SHORT"
    POSITION = "POSITION"
    CONCENTRATION_NAV = "CONCENTRATION_NAV"
    CONCENTRATION_ADV = "CONCENTRATION_ADV"
    ISSUER_NAV = "ISSUER_NAV"
    SECTOR_NAV = "SECTOR_NAV"
    LEVERAGE = "LEVERAGE"
    VAR_99 = "VAR_99"
    ES_975 = "ES_975"
    VAR_99_FILTERED = "VAR_99_FILTERED"
    PNL_STOP = "PNL_STOP"
    DRAWDOWN = "DRAWDOWN"
    DRAWDOWN_NAV = "DRAWDOWN_NAV"


TAILS: Final = frozenset({Metric.VAR_99, Metric.ES_975, Metric.VAR_99_FILTERED})
LOSSES: Final = frozenset({Metric.PNL_STOP, Metric.DRAWDOWN, Metric.DRAWDOWN_NAV})
OF_NAV: Final = frozenset({Metric.CONCENTRATION_NAV, Metric.ISSUER_NAV, Metric.SECTOR_NAV, Metric.LEVERAGE})
SHARES: Final = OF_NAV | {Metric.CONCENTRATION_ADV, Metric.DRAWDOWN_NAV}
KEYED: Final = frozenset(
    {
        Metric.POSITION,
        Metric.CONCENTRATION_NAV,
        Metric.CONCENTRATION_ADV,
        Metric.ISSUER_NAV,
        Metric.SECTOR_NAV,
    }
)
"""Those that may name one instrument, issuer or sector; `*` or nothing: the largest."""
_ALIASES: Final = {
    "GROSS_EXPOSURE": Metric.GROSS, "GROSS_NOTIONAL": Metric.GROSS,
    "NET_EXPOSURE": Metric.NET, "NET_NOTIONAL": Metric.NET,
    "VAR": Metric.VAR_99, "HVAR_99": Metric.VAR_99, "ES": Metric.ES_975, "EXPECTED_SHORTFALL": Metric.ES_975,
    "DAILY_LOSS": Metric.PNL_STOP, "STOP_LOSS": Metric.PNL_STOP,
}  # fmt: skip
_UNITS: Final = {"FRACTION": Fraction(1), "TIMES": Fraction(1), "PERCENT": Fraction(1, 100), "BP": Fraction(1, 10_000)}
APPROVERS: Final = 2
"""A temporary increase needs so many, none of them the trader."""


@dataclass(frozen=True)
class Limit:
    """One limit in force."""

    limit_id: str
    metric: Metric
    limit: Fraction
    owner: str
    version: str
    account: str = ""
    """Of these positions alone; empty: of the whole scope."""
    key: str = ""
    is_soft: bool = False
    note: str = ""
    """Free text: quoted to agents, used for nothing else."""
    refused: str = ""
    """Why a temporary increase that the file holds is not in force."""
    is_temporary: bool = False


def limits_of(case: Case, root: Path) -> list[Limit]:
    """The limits in force on the day of the check, in the file's order.

    Raises:
        InputInvalid: the file cannot be read, two versions of one are in force, or none is.
    """
    file = name_of(case.limits, "limits")
    frame = read_table(LIMITS, case.limits, root)
    found: dict[str, Limit] = {}
    for row in frame.iter_rows(named=True):
        if (row["valid_from"] or date.min) <= case.as_of <= (row["valid_to"] or date.max):
            one = _limit(row, case, file)
            if one.limit_id in found:
                told = f"two versions of {one.limit_id} are in force on {case.as_of}"
                raise InputInvalid(told, file=file, line=row["line"], field="limit_id")
            found[one.limit_id] = one
    if not found:
        raise InputInvalid(f"no limit is in force on {case.as_of}", file=file, line=1, field="valid_from")
    if len(found) > 1000:
        raise InputInvalid("more than 1,000 limits in one check", file=file, line=1, field="limit_id")
    return list(found.values())


def _limit(row: dict[str, Any], case: Case, file: str) -> Limit:
    def refuse(told: str, field: str) -> InputInvalid:
        return InputInvalid(told, file=file, line=row["line"], field=field)

    if len(row["limit_id"]) > 40 or "@" in row["limit_id"]:
        raise refuse("is longer than 40 characters, or holds an @", "limit_id")
    name = row["metric"].upper()
    metric = _ALIASES.get(name) or next((one for one in Metric if one == name), None)
    if metric is None:
        raise refuse(f"{row['metric']!r:.60} is none of {', '.join(Metric)}", "metric")
    key = "" if row["key"] in (None, "*") else row["key"]
    if key and metric not in KEYED:
        raise refuse(f"{metric} is of the whole scope and takes no key", "key")
    unit = (row["unit"] or "").upper()
    limit = _figure(row["limit_text"], metric, unit, case, refuse, "limit")
    kind = (row["kind"] or "hard").lower()
    if kind not in ("hard", "soft"):
        raise refuse(f"{row['kind']!r:.40} is neither hard nor soft", "kind")
    account = row["account"] or (case.scope.name if case.scope.kind == "account" else "")
    plain = Limit(
        limit_id=row["limit_id"],
        metric=metric,
        limit=limit,
        owner=row["owner"],
        version=row["version"],
        account=account,
        key=key,
        is_soft=kind == "soft",
        note=row["note"] or "",
    )
    if row["temporary_text"] is None:
        return plain
    raised = _figure(row["temporary_text"], metric, unit, case, refuse, "temporary")
    return _raised(plain, raised, row, case.as_of)


def _raised(plain: Limit, raised: Fraction, row: dict[str, Any], as_of: date) -> Limit:
    """A temporary increase holds with two approvers and an end, and not by the trader's own word."""
    refused = "" if raised <= plain.limit else _refused(row, as_of)  # a tightening needs nobody
    if refused:
        return replace(plain, refused=refused)
    return replace(plain, limit=raised, is_temporary=True)


def _refused(row: dict[str, Any], as_of: date) -> str:
    approvers = {name.strip().casefold() for name in (row["approved_by"] or "").replace(",", ";").split(";")} - {""}
    trader, until = (row["trader"] or "").casefold(), row["temporary_until"]
    reasons = (
        ("it has no end", until is None),
        (f"it ended on {until}", until is not None and until < as_of),
        ("the trader whom it is for is not named", not trader),
        ("the trader is among its approvers", trader in approvers),
        (f"it has {len(approvers)} approvers; {APPROVERS} are needed", len(approvers) < APPROVERS),
    )
    return next((told for told, holds in reasons if holds), "")


def _figure(text: str, metric: Metric, unit: str, case: Case, refuse: Any, field: str) -> Fraction:
    figure = Fraction(text)
    if figure < 0:
        raise refuse(f"{text:.40} is negative", field)
    if metric not in SHARES:
        if unit not in ("", "MONEY", case.base_currency):
            raise refuse(f"{unit:.20} is not the base currency {case.base_currency}", "unit")
        return figure
    if unit and unit not in _UNITS:
        raise refuse(f"{unit:.20} is none of fraction, times, percent, bp", "unit")
    if not unit and metric is not Metric.LEVERAGE and figure > 1:
        raise refuse(f"{text:.40} would be {float(figure):.0%}: say its unit, for example percent", "unit")
    return figure * _UNITS.get(unit, Fraction(1))
