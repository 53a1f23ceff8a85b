"""Spans of time in a page's address: `30m`, `4h`, `7d`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def since(text: str) -> datetime | None:
    """The moment so long ago; None for a text that is no span."""
    found = re.fullmatch(r"(\d{1,4})([mhd])", text)
    return datetime.now(UTC) - timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None
