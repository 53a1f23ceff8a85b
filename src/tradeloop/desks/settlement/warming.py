"""What the first case of a worker would otherwise wait for."""

from __future__ import annotations

from datetime import date

from tradeloop.desks.settlement.calendar import business_days
from tradeloop.desks.settlement.refusal import MessageInvalid
from tradeloop.desks.settlement.sese024 import NAMESPACE, read_sese024


def warm() -> None:
    """Import the calendars and the generated classes of sese.024: three to four seconds together."""
    business_days("XETR", date(2026, 1, 1), date(2026, 1, 31))
    try:
        read_sese024(f'<Document xmlns="{NAMESPACE}"/>')
    except MessageInvalid:
        return  # it holds nothing; the classes are there all the same
