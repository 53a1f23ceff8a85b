"""Ordinary batches of bars to inject defects into: synthetic, or cut out of price files."""

from __future__ import annotations

import hashlib
import math
import warnings
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final  # Any: an event's data, and exchange_calendars, which ships no types

import numpy as np
from numpy.typing import NDArray

from tradeloop.bench.desks.case import Split
from tradeloop.bench.desks.price_files import Series, read_folder

Bar = dict[str, Any]
Floats = NDArray[np.float64]
PRICES: Final = ("open", "high", "low", "close")
CONTEXT_BARS: Final = 120
ORDINARY_MOVE: Final = 0.045
"""An ordinary month has no return as large as this, or ..."""
ORDINARY_MAD: Final = 6.5
"""... none of so many MAD of the 120 before."""
_YEARS: Final[dict[Split, tuple[int, int]]] = {"tuning": (2005, 2012), "test": (2013, 2022)}
_SYMBOLS: Final[dict[Split, tuple[str, ...]]] = {
    "tuning": ("ALDR", "BRKT", "CMLT", "DNSN", "ERVA", "FOLD1", "GRNT", "HVLT"),
    "test": ("KESTRL", "LMBDA", "MIRO.A", "NVARA", "OSLOX", "PLTN-B", "QUORM", "RSTIG", "SABLE", "TNDRA"),
}
_MARKETS: Final[dict[Split, tuple[str, ...]]] = {"tuning": ("XNYS", "XLON"), "test": ("XNYS", "XETR", "XTKS", "XHKG")}


@dataclass
class Draft:
    """A batch while it is made: spoil `bars`, then `data` is the event's."""

    symbol: str
    calendar: str
    asset_class: str
    period: str
    bars: list[Bar]
    context: list[Bar]
    sessions: tuple[date, ...]
    """Those of the period."""
    frequency: str = "1d"
    second: list[Bar] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the event."""

    @property
    def data(self) -> dict[str, Any]:
        """The event's payload data."""
        made: dict[str, Any] = {
            "symbol": self.symbol,
            "calendar": self.calendar,
            "asset_class": self.asset_class,
            "period": self.period,
            "bars": self.bars,
            "context": self.context,
        }
        if self.frequency != "1d":
            made["frequency"] = self.frequency
        if self.second is not None:
            made["second_source"] = {"name": "feed B", "bars": self.second}
        return made | self.extra

    @property
    def spread(self) -> float:
        """The median absolute deviation of the returns of the bars before: what a move is large or small against."""
        closes = np.log([float(bar["close"]) for bar in self.context])
        returns = np.diff(closes)
        return max(float(np.median(np.abs(returns - np.median(returns)))), 1e-4)


@dataclass(frozen=True)
class Source:
    """Where drafts come from: `files` where a folder was given, else a model of prices."""

    split: Split
    files: tuple[tuple[Series, tuple[tuple[int, int], ...]], ...] = ()
    """Series with the places of their ordinary months."""

    @classmethod
    def of(cls, split: Split, folder: Path | None) -> Source:
        """The daily series of a folder that are long enough, or none."""
        if folder is None:
            return cls(split)
        found = [
            each for each in read_folder(folder)[0] if each.frequency == "1d" and len(each.bars) > CONTEXT_BARS + 40
        ]
        placed = [(each, _places(each, split)) for each in found if _is_known(each.calendar)]
        return cls(split, tuple((series, places) for series, places in placed if places))

    def month(self, random: np.random.Generator, asset_class: str = "equity", *, bars_min: int = 15) -> Draft:
        """An ordinary month of daily bars with the 120 before."""
        if not self.files:
            return _synthetic(random, self.split, asset_class, bars_min)
        series, places = self.files[int(random.integers(len(self.files)))]
        at, end = places[int(random.integers(len(places)))]
        day = date.fromisoformat(str(series.bars[at]["date"]))
        days = sessions_of(series.calendar, day.replace(day=1), _month_end(day))
        bars = [dict(bar) for bar in series.bars[at:end]]
        return Draft(
            symbol=series.symbol,
            calendar=series.calendar,
            asset_class=asset_class,
            period=f"{day:%Y-%m}",
            bars=bars,
            context=[dict(bar) for bar in series.bars[at - CONTEXT_BARS : at]],
            sessions=days,
        )


def _is_known(calendar: str) -> bool:
    """Whether the library can build the calendar: some it cannot with every pandas."""
    try:
        return _calendar(calendar) is not None
    except ValueError:
        return False


def second_of(random: np.random.Generator, bars: Sequence[Bar], noise: float = 0.0002) -> list[Bar]:
    """The same bars as another vendor has them: closes a little off, for another closing auction."""
    made = []
    for bar in bars:
        off = float(np.clip(random.normal(0, noise), -3 * noise, 3 * noise))
        made.append({name: spelled(float(bar[name]) * (1 + off)) for name in PRICES} | {"date": bar["date"]})
    return made


def spelled(price: float) -> str:
    """A price as a vendor writes it: 4 digits after the point, more for small ones."""
    return f"{price:.4f}" if price >= 1 else f"{price:.8f}"


def scaled(bar: Bar, factor: float) -> Bar:
    """The bar with its four prices multiplied."""
    return bar | {name: spelled(float(bar[name]) * factor) for name in PRICES}


@lru_cache(maxsize=4096)
def sessions_of(calendar: str, first: date, last: date) -> tuple[date, ...]:
    """The exchange's sessions, asked of the library itself and not of the desk."""
    found = _calendar(calendar).sessions_in_range(first.isoformat(), last.isoformat())
    return tuple(moment.date() for moment in found)


@lru_cache(maxsize=4096)
def hours_of(calendar: str, day: date) -> tuple[datetime, datetime]:
    """When a session opens and closes, in UTC."""
    known = _calendar(calendar)
    opens, closes = known.session_open(day.isoformat()), known.session_close(day.isoformat())
    return opens.to_pydatetime().astimezone(UTC), closes.to_pydatetime().astimezone(UTC)


def minutes_of(random: np.random.Generator, split: Split, day: date, count: int | None = None) -> Draft:
    """One session of XNYS in minutes, with 120 minutes of the session before as context."""
    before = sessions_of("XNYS", day - timedelta(days=10), day - timedelta(days=1))[-1]
    opens, closes = hours_of("XNYS", day)
    ends = hours_of("XNYS", before)[1]
    stamps = [ends - timedelta(minutes=left) for left in range(CONTEXT_BARS, 0, -1)]
    minutes = int((closes - opens).total_seconds() // 60) if count is None else count
    stamps += [opens + timedelta(minutes=at) for at in range(minutes)]
    made = _walk(random, len(stamps), sigma=float(random.uniform(0.0003, 0.0012)), volume=20_000)
    bars = [bar | {"date": stamp.strftime("%Y-%m-%dT%H:%M:%S+00:00")} for stamp, bar in zip(stamps, made, strict=True)]
    symbol = str(random.choice(_SYMBOLS[split]))
    return Draft(
        symbol, "XNYS", "equity", day.isoformat(), bars[CONTEXT_BARS:], bars[:CONTEXT_BARS], (day,), frequency="1min"
    )


def any_day(random: np.random.Generator, split: Split) -> date:
    """A session of XNYS within the split's years."""
    year = int(random.integers(_YEARS[split][0], _YEARS[split][1] + 1))
    days = sessions_of("XNYS", date(year, 1, 15), date(year, 12, 20))
    ordinary = [day for day in days if not is_half_day(day)]
    return ordinary[int(random.integers(len(ordinary)))]


def half_day(random: np.random.Generator, split: Split) -> date:
    """A session of XNYS that closes early."""
    years = range(_YEARS[split][0], _YEARS[split][1] + 1)
    days = [
        day for year in years for day in sessions_of("XNYS", date(year, 11, 20), date(year, 12, 31)) if is_half_day(day)
    ]
    return days[int(random.integers(len(days)))]


def is_half_day(day: date) -> bool:
    """Whether XNYS closes early."""
    opens, closes = hours_of("XNYS", day)
    return closes - opens < timedelta(hours=6)


@lru_cache(maxsize=16)
def _calendar(name: str) -> Any:
    import exchange_calendars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return exchange_calendars.get_calendar(name, start="1997-06-02")


def _synthetic(random: np.random.Generator, split: Split, asset_class: str, bars_min: int) -> Draft:
    calendar = "XNYS" if asset_class in ("index", "fund") else str(random.choice(_MARKETS[split]))
    first_year, last_year = _YEARS[split]
    while True:
        start = date(int(random.integers(first_year, last_year + 1)), int(random.integers(1, 13)), 1)
        days = sessions_of(calendar, start, _month_end(start))
        if len(days) >= bars_min:
            break
    before = sessions_of(calendar, start - timedelta(days=260), start - timedelta(days=1))[-CONTEXT_BARS:]
    sigma = (0.01 if asset_class == "index" else 0.014) * float(np.exp(random.normal(0, 0.35)))
    while True:
        made = _walk(random, len(before) + len(days), sigma=sigma, volume=2e6)
        if _is_ordinary(np.array([float(bar["close"]) for bar in made]), len(days)):
            break
    bars = [bar | {"date": day.isoformat()} for day, bar in zip((*before, *days), made, strict=True)]
    symbol = str(random.choice(_SYMBOLS[split]))
    return Draft(symbol, calendar, asset_class, f"{start:%Y-%m}", bars[len(before) :], bars[: len(before)], days)


def _is_ordinary(closes: Floats, judged: int) -> bool:
    """Whether the last `judged` returns are none that a desk should remark on: true extremes are cases of their own."""
    returns = np.diff(np.log(closes))
    past, now = returns[:-judged], returns[-judged:]
    spread = float(np.median(np.abs(past - np.median(past))))
    return bool(np.max(np.abs(now)) < max(ORDINARY_MOVE, ORDINARY_MAD * spread))


def _walk(random: np.random.Generator, count: int, *, sigma: float, volume: float) -> list[Bar]:
    """Bars of a GARCH(1,1)-like series with fat tails: alpha 0.07, beta 0.9, Student t of 6 degrees, cut at 4."""
    shocks = np.clip(random.standard_t(6, count) / math.sqrt(1.5), -4, 4)
    close = float(np.exp(random.uniform(math.log(5), math.log(400))))
    shares, ticks = 0.45 * random.uniform(0, 1.4, count), sigma * 0.2 * random.normal(size=count)
    reach = sigma * 0.5 * np.abs(random.normal(size=(count, 2)))
    sizes = volume * np.exp(0.35 * random.normal(size=count))
    variance, made = sigma**2, []
    for at in range(count):
        move = math.sqrt(variance) * float(shocks[at])
        variance = 0.03 * sigma**2 + 0.07 * move**2 + 0.9 * variance
        opened = close * math.exp(move * float(shares[at]) + float(ticks[at]))
        close *= math.exp(move)
        high, low = max(opened, close) * math.exp(reach[at, 0]), min(opened, close) * math.exp(-reach[at, 1])
        prices = {"open": opened, "high": high, "low": low, "close": close}
        traded = {"volume": str(int(sizes[at] * math.exp(12 * abs(move))))}
        made.append({name: spelled(price) for name, price in prices.items()} | traded)
    return made


def _month_end(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])


def _places(series: Series, split: Split) -> tuple[tuple[int, int], ...]:
    """Whole, ordinary months: every session there, prices that fit each other, no extreme move, no level jump."""
    parity, calendar = 0 if split == "tuning" else 1, series.calendar
    days = [date.fromisoformat(str(bar["date"])) for bar in series.bars]
    prices = np.array([[float(bar[name] or "nan") for name in PRICES] for bar in series.bars])
    volumes = np.array([float(bar["volume"] or "nan") for bar in series.bars])
    found = []
    months = sorted({day.replace(day=1) for day in days})
    for month in months:
        at = next(place for place, day in enumerate(days) if day >= month)
        end = next((place for place, day in enumerate(days) if day > _month_end(month)), len(days))
        turn = int(hashlib.sha256(series.symbol.encode()).hexdigest(), 16) + month.year
        if at < CONTEXT_BARS + 1 or turn % 2 != parity:
            continue
        window, past = slice(at, end), slice(at - CONTEXT_BARS, at)
        whole = np.isfinite(prices[at - CONTEXT_BARS : end]).all() and (prices[at - CONTEXT_BARS : end] > 0).all()
        opened, high, low, close = prices[window].T
        fits = bool((high >= np.maximum(opened, close)).all() and (low <= np.minimum(opened, close)).all())
        calm = bool(whole) and _is_ordinary(prices[at - CONTEXT_BARS : end, 3], end - at)
        reach = np.maximum(high / np.maximum(opened, close), np.minimum(opened, close) / low)
        near = bool(reach.max() < 1.2)
        traded = bool((volumes[window] > 0).all() and np.nanmax(volumes[window]) < 15 * np.nanmedian(volumes[past]))
        if calm and fits and near and traded and tuple(days[at:end]) == sessions_of(calendar, month, _month_end(month)):
            found.append((at, end))
    return tuple(found)
