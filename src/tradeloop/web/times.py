"""Times on a page: always in UTC to the second, local beside it where a person acts, relative only beside absolute."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

from tradeloop.report.words import span


def clock(at: datetime, zone: ZoneInfo, now: datetime) -> str:
    """The time in a zone, with its date where that is not today's: `16:59:21Z`, `2026-11-23 17:59:21 CET`."""
    own, today = at.astimezone(zone), now.astimezone(zone).date()
    told = own.strftime("%H:%M:%S") if own.date() == today else own.strftime("%Y-%m-%d %H:%M:%S")
    return f"{told}Z" if zone.key == "UTC" else f"{told} {own.strftime('%Z')}"


def when(at: datetime | None, zone: ZoneInfo, now: datetime) -> Markup:
    """A moment in the chosen zone."""
    return _element(at, clock(at, zone, now)) if at else Markup("—")


def both(at: datetime | None, zone: ZoneInfo, now: datetime) -> Markup:
    """A moment on which somebody acts: UTC, and local in brackets."""
    if at is None:
        return Markup("—")
    told = clock(at, ZoneInfo("UTC"), now)
    return _element(at, told if zone.key == "UTC" else f"{told} ({clock(at, zone, now)})")


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago: `41 min`; `—` for never."""
    return "—" if at is None else span(max(0.0, (now - at).total_seconds()))


def left(at: datetime, now: datetime) -> str:
    """What remains: `45 min 39 s`, `2 h 05 min`, `3 d 4 h`; `none` when it is over."""
    seconds = int((at - now).total_seconds())
    if seconds <= 0:
        return "none"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def _element(at: datetime, told: str) -> Markup:
    stamp = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}">{}</time>').format(stamp, told)
