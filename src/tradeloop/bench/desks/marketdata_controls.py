"""Batches that are right: ordinary ones, and those that look bad."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import numpy as np

from tradeloop.bench.desks.marketdata_defects import A, E, Event, Kind, N, Random, Truth
from tradeloop.bench.desks.marketdata_series import (
    PRICES,
    Bar,
    Draft,
    Source,
    any_day,
    half_day,
    minutes_of,
    scaled,
    second_of,
    spelled,
)  # fmt: skip
from tradeloop.bench.desks.marketdata_wider import hours, quoted


def _fine(*events: Event, preferred: str = A, group: str = "") -> Truth:
    return Truth(preferred, frozenset({A, N}), frozenset(), list(events), group)


def _true(rules: str, *dates: str) -> Event:
    """What a desk may well remark on: it is there, and it is right."""
    return Event(frozenset(rules.split()), frozenset(dates), must=False)


def daily(source: Source, random: Random) -> tuple[Draft, Truth]:
    """An ordinary month of a stock."""
    return source.month(random), _fine()


def daily_second(source: Source, random: Random) -> tuple[Draft, Truth]:
    """The same with a second source that agrees."""
    draft = source.month(random)
    draft.second = second_of(random, draft.bars)
    return draft, _fine()


def daily_etf(source: Source, random: Random) -> tuple[Draft, Truth]:
    """An ordinary month of a fund that is traded."""
    return source.month(random, "etf"), _fine()


def daily_index(source: Source, random: Random) -> tuple[Draft, Truth]:
    """An ordinary month of an index."""
    return source.month(random, "index"), _fine()


def one_session(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A session in minutes."""
    return minutes_of(random, source.split, any_day(random, source.split)), _fine()


def one_session_quoted(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A session in minutes with bid and ask."""
    return quoted(source, random), _fine()


def with_hours(source: Source, random: Random) -> tuple[Draft, Truth]:
    """Hourly bars come with the daily ones and add up."""
    draft = source.month(random)
    bars = [hour for bar in draft.bars for hour in hours(random, bar)]
    draft.extra["other_frequency"] = {"frequency": "1h", "bars": bars}
    return draft, _fine()


def young(source: Source, random: Random) -> tuple[Draft, Truth]:
    """Too little history to judge moves by: published with a note."""
    draft = source.month(random)
    draft.context = draft.context[-int(random.integers(0, 40)) - 1 :]
    return draft, _fine(preferred=N)


CLEAN: Final[dict[str, Kind]] = {
    "daily": daily,
    "daily_second": daily_second,
    "daily_etf": daily_etf,
    "daily_index": daily_index,
    "one_session": one_session,
    "one_session_quoted": one_session_quoted,
    "with_hours": with_hours,
    "young": young,
}


def split_known(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A real split day: unadjusted prices fall to a fraction, and the action is announced."""
    draft = source.month(random)
    at, factor = int(random.integers(1, len(draft.bars))), 1 / float(random.choice([2, 3, 4, 5, 7, 10, 20]))
    draft.bars[at:] = [scaled(bar, factor) for bar in draft.bars[at:]]
    draft.extra["corporate_actions"] = [{"date": draft.bars[at]["date"], "factor": round(factor, 6)}]
    if random.random() < 0.5:
        draft.extra["adjusted"] = False
    return draft, _fine()


def split_adjusted(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A split is announced, and the prices before are adjusted already."""
    draft = source.month(random)
    day = draft.bars[int(random.integers(1, len(draft.bars)))]["date"]
    draft.extra |= {"corporate_actions": [{"date": day, "factor": 0.25}], "adjusted": True}
    return draft, _fine()


def dividend_day(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A dividend of 4 to 15 % leaves the price on its day."""
    draft = source.month(random)
    at, factor = int(random.integers(1, len(draft.bars))), 1 - float(random.uniform(0.04, 0.15))
    draft.bars[at:] = [scaled(bar, factor) for bar in draft.bars[at:]]
    day = draft.bars[at]["date"]
    draft.extra["corporate_actions"] = [{"date": day, "factor": round(factor, 5), "kind": "dividend"}]
    return draft, _fine()


def _crash(draft: Draft, random: Random, *, rebound: bool) -> list[str]:
    """A true fall (or rise) of 12 to 25 %, traded all the way; with a rebound, most of it is back on the next day."""
    at = int(random.integers(0, len(draft.bars) - 1))
    size = float(random.uniform(0.12, 0.25)) * (-1 if random.random() < 0.8 else 1)
    before = float((draft.bars[at - 1] if at else draft.context[-1])["close"])
    shift = before * (1 + size) / float(draft.bars[at]["close"])
    opened = before * (1 + size * float(random.uniform(0.1, 0.6)))
    draft.bars[at:] = [scaled(bar, shift) for bar in draft.bars[at:]]
    draft.bars[at] = _through(draft.bars[at], opened)
    days = [draft.bars[at]["date"]]
    if rebound:
        back = 1 + (1 / (1 + size) - 1) * float(random.uniform(0.7, 1.0))
        after = draft.bars[at + 1]
        low_open = float(after["open"])
        draft.bars[at + 1 :] = [scaled(bar, back) for bar in draft.bars[at + 1 :]]
        draft.bars[at + 1] = _through(draft.bars[at + 1], low_open)
        days.append(draft.bars[at + 1]["date"])
    for bar in draft.bars[at : at + 2]:
        bar["volume"] = str(int(float(bar["volume"]) * float(random.uniform(2, 5))))
    return days


def _through(bar: Bar, opened: float) -> Bar:
    """The bar with another open, and a range that holds it."""
    high, low = max(float(bar["high"]), opened), min(float(bar["low"]), opened)
    return bar | {"open": spelled(opened), "high": spelled(high), "low": spelled(low)}


def crash_confirmed(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A true crash day, and the second source has it as well."""
    draft = source.month(random)
    days = _crash(draft, random, rebound=False)
    draft.second = second_of(random, draft.bars)
    return draft, _fine(_true("MD19 MD09", *days), preferred=N, group="crash_confirmed")


def crash_rebound_confirmed(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A true crash whose next day takes most of it back: it looks like a spike."""
    draft = source.month(random)
    days = _crash(draft, random, rebound=True)
    draft.second = second_of(random, draft.bars)
    return draft, _fine(_true("MD19 MD09", *days), preferred=N, group="crash_confirmed")


def crash_alone(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A true crash day without any other evidence: to ask is right, to publish is no harm."""
    draft = source.month(random)
    days = _crash(draft, random, rebound=False)
    return draft, Truth(E, frozenset({E, A, N}), frozenset(), [_true("MD19 MD09", *days)], "crash_alone")


def half_session(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A session that closes early, in minutes."""
    return minutes_of(random, source.split, half_day(random, source.split)), _fine()


def index_without_volume(source: Source, random: Random) -> tuple[Draft, Truth]:
    """An index is computed, not traded."""
    draft = source.month(random, "index")
    for bar in (*draft.bars, *draft.context):
        bar["volume"] = "0"
    return draft, _fine()


def renamed(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A new name for the same instrument."""
    draft = source.month(random)
    day = draft.bars[int(random.integers(len(draft.bars)))]["date"]
    earlier = (date.fromisoformat(draft.context[0]["date"]) - timedelta(days=900)).isoformat()
    draft.extra["identities"] = [{"from": earlier, "id": "US00000000X1"}, {"from": day, "id": "US00000000X1"}]
    return draft, _fine()


def suspended(source: Source, random: Random) -> tuple[Draft, Truth]:
    """Months without trading, and the map says that it is the same instrument."""
    draft = source.month(random)
    days = timedelta(days=int(random.integers(120, 700)))
    for bar in draft.context:
        bar["date"] = (date.fromisoformat(bar["date"]) - days).isoformat()
    earlier = (date.fromisoformat(draft.context[0]["date"]) - timedelta(days=30)).isoformat()
    draft.extra["identities"] = [{"from": earlier, "id": "US00000000X2"}]
    return draft, _fine()


def flat_bars(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A fund has one price a day and no volume, and now and then it stays the same."""
    draft = source.month(random, "fund")
    for bars in (draft.context, draft.bars):
        for at, bar in enumerate(bars):
            repeats = at > 0 and at % 5 == 4 and random.random() < 0.5
            price = bars[at - 1]["close"] if repeats else spelled(float(bar["close"]))
            bar.update(dict.fromkeys(PRICES, price) | {"volume": None})
    return draft, _fine()


def block_trade(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A block of 25 to 80 ordinary days' volume."""
    draft = source.month(random)
    usual = float(np.median([float(bar["volume"]) for bar in draft.context]))
    bar = draft.bars[int(random.integers(len(draft.bars)))]
    bar["volume"] = str(int(usual * float(random.uniform(25, 80))))
    return draft, _fine(_true("MD12", bar["date"]), preferred=N)


def second_a_little_off(source: Source, random: Random) -> tuple[Draft, Truth]:
    """The second source's closes differ by up to 30 basis points."""
    draft = source.month(random)
    draft.second = second_of(random, draft.bars, noise=0.001)
    return draft, _fine()


def quiet_minutes(source: Source, random: Random) -> tuple[Draft, Truth]:
    """A stock that does not trade in every minute."""
    draft = minutes_of(random, source.split, any_day(random, source.split))
    keep = random.random(len(draft.bars)) > 0.08
    keep[[0, -1]] = True
    draft.bars = [bar for bar, kept in zip(draft.bars, keep.tolist(), strict=True) if kept]
    return draft, _fine()


def weekly(source: Source, random: Random) -> tuple[Draft, Truth]:
    """Weeks: first open, highest high, lowest low, last close, stamped with the Monday."""
    draft = source.month(random)
    every = [*draft.context, *draft.bars]
    weeks: dict[date, list[Bar]] = {}
    for bar in every:
        day = date.fromisoformat(bar["date"])
        weeks.setdefault(day - timedelta(days=day.weekday()), []).append(bar)
    mondays = sorted(weeks)[1:]
    cut = len(mondays) - 4
    made = [_added(monday, weeks[monday]) for monday in mondays]
    if mondays[-1] + timedelta(days=6) > draft.sessions[-1]:  # the last week may go on in the next month
        made, mondays = made[:-1], mondays[:-1]
    draft.context, draft.bars, draft.frequency = made[:cut], made[cut:], "1wk"
    draft.period = f"{mondays[cut].isoformat()}/{(mondays[-1] + timedelta(days=4)).isoformat()}"
    return draft, _fine(preferred=N)


def _added(monday: date, bars: list[Bar]) -> Bar:
    return {
        "date": monday.isoformat(),
        "open": bars[0]["open"],
        "high": spelled(max(float(bar["high"]) for bar in bars)),
        "low": spelled(min(float(bar["low"]) for bar in bars)),
        "close": bars[-1]["close"],
        "volume": str(sum(int(float(bar["volume"])) for bar in bars)),
    }


CONTROLS: Final[dict[str, Kind]] = {
    "split_known": split_known,
    "split_adjusted": split_adjusted,
    "dividend_day": dividend_day,
    "crash_confirmed": crash_confirmed,
    "crash_rebound_confirmed": crash_rebound_confirmed,
    "crash_alone": crash_alone,
    "half_session": half_session,
    "index_without_volume": index_without_volume,
    "renamed": renamed,
    "suspended": suspended,
    "flat_bars": flat_bars,
    "block_trade": block_trade,
    "second_a_little_off": second_a_little_off,
    "quiet_minutes": quiet_minutes,
    "weekly": weekly,
}
