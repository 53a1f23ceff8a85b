"""Price files of several vendors as series of bars: read whole, or refused by line and field."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Final

from tradeloop.desks.marketdata.batch import Frequency
from tradeloop.errors import ReferenceInvalid

Bars = list[dict[str, str | None]]
PRICES: Final = ("open", "high", "low", "close")
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_LEAN_SCALE: Final = Decimal(10_000)
"""LEAN writes equity prices in ten-thousandths."""
_MARKETS: Final = {"L": "XLON", "HK": "XHKG", "T": "XTKS", "PA": "XPAR", "DE": "XETR", "TO": "XTSE", "TA": "XTAE"}
"""Yahoo's suffix to the market identifier code."""
_STAMP_COLUMNS: Final = ("date", "datetime", "timestamp", "time")
_SPLITS: Final = ("stock splits", "split ratio")
_DIVIDENDS: Final = ("dividends", "ex-dividend")
_FREQUENCIES: Final[dict[str, Frequency]] = {"1d": "1d", "1wk": "1wk", "1h": "1h", "1m": "1min"}
_INTERVAL: Final = re.compile(r"-(1d|1wk|1h|1m)(-|\.|$)")


@dataclass(frozen=True)
class Series:
    """One instrument's bars, oldest first, as delivered."""

    name: str
    symbol: str
    frequency: Frequency
    bars: Bars
    calendar: str = "XNYS"
    asset_class: str = "equity"
    actions: tuple[dict[str, str], ...] = ()
    """Splits and dividends: `date`, `factor`, `kind`."""
    adjusted: bool | None = None


def read_folder(folder: Path) -> tuple[list[Series], list[ReferenceInvalid]]:
    """Every price file below a folder, by name, and why the others were refused."""
    found: list[Series] = []
    refused: list[ReferenceInvalid] = []
    for path in sorted(each for each in folder.rglob("*") if each.suffix.lower() in (".csv", ".zip")):
        if re.search(r"(factor|map)_files", path.name):
            continue
        try:
            found.append(read_series(path))
        except ReferenceInvalid as problem:
            refused.append(problem)
    return found, refused


def read_series(path: Path) -> Series:
    """Read one file: a CSV with a header, a zip of LEAN's, or minutes in NinjaTrader's form.

    Raises:
        ReferenceInvalid: no price file; names line and field.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ReferenceInvalid(f"{path.name} has more than {MAX_FILE_BYTES:,} bytes")
        if path.suffix.lower() == ".zip":
            return _lean(path)
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise ReferenceInvalid(f"{path.name} cannot be read as text: {problem}") from problem
    if re.match(r"\d{8} \d{6};", text):
        return _ninja(path, text)
    return _with_header(path, text)


def _with_header(path: Path, text: str) -> Series:
    try:
        lines = list(csv.reader(io.StringIO(text)))
    except csv.Error as problem:
        raise ReferenceInvalid(f"{path.name} is no CSV: {problem}") from problem
    header = [name.strip().lower() for name in (lines[0] if lines else [])]
    stamp = next((name for name in _STAMP_COLUMNS if name in header), None)
    for name in ("date" if stamp is None else stamp, *PRICES):
        if name not in header:
            raise ReferenceInvalid(f"{path.name} line 1, field {name}: the column is missing")
    interval = _INTERVAL.search(path.name)
    frequency = _FREQUENCIES[interval[1] if interval else "1d"]
    bars: Bars = []
    extras: list[tuple[Decimal, Decimal]] = []
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        where = f"{path.name} line {number}"
        if len(line) != len(header):
            raise ReferenceInvalid(f"{where}: {len(line)} fields instead of {len(header)}")
        row = dict(zip(header, line, strict=True))
        bar: dict[str, str | None] = {"date": _stamp(row[stamp or "date"], frequency, where)}
        bars.append(bar | {name: _number(row.get(name, ""), where, name) for name in (*PRICES, "volume")})
        given = [next((row[name] for name in names if name in row), "") for names in (_SPLITS, _DIVIDENDS)]
        split, dividend = (
            Decimal(_number(cell, where, names[0]) or 0)
            for cell, names in zip(given, (_SPLITS, _DIVIDENDS), strict=True)
        )
        extras.append((split, dividend))
    order = sorted(range(len(bars)), key=lambda at: str(bars[at]["date"]))
    bars, extras = [bars[at] for at in order], [extras[at] for at in order]
    return _named(path, frequency, bars, _actions(bars, extras))


def _named(path: Path, frequency: Frequency, bars: Bars, actions: tuple[dict[str, str], ...]) -> Series:
    symbol = re.split(r"-(?:1d|1wk|1h|1m)-|-\d{4}|-daily|\.", path.name)[0]
    symbol, _, market = symbol.removeprefix("WIKI-").partition("-")
    made = Series(path.stem, re.sub(r"[^A-Za-z0-9]", "", symbol).upper()[:20] or "X", frequency, bars, actions=actions)
    made = replace(made, calendar=_MARKETS.get(market, "XNYS"))
    if "vix" in path.name.lower():
        return replace(made, asset_class="index")
    volumes = {bar["volume"] for bar in bars}
    if frequency == "1d" and volumes <= {"0", "0.0", None}:
        return replace(made, asset_class="fund")
    return replace(made, adjusted=True) if any("split" in action["kind"] for action in actions) else made


def _actions(bars: Bars, extras: Sequence[tuple[Decimal, Decimal]]) -> tuple[dict[str, str], ...]:
    found: list[dict[str, str]] = []
    for at, (split, dividend) in enumerate(extras):
        day = str(bars[at]["date"])[:10]
        if split > 0 and split != 1:
            found.append({"date": day, "factor": f"{1 / split:.9g}", "kind": "split"})
        before = Decimal(bars[at - 1]["close"] or 0) if at else Decimal(0)
        if 0 < dividend < before:
            found.append({"date": day, "factor": f"{1 - dividend / before:.9g}", "kind": "dividend"})
    return tuple(found)


def _lean(path: Path) -> Series:
    try:
        with zipfile.ZipFile(path) as archive:
            inner = archive.infolist()[0]
            if inner.file_size > MAX_FILE_BYTES:
                raise ReferenceInvalid(f"{path.name} holds more than {MAX_FILE_BYTES:,} bytes")
            lines = archive.read(inner).decode().splitlines()
    except (zipfile.BadZipFile, IndexError, UnicodeDecodeError, NotImplementedError, RuntimeError) as problem:
        raise ReferenceInvalid(f"{path.name} is no readable zip: {problem}") from problem
    if "daily" in path.name:
        return _lean_daily(path, lines)
    return _lean_minutes(path, inner.filename, lines)


def _lean_daily(path: Path, lines: Sequence[str]) -> Series:
    bars: Bars = []
    for number, line in enumerate(lines, 1):
        cells, where = line.split(","), f"{path.name} line {number}"
        if len(cells) != 6:
            raise ReferenceInvalid(f"{where}: {len(cells)} fields instead of 6")
        bar: dict[str, str | None] = {
            "date": _stamp(cells[0][:8], "1d", where),
            "volume": _number(cells[5], where, "volume"),
        }
        bars.append(bar | {n: _scaled(c, where, n) for n, c in zip(PRICES, cells[1:5], strict=True)})
    symbol = path.stem.split("__")[-1].upper()
    actions = _lean_actions(path, bars)
    etf = symbol in ("SPY", "GLD", "VTI")
    return Series(
        path.stem, symbol, "1d", bars, asset_class="etf" if etf else "equity", actions=actions, adjusted=False
    )


def _lean_actions(path: Path, bars: Bars) -> tuple[dict[str, str], ...]:
    """Splits of the factor file beside the zip: a factor counts up to its day, the next one from the bar after."""
    factors = path.with_name(path.name.replace("__daily__", "__factor_files__").replace(".zip", ".csv"))
    if factors == path or not factors.is_file():
        return ()
    rows = [line.split(",") for line in factors.read_text(encoding="utf-8").split()]
    days = [str(bar["date"]) for bar in bars]
    found = []
    for row, after in pairwise(rows):
        last = _stamp(row[0], "1d", factors.name)
        first = next((day for day in days if day > last), None)
        if row[2] != after[2] and first is not None:
            factor = Decimal(row[2]) / Decimal(after[2])
            found.append({"date": first, "factor": f"{factor:.9g}", "kind": "split"})
    return tuple(found)


def _lean_minutes(path: Path, inner: str, lines: Sequence[str]) -> Series:
    day = re.match(r"\d{8}", inner)
    if day is None:
        raise ReferenceInvalid(f"{path.name} line 1, field date: {inner!r:.80} does not begin with a day")
    midnight = datetime.strptime(day[0], "%Y%m%d").replace(tzinfo=UTC)
    bars: Bars = []
    for number, line in enumerate(lines, 1):
        cells, where = line.split(","), f"{path.name} line {number}"
        if len(cells) not in (6, 11):
            raise ReferenceInvalid(f"{where}: {len(cells)} fields instead of 6 (trades) or 11 (quotes)")
        for name, cell in zip(("time", *PRICES, "volume", *PRICES), cells, strict=False):
            _number(cell, where, name)
        if not re.fullmatch(r"\d{1,8}", cells[0], re.ASCII):
            raise ReferenceInvalid(f"{where}, field time: {cells[0]!r:.40} is no number of milliseconds since midnight")
        at = midnight + timedelta(milliseconds=int(cells[0]))
        bar: dict[str, str | None] = {"date": at.isoformat()}
        if len(cells) == 6:
            bars.append(bar | dict(zip((*PRICES, "volume"), cells[1:], strict=True)))
        else:
            middle = [str((Decimal(b) + Decimal(a)) / 2) for b, a in zip(cells[1:5], cells[6:10], strict=True)]
            bars.append(bar | dict(zip(PRICES, middle, strict=True)) | {"bid": cells[4], "ask": cells[9]})
    return Series(path.stem, "BTCUSD", "1min", bars, calendar="24/7", asset_class="crypto")


def _ninja(path: Path, text: str) -> Series:
    """Minutes as NinjaTrader exports them: UTC, stamped at the bar's end."""
    bars: Bars = []
    for number, line in enumerate(text.splitlines(), 1):
        cells, where = line.split(";"), f"{path.name} line {number}"
        if len(cells) != 6:
            raise ReferenceInvalid(f"{where}: {len(cells)} fields instead of 6")
        try:
            ends_at = datetime.strptime(cells[0], "%Y%m%d %H%M%S").replace(tzinfo=UTC)
        except ValueError:
            raise ReferenceInvalid(f"{where}, field date: {cells[0]!r:.40} is not like 20110301 090100") from None
        bar: dict[str, str | None] = {"date": (ends_at - timedelta(minutes=1)).isoformat()}
        bars.append(bar | {n: _number(c, where, n) for n, c in zip((*PRICES, "volume"), cells[1:], strict=True)})
    return Series(path.stem, "SPY", "1min", bars, asset_class="etf")


def _stamp(cell: str, frequency: Frequency, where: str) -> str:
    text = cell.strip()
    try:
        if frequency in ("1h", "1min"):
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                raise ValueError("no offset")
            return moment.isoformat()
        if re.fullmatch(r"\d{8}", text, re.ASCII):
            return datetime.strptime(text, "%Y%m%d").date().isoformat()
        if re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4}", text, re.ASCII):
            return datetime.strptime(text, "%m/%d/%Y").date().isoformat()
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        raise ReferenceInvalid(f"{where}, field date: {text!r:.60} is no date that is known") from None


def _number(cell: str, where: str, name: str) -> str | None:
    text = cell.strip()
    if text.lower() in ("", "nan", "null", "none"):
        return None
    try:
        if not Decimal(text).is_finite():
            raise InvalidOperation
    except InvalidOperation:
        raise ReferenceInvalid(f"{where}, field {name}: {text!r:.60} is no number") from None
    return text


def _scaled(cell: str, where: str, name: str) -> str:
    text = _number(cell, where, name)
    if text is None:
        raise ReferenceInvalid(f"{where}, field {name}: is empty")
    return f"{Decimal(text) / _LEAN_SCALE:f}"
