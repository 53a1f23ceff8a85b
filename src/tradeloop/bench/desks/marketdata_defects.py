"""What can be wrong with a batch: each kind spoils an ordinary one and says what is right then.

The truth is known from how a case was made. Where one series alone cannot tell a defect from the market, the labels
say so: publishing is then not counted as wrong, and not as right alone either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from tradeloop.bench.desks.marketdata_series import PRICES, Draft, Source, scaled, second_of, spelled

Random = np.random.Generator
A, N, Q, R, E = "ACCEPT", "ACCEPT_WITH_NOTE", "QUARANTINE_ROWS", "REFETCH", "ESCALATE"
PUBLISHES: Final = frozenset({A, N})
SURE_MAD: Final = 11.0
"""A move that shows in the bars of so many MAD and ..."""
SURE_MOVE: Final = 0.065
"""... of this size has to be held without a second source. Below, the series alone cannot tell."""


@dataclass(frozen=True)
class Event:
    """One anomaly that was injected."""

    rules: frozenset[str]
    """Which findings name it."""
    dates: frozenset[str] = frozenset()
    """Stamps; none: the batch as a whole."""
    must: bool = True
    """Whether it can be found at all: recall counts these."""


@dataclass
class Truth:
    """What is right about a case."""

    preferred: str
    acceptable: frozenset[str]
    unsafe: frozenset[str] = PUBLISHES
    events: list[Event] = field(default_factory=list)
    group: str = ""
    """For a figure of its own: `crash_confirmed`, `small_spike_second`."""


Kind = Callable[[Source, Random], tuple[Draft, Truth]]
Defect = Callable[[Draft, Random], Truth]
"""Spoils rows of a daily draft in place."""


def _event(rules: str, dates: list[str] | None = None, *, must: bool = True) -> Event:
    return Event(frozenset(rules.split()), frozenset(dates or ()), must)


def one_row(rules: str, dates: list[str]) -> Truth:
    """One bad row: set it aside."""
    return Truth(Q, frozenset({Q} if len(dates) < 2 else {Q, R}), events=[_event(rules, dates)])


def fetch_again(rules: str, dates: list[str] | None = None) -> Truth:
    """A batch that is wrong as a whole; setting rows aside would leave the rest wrong."""
    return Truth(R, frozenset({R}), PUBLISHES | {Q}, [_event(rules, dates)])


def _any(draft: Draft, random: Random, *, low: int = 0, high: int = 0) -> int:
    return int(random.integers(low, len(draft.bars) - high))


def price_missing(draft: Draft, random: Random) -> Truth:
    bar = draft.bars[_any(draft, random)]
    bar[str(random.choice(PRICES))] = random.choice(np.array([None, "", "NaN", "null"], dtype=object))
    return one_row("MD01", [bar["date"]])


def price_garbled(draft: Draft, random: Random) -> Truth:
    bar = draft.bars[_any(draft, random)]
    bar[str(random.choice(PRICES))] = str(random.choice(["1,234.5", "#REF!", "12.3.4", "see note", "1e", "٣٤"]))
    return one_row("MD01", [bar["date"]])


def foreign_symbol(draft: Draft, random: Random) -> Truth:
    bar = draft.bars[_any(draft, random)]
    bar["symbol"] = "ZZTOP"
    return one_row("MD01", [bar["date"]])


def price_not_positive(draft: Draft, random: Random) -> Truth:
    bar = draft.bars[_any(draft, random)]
    name = str(random.choice(PRICES))
    bar[name] = "0" if random.random() < 0.4 else f"-{bar[name]}"
    return one_row("MD02 MD03", [bar["date"]])


def high_low_swapped(draft: Draft, random: Random) -> Truth:
    bar = draft.bars[_any(draft, random)]
    if random.random() < 0.5:
        bar["high"] = spelled(float(bar["high"]) * 1.002)  # so that there is something to swap
        bar["high"], bar["low"] = bar["low"], bar["high"]
    else:
        bar["open"] = spelled(float(bar["high"]) * (1 + float(random.uniform(0.001, 0.02))))
    return one_row("MD03", [bar["date"]])


def duplicate_alike(draft: Draft, random: Random) -> Truth:
    at = _any(draft, random)
    draft.bars.insert(at + int(random.integers(0, 2)), dict(draft.bars[at]))
    return one_row("MD04", [draft.bars[at]["date"]])


def duplicate_conflicting(draft: Draft, random: Random) -> Truth:
    at = _any(draft, random)
    draft.bars.insert(at + 1, scaled(draft.bars[at], 1 + float(random.uniform(0.001, 0.01))))
    return one_row("MD04", [draft.bars[at]["date"]])


def session_dropped(draft: Draft, random: Random) -> Truth:
    gone = [draft.bars.pop(_any(draft, random, high=1))["date"] for _ in range(int(random.integers(1, 3)))]
    return fetch_again("MD05", gone)


def truncated(draft: Draft, random: Random) -> Truth:
    gone = [draft.bars.pop()["date"] for _ in range(int(random.integers(1, 5)))]
    return fetch_again("MD15", gone)


def closed_day(draft: Draft, random: Random) -> Truth:
    first, last = draft.sessions[0], draft.sessions[-1]
    closed = [
        day for at in range((last - first).days) if (day := first + timedelta(days=at)) not in set(draft.sessions)
    ]
    day = closed[int(random.integers(len(closed)))]
    before = max(at for at, bar in enumerate(draft.bars) if bar["date"] < day.isoformat())
    draft.bars.insert(before + 1, scaled(draft.bars[before], 1.001) | {"date": day.isoformat()})
    return one_row("MD06", [day.isoformat()])


def date_shift(draft: Draft, random: Random) -> Truth:
    step = timedelta(days=int(random.choice([-1, 1])))
    for bar in draft.bars:
        bar["date"] = (date.fromisoformat(bar["date"]) + step).isoformat()
    truth = fetch_again("MD07")
    truth.events.append(_event("MD05 MD06 MD15 MD08 MD09 MD19", must=False))
    return truth


def stale(draft: Draft, random: Random) -> Truth:
    count = int(random.integers(1, 4))
    at = _any(draft, random, low=1, high=count - 1)
    for place in range(at, at + count):
        draft.bars[place] = draft.bars[at - 1] | {"date": draft.bars[place]["date"]}
    truth = fetch_again("MD08", [draft.bars[place]["date"] for place in range(at, at + count)])
    # The move that was missed comes on the day after.
    truth.events.append(_event("MD09 MD19", must=False))
    return truth


def _moved(draft: Draft, random: Random, size: float, *, whole: bool) -> tuple[str, str]:
    at = _any(draft, random, low=0, high=1)
    bar, factor = draft.bars[at], 1 + size
    if whole:
        draft.bars[at] = scaled(bar, factor)
    else:
        close = float(bar["close"]) * factor
        bar["close"] = spelled(close)
        bar["high"], bar["low"] = spelled(max(float(bar["high"]), close)), spelled(min(float(bar["low"]), close))
    return str(draft.bars[at]["date"]), str(draft.bars[at + 1]["date"])


def prices_frozen(draft: Draft, random: Random) -> Truth:
    """Prices repeat while the volume goes on; with a range of few ticks that may be chance."""
    closes = np.unique([float(bar["close"]) for bar in draft.context])
    tick = max(float(np.diff(closes).min()), 1e-5 * float(closes.max())) if len(closes) > 1 else 0.0
    truth = stale(draft, random)
    days = truth.events[0].dates
    frozen = [bar for bar in draft.bars if bar["date"] in days]
    for bar in frozen:
        bar["volume"] = str(int(float(bar["volume"]) * float(random.uniform(0.6, 1.6))) + 1)
    wide = float(frozen[0]["high"]) - float(frozen[0]["low"]) >= 15 * tick
    if wide and frozen[0]["open"] != frozen[0]["close"]:
        return truth
    events = [Event(each.rules, each.dates, must=False) for each in truth.events]
    return Truth(R, frozenset({R, A, N}), frozenset(), events)


def wick(draft: Draft, random: Random) -> Truth:
    """A high or low that nobody traded at: a fat finger."""
    bar, size = draft.bars[_any(draft, random)], float(np.exp(random.uniform(np.log(1.35), np.log(12))))
    if random.random() < 0.5:
        bar["high"] = spelled(float(bar["high"]) * size)
    else:
        bar["low"] = spelled(float(bar["low"]) / size)
    return Truth(Q, frozenset({Q}), events=[_event("MD09", [bar["date"]])])


def _shows(draft: Draft, day: str) -> bool:
    """Whether the move into a bar is too large for a market: what the injected one and the day's own come to."""
    every = [*draft.context, *draft.bars]
    at = next(place for place, bar in enumerate(every) if bar["date"] == day and place >= len(draft.context))
    move = abs(float(np.log(float(every[at]["close"]) / float(every[at - 1]["close"]))))
    return move >= max(SURE_MOVE, SURE_MAD * draft.spread)


def _return(day: str) -> Event:
    """The bar on which a spike comes back may be remarked on as well."""
    return _event("MD09 MD19 MD13", [day], must=False)


def _sized(random: Random, low: float, high: float) -> float:
    """A signed size, evenly on a logarithmic scale; downwards as the inverse, so that prices stay above zero."""
    size = float(np.exp(random.uniform(np.log(low), np.log(high))))
    return size if random.random() < 0.5 else 1 / (1 + size) - 1


def spike_large(draft: Draft, random: Random) -> Truth:
    day, after = _moved(draft, random, _sized(random, 0.30, 0.60), whole=bool(random.random() < 0.5))
    return Truth(Q, frozenset({Q, R, E}), events=[_event("MD09 MD10", [day]), _return(after)])


def spike_alone(draft: Draft, random: Random) -> Truth:
    """Of 1 to 25 % without a second source: ask; below what one series can tell, publishing is bearable."""
    day, after = _moved(draft, random, _sized(random, 0.01, 0.25), whole=bool(random.random() < 0.5))
    sure = _shows(draft, day) and _shows(draft, after)
    acceptable = {E, Q, R} if sure else {E, Q, R, A, N}
    events = [_event("MD09 MD19", [day], must=sure), _return(after)]
    return Truth(E, frozenset(acceptable), PUBLISHES if sure else frozenset(), events)


def spike_second(draft: Draft, random: Random) -> Truth:
    """Of 1 to 12 % while a second source has the true close."""
    draft.second = second_of(random, draft.bars)
    day, after = _moved(draft, random, _sized(random, 0.01, 0.12), whole=bool(random.random() < 0.5))
    events = [_event("MD13 MD09 MD19", [day]), _return(after)]
    return Truth(Q, frozenset({Q, R, E}), events=events, group="small_spike_second")


def last_bar_off(draft: Draft, random: Random) -> Truth:
    """No bar after it shows a reversal."""
    draft.bars[-1] = scaled(draft.bars[-1], 1 + _sized(random, 0.12, 0.40))
    sure = _shows(draft, draft.bars[-1]["date"])
    acceptable = {E, R} if sure else {E, R, A, N}
    events = [_event("MD19 MD10", [draft.bars[-1]["date"]], must=sure)]
    return Truth(E, frozenset(acceptable), PUBLISHES if sure else frozenset(), events)


def unit_bar(draft: Draft, random: Random) -> Truth:
    at = _any(draft, random)
    draft.bars[at] = scaled(draft.bars[at], float(random.choice([100, 0.01])))
    return Truth(R, frozenset({R, Q}), events=[_event("MD10 MD09", [draft.bars[at]["date"]])])


def split_missed(draft: Draft, random: Random) -> Truth:
    """From a day on the prices are on another level, and no action is known."""
    at, ratio = _any(draft, random), float(random.choice([2, 3, 4, 5, 7, 10, 20, 100]))
    factor = ratio if random.random() < 0.3 else 1 / ratio
    draft.bars[at:] = [scaled(bar, factor) for bar in draft.bars[at:]]
    return fetch_again("MD10", [bar["date"] for bar in draft.bars[at:]])


def volume_wrong(draft: Draft, random: Random) -> Truth:
    bar = draft.bars[_any(draft, random)]
    kind = int(random.integers(3))
    bar["volume"] = ("0", f"-{int(float(bar['volume']))}", str(int(float(bar["volume"]) * 1500)))[kind]
    return one_row("MD12", [bar["date"]])


ROW_DEFECTS: Final[dict[str, Defect]] = {
    "price_missing": price_missing,
    "price_garbled": price_garbled,
    "foreign_symbol": foreign_symbol,
    "price_not_positive": price_not_positive,
    "high_low_swapped": high_low_swapped,
    "duplicate_alike": duplicate_alike,
    "duplicate_conflicting": duplicate_conflicting,
    "closed_day": closed_day,
    "volume_wrong": volume_wrong,
    "session_dropped": session_dropped,
    "truncated": truncated,
    "date_shift": date_shift,
    "stale": stale,
    "prices_frozen": prices_frozen,
    "wick": wick,
    "spike_large": spike_large,
    "spike_alone": spike_alone,
    "spike_second": spike_second,
    "last_bar_off": last_bar_off,
    "unit_bar": unit_bar,
    "split_missed": split_missed,
}
"""Those that spoil a daily batch in place."""


def applied(defect: Defect) -> Kind:
    """A defect on a fresh ordinary month."""

    def make(source: Source, random: Random) -> tuple[Draft, Truth]:
        while True:
            draft = source.month(random)
            before = _frozen(draft)
            truth = defect(draft, random)
            if _frozen(draft) != before:
                return draft, truth

    return make


def _frozen(draft: Draft) -> list[tuple[tuple[str, Any], ...]]:
    return [tuple(bar.items()) for bar in draft.bars]
