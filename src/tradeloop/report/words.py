"""How states and outcomes look, and how figures, times and text from outside are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final

ICONS: Final = {
    "clock": "M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12zM8 4.5V8l2.5 1.5",
    "play": "M5 3.5l7.5 4.5L5 12.5z",
    "check": "M3 8.5l3.5 3.5L13 4.5",
    "cross": "M4 4l8 8M12 4l-8 8",
    "octagon": "M5.5 2h5L14 5.5v5L10.5 14h-5L2 10.5v-5zM8 5v3.5M8 11v.2",
    "diamond": "M8 1.5L14.5 8L8 14.5L1.5 8zM6.6 6.6q.2-1.6 1.5-1.6q1.4 0 1.4 1.3q0 .8-1.5 1.6v.8M8 11v.2",
    "slash": "M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12zM4 12l8-8",
    "hourglass": "M4 2h8M4 14h8M5 2v2.5L8 8L5 11.5V14M11 2v2.5L8 8l3 3.5V14",
}
"""Strokes on 16 by 16: drawn, because no font can be relied on to have them."""


@dataclass(frozen=True, slots=True)
class Tone:
    """A colour of the page and the icon that goes with it; the word always stands beside."""

    name: str
    icon: str


DONE: Final = Tone("done", "check")
WAITING: Final = Tone("waiting", "clock")
RUNNING: Final = Tone("running", "play")
REFUSED: Final = Tone("refused", "cross")
FAILED: Final = Tone("refused", "octagon")
UNKNOWN: Final = Tone("unknown", "diamond")
CANCELLED: Final = Tone("ended", "slash")
EXPIRED: Final = Tone("ended", "hourglass")

TONES: Final = {
    **dict.fromkeys(("done", "executed", "ACCEPT", "ACCEPT_WITH_NOTE", "MONITOR", "OK", "MATCH", "AUTO_RESOLVE"), DONE),
    **dict.fromkeys(("waiting_for_person", "retrying", "prepared", "blocked", "ESCALATE", "WARN"), WAITING),
    **dict.fromkeys(("REQUEST_APPROVAL", "WAIT_NEXT_CYCLE"), WAITING),
    **dict.fromkeys(("queued", "running", "executing"), RUNNING),
    **dict.fromkeys(("REJECT_BATCH", "BLOCK_NEW_RISK", "KILL_REQUEST", "BREACH_NOTIFY"), REFUSED),
    **dict.fromkeys(("failed",), FAILED),
    **dict.fromkeys(("outcome_unknown", "version_unavailable"), UNKNOWN),
    **dict.fromkeys(("cancelled", "unhandled"), CANCELLED),
    **dict.fromkeys(("expired",), EXPIRED),
}
"""Of run states, effect states and the outcomes of the desks that ship."""


def tone_of(word: str) -> Tone:
    """The tone of a state or outcome; a word of somebody's own desk acts, and looks so."""
    return TONES.get(word, RUNNING)


def said(word: str) -> str:
    """A state or outcome as it is read: `ACCEPT_WITH_NOTE` is `accept with note`."""
    return plain(word.replace("_", " ").lower())


def plain(text: object, most: int = 400) -> str:
    """Text of any origin on one line: what a reader would not see, or what would turn the line round, is spelled."""
    flat = " ".join(str(text).split())
    cut = flat if len(flat) <= most else f"{flat[: most - 1]}…"
    return "".join(c if c.isprintable() else f"⟨U+{ord(c):04X}⟩" for c in cut)


def markup(text: object, most: int = 400) -> str:
    """The same, safe inside HTML and SVG, in text and in quoted attributes."""
    return escape(plain(text, most), quote=True)


def figure(value: float | None) -> str:
    """A figure with thousands apart and a true minus; — for none."""
    if value is None or not math.isfinite(value):
        return "—"
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-4:
        return f"{value:.3g}".replace("-", "−")
    told = f"{value:,.0f}" if size >= 1e5 else f"{value:,.4f}" if size < 10 else f"{value:,.2f}"
    if "." in told:
        told = told.rstrip("0").rstrip(".")
    return told.replace("-", "−")


def count(number: int, noun: str) -> str:
    """`1 run`, `2 runs`, `0 runs`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def clock(at: datetime | None) -> str:
    """The time of the day in UTC."""
    return at.astimezone(UTC).strftime("%H:%M:%SZ") if at else "—"


def moment(at: datetime | None) -> str:
    """A moment in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "—"


def span(seconds: float | None) -> str:
    """A length of time: `38 ms`, `2.1 s`, `41 min`, `3.5 h`, `4 d`."""
    if seconds is None:
        return "—"
    for unit, size, digits in (("d", 86_400, 1), ("h", 3600, 1), ("min", 60, 0), ("s", 1, 1)):
        if seconds >= size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{max(0.0, seconds) * 1000:.0f} ms"
