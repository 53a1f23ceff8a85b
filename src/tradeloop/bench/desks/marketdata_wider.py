"""Defects that need more than one series of daily bars: actions, sources, frequencies, quotes, identities, minutes."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np

from tradeloop.bench.desks.marketdata_defects import (
    PUBLISHES,
    E,
    Event,
    Kind,
    N,
    Q,
    R,
    Random,
    Truth,
    fetch_again,
    one_row,
)  # fmt: skip
from tradeloop.bench.desks.marketdata_series import (
    Bar,
    Draft,
    Source,
    any_day,
    minutes_of,
    scaled,
    second_of,
    spelled,
)  # fmt: skip


def _event(rules: str, *dates: str, must: bool = True) -> Event:
    return Event(frozenset(rules.split()), frozenset(dates), must)


def action_unapplied(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A split is announced; unadjusted prices do not move, adjusted ones do, or it is there twice."""
    draft = source.month(random)
    at = int(random.integers(1, len(draft.bars)))
    factor, way = 1 / float(random.choice([2, 3, 4, 5, 10])), int(random.integers(3))
    day = draft.bars[at]["date"]
    draft.extra["corporate_actions"] = [{"date": day, "factor": round(factor, 6)}]
    draft.extra["adjusted"] = (False, True, None)[way]
    if way:
        step = factor if way == 1 else factor**2
        draft.bars[at:] = [scaled(bar, step) for bar in draft.bars[at:]]
    truth = fetch_again("MD11", [day])
    truth.events.append(_event("MD10", must=False))
    return draft, truth


def source_on_other_scale(source: Source, random: Random) -> tuple[Draft, Truth]:
    """All closes differ from the second source by one factor: nobody knows which is right."""
    draft = source.month(random)
    factor = 1 + float(random.choice([-1, 1])) * float(np.exp(random.uniform(np.log(0.008), np.log(0.3))))
    draft.second = [scaled(bar, factor) for bar in second_of(random, draft.bars)]
    return draft, Truth(E, frozenset({E, R}), events=[_event("MD13")])


def source_differs(source: Source, random: Random) -> tuple[Draft, Truth]:
    """The second source moves away on some days and ours does not: ours may have missed a move."""
    draft = source.month(random)
    draft.second = second_of(random, draft.bars)
    at, count = int(random.integers(0, len(draft.bars) - 3)), int(random.integers(1, 4))
    size = 1 + float(random.choice([-1, 1])) * float(np.exp(random.uniform(np.log(0.012), np.log(0.15))))
    draft.second[at : at + count] = [scaled(bar, size) for bar in draft.second[at : at + count]]
    days = [bar["date"] for bar in draft.bars[at : at + count]]
    return draft, Truth(E, frozenset({E}), PUBLISHES | {Q}, [_event("MD13", *days)])


def source_shifted(source: Source, random: Random) -> tuple[Draft, Truth]:
    """Our closes are the second source's of the session before or after."""
    draft = source.month(random)
    draft.second = second_of(random, draft.bars, noise=0.00005)
    step = int(random.choice([-1, 1]))
    days = [bar["date"] for bar in draft.bars]
    shifted = [draft.context[-1], *draft.bars[:-1]] if step == 1 else [*draft.bars[1:], scaled(draft.bars[-1], 1.003)]
    draft.bars = [bar | {"date": day} for day, bar in zip(days, shifted, strict=True)]
    if step == 1:
        draft.bars[0] = scaled(draft.bars[0], 1.002)  # not the context's last bar again
    truth = Truth(R, frozenset({R, E}), PUBLISHES | {Q}, [_event("MD07 MD13")])
    truth.events.append(_event("MD08", must=False))
    return draft, truth


def hours_disagree(source: Source, random: Random) -> tuple[Draft, Truth]:
    """Hourly bars come with the daily ones, and on one day they do not add up."""
    draft = source.month(random)
    hourly: list[Bar] = []
    for bar in draft.bars:
        hourly += hours(random, bar)
    at = int(random.integers(len(draft.bars)))
    bar, size = draft.bars[at], 1 + float(np.exp(random.uniform(np.log(0.004), np.log(0.05))))
    if random.random() < 0.5:
        bar["high"] = spelled(float(bar["high"]) * size)
    else:
        bar["low"] = spelled(float(bar["low"]) / size)
    draft.extra["other_frequency"] = {"frequency": "1h", "bars": hourly}
    return draft, one_row("MD14", [bar["date"]])


def hours(random: Random, bar: Bar) -> list[Bar]:
    """Six hourly bars that add up to the daily one."""
    opened, high, low, close = (float(bar[name]) for name in ("open", "high", "low", "close"))
    inner = [opened, *random.uniform(low, high, 5).tolist(), close]
    tops, bottoms = int(random.integers(6)), int(random.integers(6))
    made = []
    for at, (first, last) in enumerate(pairwise(inner)):
        top = high if at == tops else max(first, last)
        bottom = low if at == bottoms else min(first, last)
        prices = {"open": first, "high": top, "low": bottom, "close": last}
        stamp = f"{bar['date']}T{10 + at:02d}:00:00+00:00"
        made.append({"date": stamp, "volume": "100"} | {name: f"{price:.8f}" for name, price in prices.items()})
    return made


def quote_crossed(source: Source, random: Random) -> tuple[Draft, Truth]:
    """One bid at or above its ask, or one spread far apart."""
    draft = quoted(source, random)
    at = int(random.integers(len(draft.bars)))
    bar = draft.bars[at]
    if random.random() < 0.7:
        bar["bid"] = bar["ask"] if random.random() < 0.3 else spelled(float(bar["ask"]) * 1.001)
    else:
        bar["ask"] = spelled(float(bar["ask"]) * 1.15)
    return draft, one_row("MD16", [_stamp(bar)])


def quoted(source: Source, random: Random) -> Draft:
    """A session of minutes with bid and ask."""
    draft = minutes_of(random, source.split, any_day(random, source.split))
    half = float(random.uniform(0.0001, 0.0004))
    for bar in draft.bars:
        bar["bid"] = spelled(float(bar["close"]) * (1 - half))
        bar["ask"] = spelled(float(bar["close"]) * (1 + half))
    return draft


def ticker_reused(source: Source, random: Random) -> tuple[Draft, Truth]:
    """The bars before are another instrument's: years ago, and by the map or by silence alone."""
    draft = source.month(random)
    days = int(random.integers(120, 3000))
    level = float(np.exp(random.uniform(-1, 1)))
    moved = [date.fromisoformat(bar["date"]) - timedelta(days=days) for bar in draft.context]
    draft.context = [
        scaled(bar, level) | {"date": day.isoformat()} for bar, day in zip(draft.context, moved, strict=True)
    ]
    if random.random() < 0.6:
        draft.extra["identities"] = [
            {"from": (moved[0] - timedelta(days=400)).isoformat(), "id": "US0000000001"},
            {"from": draft.bars[0]["date"], "id": "US0000000002"},
        ]
    truth = Truth(E, frozenset({E}), PUBLISHES | {Q, R}, [_event("MD17")])
    truth.events.append(_event("MD10 MD19 MD09 MD18", must=False))
    return draft, truth


def volume_drift(source: Source, random: Random) -> tuple[Draft, Truth]:
    """Volume comes in hundreds from this batch on: a note, prices are right."""
    draft = source.month(random)
    for bar in draft.bars:
        bar["volume"] = str(max(1, int(float(bar["volume"]) / 100)))
    return draft, Truth(N, frozenset({N}), frozenset(), [_event("MD18")])


def fetched_too_often(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A session is still missing after two fetches."""
    draft = source.month(random)
    gone = draft.bars.pop(int(random.integers(len(draft.bars) - 1)))["date"]
    draft.extra["attempt"] = int(random.integers(2, 6))
    return draft, Truth(E, frozenset({E}), PUBLISHES | {Q, R}, [_event("MD05", gone)])


def minutes_shifted(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A clock of another zone or of summer time."""
    draft = minutes_of(random, source.split, any_day(random, source.split))
    step = timedelta(hours=int(random.choice([-5, -4, -1, 1, 4, 5])))
    for bar in draft.bars:
        bar["date"] = (datetime.fromisoformat(bar["date"]) + step).isoformat()
    truth = fetch_again("MD07")
    truth.events.append(_event("MD05 MD06 MD15 MD09 MD19 MD00", must=False))
    return draft, truth


def minutes_missing(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A gap in the session, or its end."""
    draft = minutes_of(random, source.split, any_day(random, source.split))
    count = int(random.integers(20, 90))
    at = len(draft.bars) - count if random.random() < 0.4 else int(random.integers(1, len(draft.bars) - count - 1))
    gone = [_stamp(bar) for bar in draft.bars[at : at + count]]
    del draft.bars[at : at + count]
    return draft, fetch_again("MD05 MD15", gone)


def minutes_frozen(source: Source, random: Random) -> tuple[Draft, Truth]:
    """One minute again and again, with its volume."""
    draft = minutes_of(random, source.split, any_day(random, source.split))
    count = int(random.integers(8, 60))
    at = int(random.integers(1, len(draft.bars) - count))
    for place in range(at, at + count):
        draft.bars[place] = draft.bars[at - 1] | {"date": draft.bars[place]["date"]}
    return draft, fetch_again("MD08", [_stamp(bar) for bar in draft.bars[at : at + count]])


def minute_off_hours(source: Source, random: Random) -> tuple[Draft, Truth]:
    """One print before the opening."""
    draft = minutes_of(random, source.split, any_day(random, source.split))
    first = draft.bars[0]
    early = datetime.fromisoformat(first["date"]) - timedelta(minutes=int(random.integers(5, 200)))
    draft.bars.insert(0, scaled(first, 1.001) | {"date": early.isoformat()})
    return draft, one_row("MD06", [_stamp(draft.bars[0])])


def minute_unit(source: Source, random: Random) -> tuple[Draft, Truth]:
    """One minute in pence for pounds."""
    draft = minutes_of(random, source.split, any_day(random, source.split))
    at = int(random.integers(len(draft.bars)))
    draft.bars[at] = scaled(draft.bars[at], float(random.choice([100, 0.01])))
    return draft, Truth(R, frozenset({R, Q}), events=[_event("MD10 MD09", _stamp(draft.bars[at]))])


def _stamp(bar: Bar) -> str:
    return f"{datetime.fromisoformat(bar['date']):%Y-%m-%dT%H:%MZ}"


WIDER: Final[dict[str, Kind]] = {
    "action_unapplied": action_unapplied,
    "source_on_other_scale": source_on_other_scale,
    "source_differs": source_differs,
    "source_shifted": source_shifted,
    "hours_disagree": hours_disagree,
    "quote_crossed": quote_crossed,
    "ticker_reused": ticker_reused,
    "volume_drift": volume_drift,
    "fetched_too_often": fetched_too_often,
    "minutes_shifted": minutes_shifted,
    "minutes_missing": minutes_missing,
    "minutes_frozen": minutes_frozen,
    "minute_off_hours": minute_off_hours,
    "minute_unit": minute_unit,
}
