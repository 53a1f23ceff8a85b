"""Files of prices: read whole, or refused by line and field; real repaired series scored by event."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradeloop.bench.desks.marketdata_pairs import CLEAN, batch_of, results, table
from tradeloop.bench.desks.price_files import read_folder, read_series
from tradeloop.desks.marketdata.desk import DESK
from tradeloop.errors import EventInvalid, ReferenceInvalid

FOLDERS = {
    "yfinance-defects": (37, 0), "lean-sample": (12, 0), "pyalgotrade-daily": (17, 0), "pyalgotrade-minute": (1, 0),
    "datahub-vix": (1, 0), "exchange-calendars-answers": (0, 2),
}  # fmt: skip
HEAD = "Date,Open,High,Low,Close,Volume\n"


def of(shared_data: Path, name: str) -> Path:
    if not (shared_data / name).is_dir():
        pytest.skip(f"the real test inputs are absent: no folder {name}")
    return shared_data / name


@pytest.mark.parametrize("name", FOLDERS)
def test_every_real_file_is_read_or_refused_by_line_and_field(shared_data: Path, name: str) -> None:
    read, refused = read_folder(of(shared_data, name))

    assert (len(read), len(refused)) == FOLDERS[name]
    assert all(len(series.bars) >= 5 for series in read)
    assert all("line 1, field date" in str(problem) for problem in refused)


@pytest.mark.parametrize("name", [name for name, (files, _) in FOLDERS.items() if files])
def test_the_desk_answers_every_real_series(shared_data: Path, name: str) -> None:
    for series in read_folder(of(shared_data, name))[0]:
        if series.calendar == "XTAE":  # cannot be built with this pandas
            continue
        data = batch_of(series)
        decision = DESK.judge(DESK.load(data, Path("/")), DESK.facts(data, Path("/"))).decision
        assert decision.outcome in DESK.lattice.outcomes


def test_every_real_event_is_found_and_none_is_invented_in_the_clean_controls(shared_data: Path) -> None:
    found = list(results(of(shared_data, "yfinance-defects"), DESK))

    events = {one.name: (one.events, one.found) for one in found if one.events}
    assert events == {
        "4063-T-1d-bad-stock-split": (1, 1),
        "AET-L-1d-100x-error": (2, 2),
        "ALPHA-PA-1d-bad-stock-split": (1, 1),
        "ASAI-L-1h-bad-unit": (1, 1),
        "AV-L-1wk-bad-stock-split": (1, 1),
        "CNE-L-1d-bad-stock-split": (1, 1),
    }
    assert [(one.name, one.invented) for one in found if one.name.endswith(CLEAN)] == [
        ("CALM-1d-no-bad-divs", 0), ("EWG-1d-no-bad-divs", 0), ("KMR-L-1d-no-bad-divs", 0),
    ]  # fmt: skip
    assert len(table(of(shared_data, "yfinance-defects"), DESK)) == 16


def test_lean_prices_are_unscaled_and_bring_their_splits(shared_data: Path) -> None:
    series = read_series(of(shared_data, "lean-sample") / "equity__usa__daily__aapl.zip")

    assert (series.bars[0]["date"], series.bars[0]["close"], series.adjusted) == ("1998-01-02", "16.25", False)
    assert [action["date"] for action in series.actions] == ["2000-06-21", "2005-02-28", "2014-06-09", "2020-08-31"]


def test_quotes_keep_bid_and_ask(shared_data: Path) -> None:
    series = read_series(of(shared_data, "lean-sample") / "crypto__coinbase__minute__btcusd__20170904_quote.zip")

    assert (series.bars[0]["bid"], series.bars[0]["ask"], series.calendar) == ("4626.04", "4626.05", "24/7")


def written(folder: Path, text: str, name: str = "X-1d.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("date", "read"),
    [("2009-07-14", "2009-07-14"), ("7/14/2009", "2009-07-14"), ("20090714", "2009-07-14"),
     ("2009-07-14 00:00:00+01:00", "2009-07-14")],
)  # fmt: skip
def test_days_are_read_however_a_vendor_writes_them(tmp_path: Path, date: str, read: str) -> None:
    assert read_series(written(tmp_path, f"{HEAD}{date},1,2,0.5,1.5,7\n")).bars[0]["date"] == read


def test_columns_are_known_in_any_order_and_case_and_the_oldest_comes_first(tmp_path: Path) -> None:
    text = "CLOSE,Adj Close,low,HIGH,Open,DATE\n2,9,1,3,1.5,2009-07-15\n1,9,0.5,2,1.5,2009-07-14\n"

    assert [bar["date"] for bar in read_series(written(tmp_path, text)).bars] == ["2009-07-14", "2009-07-15"]
    assert read_series(written(tmp_path, text)).bars[0] == {
        "date": "2009-07-14", "open": "1.5", "high": "2", "low": "0.5", "close": "1", "volume": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1, field date: the column is missing"),
        ("Date,Open,High,Close\n", "line 1, field low: the column is missing"),
        (f"{HEAD}soon,1,2,3,4,5\n", "line 2, field date: 'soon' is no date"),
        (f"{HEAD}2009-07-14,1,2,x,4,5\n", "line 2, field low: 'x' is no number"),
        (f"{HEAD}2009-07-14,1,2,3,4\n", "line 2: 5 fields instead of 6"),
        (f"{HEAD}2009-07-14,1,2,Infinity,4,5\n", "line 2, field low: 'Infinity' is no number"),
        ("Date,Open,High,Low,Close,Stock Splits\n2009-07-14,1,2,1,2,two\n", "field stock splits: 'two' is no number"),
        ("20110301 090100;1;2;3;4\n", "line 1: 5 fields instead of 6"),
        ("20111301 090100;1;2;3;4;5\n", "line 1, field date"),
    ],
)
def test_a_file_that_is_no_price_file_is_refused_by_line_and_field(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ReferenceInvalid, match=told):
        read_series(written(tmp_path, text))


@pytest.mark.parametrize(
    ("inner", "line", "told"),
    [
        ("20161007_x.csv", "soon,1,2,3,4,5", "line 1, field time: 'soon' is no number"),
        ("20161007_x.csv", "1.5,1,2,3,4,5", "line 1, field time: '1.5' is no number of milliseconds"),
        ("20161007_x.csv", "0,1,2", "line 1: 3 fields instead of 6"),
        ("x.csv", "0,1,2,3,4,5", "field date: 'x.csv' does not begin with a day"),
    ],
)
def test_a_zip_that_is_none_of_leans_is_refused(tmp_path: Path, inner: str, line: str, told: str) -> None:
    path = tmp_path / "minute.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(inner, line)

    with pytest.raises(ReferenceInvalid, match=told):
        read_series(path)


def test_a_file_that_is_no_zip_or_no_text_is_refused(tmp_path: Path) -> None:
    for name in ("a.zip", "a.csv"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00PK")
    assert len(read_folder(tmp_path)[1]) == 2


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=200), st.booleans())
def test_any_text_ends_in_a_series_or_a_typed_error(tmp_path: Path, text: str, has_header: bool) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(((HEAD if has_header else "") + text).encode("utf-8", "surrogatepass"))

    with suppress(ReferenceInvalid, EventInvalid):
        series = read_series(path)
        if series.bars:
            DESK.facts(batch_of(series), tmp_path)
