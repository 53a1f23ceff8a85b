"""What is true about a made case: from tables and arithmetic of the benchmark's own, none of it the desk's.

Rates: annex of (EU) 2017/389. Codes: MT548 field 24B. Penalties in fractions and integers, business days by numpy.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

import numpy as np

CHASE: Final = {
    "CLAC": ("SETT", "R"),
    "AWSH": ("SETT", "R"),
    "CMON": ("SETT", "D"),
    "AWMO": ("SETT", "D"),
    "PRCY": ("SETT", "-"),
    "CLAT": ("MTCH", "-"),
    "CMIS": ("MTCH", "-"),
}
"""Code to its status and the side it is possible on: D (we deliver), R (we receive), - (either)."""
FIX: Final = {
    "DEPT": ("MTCH", "unknown"),
    "SAFE": ("MTCH", "unknown"),
    "ICAG": ("MTCH", "unknown"),
    "ICUS": ("MTCH", "unknown"),
    "IEXE": ("MTCH", "unknown"),
    "DDAT": ("MTCH", "unknown"),
    "DDEA": ("MTCH", "unknown"),
    "DMON": ("MTCH", "unknown"),
    "DQUA": ("MTCH", "unknown"),
    "DELN": ("MTCH", "unknown"),
    "DTRD": ("MTCH", "unknown"),
    "DSEC": ("MTCH", "unknown"),
    "SETS": ("SETT", "unknown"),
    "INCA": ("SETT", "us"),
    "LATE": ("SETT", "us"),
}
"""Code to its status and whose fault it is."""
ESCALATE: Final = {
    "DKNY": "them",
    "OBJT": "unknown",
    "BLOC": "unknown",
    "SBLO": "neither",
    "REGT": "unknown",
    "OTHR": "unknown",
    "BYIY": "unknown",
}
WAIT: Final = ("FUTU", "CYCL", "LINK")
PENDING_ONLY: Final = ("FUTU",)
FAILING_ONLY: Final = ("BYIY", "OBJT", "CYCL")
RATES: Final = {
    "liquid_share": 100,
    "illiquid_share": 50,
    "sme_growth": 25,
    "sovereign_bond": 10,
    "corporate_bond": 20,
    "sme_growth_bond": 15,
    "other": 50,
}
"""In hundredths of a basis point: one millionth."""
HOLIDAYS: Final = {
    "XETR": """2024-01-01 2024-03-29 2024-04-01 2024-05-01 2024-12-24 2024-12-25 2024-12-26 2024-12-31
    2025-01-01 2025-04-18 2025-04-21 2025-05-01 2025-12-24 2025-12-25 2025-12-26 2025-12-31 2026-01-01""",
    "XPAR": """2025-12-25 2025-12-26 2026-01-01 2026-04-03 2026-04-06 2026-05-01 2026-12-25 2027-01-01""",
}


def business_day(calendar: str, near: date, count: int) -> date:
    """The business day `count` after `near` (or the next one, when it is none)."""
    found = np.busday_offset(np.datetime64(near), count, roll="forward", holidays=HOLIDAYS[calendar].split())
    moved: date = found.astype(object)
    return moved


def days_between(calendar: str, first: date, before: date) -> list[date]:
    """The business days from `first`, included, to `before`, excluded."""
    count = max(0, int(np.busday_count(first.isoformat(), before.isoformat(), holidays=HOLIDAYS[calendar].split())))
    return [business_day(calendar, first, at) for at in range(count)]


def cents(value: Fraction) -> int:
    """Rounded half up to whole cents."""
    return int((value * 100 + Fraction(1, 2)) // 1)


def penalty(
    days: list[date],
    quantity: Decimal,
    prices: dict[date, Decimal],
    price: Decimal,
    *,
    asset: str,
    per_percent: bool,
    cash_percent: Decimal | None,
    currency: str,
) -> Decimal:
    """The penalties of these days; `cash_percent`: the yearly rate, where cash is short."""
    if cash_percent is None:
        rate = Fraction(RATES[asset], 1_000_000)
    else:
        rate = Fraction(cash_percent) / 100 / (365 if currency == "GBP" else 360)
    whole = 0
    for day in days:
        value = Fraction(quantity) * Fraction(prices.get(day, price)) / (100 if per_percent else 1)
        whole += cents(rate * value)
    return Decimal(whole).scaleb(-2)


def isin(country: str, number: int) -> str:
    """An ISIN with its check digit (ISO 6166): letters as two digits, every second digit from the right doubled."""
    body = f"{country}{number:09d}"
    digits = "".join(str(int(each, 36)) for each in body)
    doubled = "".join(str(int(each) * (2 if at % 2 == 0 else 1)) for at, each in enumerate(reversed(digits)))
    return f"{body}{-sum(map(int, doubled)) % 10}"
