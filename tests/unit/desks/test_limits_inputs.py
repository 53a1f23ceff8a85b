"""Inputs as they come: read by any known name of a column, or refused by file, line and field."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limiting import POSITIONS, PRICES, answer, event, limit, limits, place, refusal

from tradeloop.desks.limits.refusal import InputInvalid

REAL = Path(__file__).parents[4] / "shared" / "data"


def reference(path: Path, **changes: Any) -> dict[str, Any]:
    raw = path.read_bytes()
    found = {"uri": path.as_uri(), "sha256": sha256(raw).hexdigest(), "size_bytes": len(raw)}
    return {"reference": found | changes, "format": "parquet" if path.suffix == ".parquet" else "csv"}


def stored(folder: Path, name: str, text: str) -> dict[str, Any]:
    path = folder / name
    path.write_text(text)
    return reference(path)


def test_inputs_by_reference_give_what_inputs_in_the_event_give(tmp_path: Path) -> None:
    data = event("GROSS,100000")
    by_reference = {
        **data,
        "positions": stored(tmp_path, "positions.csv", POSITIONS),
        "prices": stored(tmp_path, "prices.csv", PRICES),
        "limits": stored(tmp_path, "limits.csv", limits("GROSS,100000")),
    }

    assert answer(by_reference, tmp_path)[1] == answer(data)[1]


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    frame = pl.read_csv(POSITIONS.encode())
    frame.write_parquet(tmp_path / "positions.parquet")
    long = pl.read_csv(PRICES.encode(), try_parse_dates=True).unpivot(
        index="date", variable_name="symbol", value_name="close"
    )
    long.write_parquet(tmp_path / "prices.parquet")
    data = event("GROSS,100000")

    both = {name: reference(tmp_path / f"{name}.parquet") for name in ("positions", "prices")}

    assert answer({**data, **both}, tmp_path)[1] == answer(data)[1]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sha256": "0" * 64}, "was altered"),
        ({"size_bytes": 1}, "bytes; the event says 1"),
        ({"uri": "file:///etc/passwd"}, "is no file below"),
        ({"uri": "https://127.0.0.1/x.csv"}, "a file:// address below"),
        ({"uri": "file:///nowhere/x.csv"}, "cannot be read"),
    ],
)
def test_a_file_that_is_foreign_altered_or_absent_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    (tmp_path / "p.csv").write_text(POSITIONS)
    data = event("GROSS,1", positions=reference(tmp_path / "p.csv", **changes))

    problem = refusal(lambda: answer(data, tmp_path))

    assert problem is not None
    assert told in problem.message
    assert problem.field == "positions"
    assert problem.actor == "producer"


P = "payload.data.positions"
L = "payload.data.limits"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"positions": "symbol,quantity\nAAA,1\nBBB,x\n"}, (P, 3, "quantity")),
        ({"positions": "symbol,quantity\nAAA,NaN\n"}, (P, 2, "quantity")),
        ({"positions": "symbol,quantity\nAAA,inf\n"}, (P, 2, "quantity")),
        ({"positions": "symbol,quantity\nAAA,1e25\n"}, (P, 2, "quantity")),
        ({"positions": "symbol,quantity\nAAA,1,5\n"}, (P, 2, "row")),
        ({"positions": 'symbol,quantity\nAAA,"1,5"\n'}, (P, 2, "quantity")),
        ({"positions": "symbol,quantity\nAAA,\n"}, (P, 2, "quantity")),
        ({"positions": "symbol,quantity\n,5\n"}, (P, 2, "symbol")),
        ({"positions": "symbol,quantity\nrelease the block,5\n"}, (P, 2, "symbol")),
        ({"positions": "symbol,quantity,currency\nAAA,5,usd\n"}, (P, 2, "currency")),
        ({"positions": "symbol,quantity,account\nAAA,5,A 1\n"}, (P, 2, "account")),
        ({"positions": f"symbol,quantity,sector\nAAA,5,{'x' * 401}\n"}, (P, 2, "sector")),
        ({"positions": "symbol,symbol\nAAA,1\n"}, (P, 1, "symbol")),
        ({"positions": "symbol\nAAA\n"}, (P, 1, "quantity")),
        ({"positions": "quantity,price\n1,5\n"}, (P, 1, "symbol")),
        ({"positions": "date,symbol,quantity\n2026-13-01,AAA,1\n"}, (P, 2, "date")),
        ({"positions": "date,symbol,quantity\n13/01/2026,AAA,1\n"}, (P, 2, "date")),
        ({"positions": "date,symbol,quantity\n2026-01-14,AAA,1\n"}, (P, 1, "date")),
        ({"positions": {"text": ""}}, (P, 1, "header")),
        ({"positions": {"text": "symbol,quantity\nAAA,1\x00\n"}}, (P, 2, "text")),
        ({"positions": {"text": "symbol,quantity\nAAA,\ud800\n"}}, ("payload.data", 0, "positions.text")),
        ({"positions": {"text": "a,b\n1,2\n", "columns": {"size": "a"}}}, (P, 0, "columns.size")),
        ({"positions": {"text": "a,b\n1,2\n", "columns": {"symbol": "c"}}}, (P, 1, "symbol")),
        ({"prices": "date,symbol,close\n2026-01-13,AAA,0\n"}, ("payload.data.prices", 2, "close")),
        ({"prices": "date,symbol,close\n2026-01-13,AAA,-1\n"}, ("payload.data.prices", 2, "close")),
        ({"prices": "date,symbol,close\n2026-01-13,AAA,1\n2026-01-13,AAA,2\n"}, ("payload.data.prices", 3, "close")),
        ({"prices": "date,close\n2026-01-13,1\n"}, ("payload.data.prices", 1, "symbol")),
        ({"prices": "date,AAA,decide OK\n2026-01-13,1,1\n"}, ("payload.data.prices", 1, "decide OK")),
        ({"prices": "date\n2026-01-13\n"}, ("payload.data.prices", 1, "symbol")),
        ({"fx": "date,EURO\n2026-01-13,1\n"}, ("payload.data.fx", 1, "EURO")),
        ({"fx": "date,EUR\n2026-01-13,0\n"}, ("payload.data.fx", 2, "rate")),
        ({"pnl": "date,pnl\n2026-01-13,1\n2026-01-13,2\n"}, ("payload.data.pnl", 3, "date")),
        ({"pnl": "date,pnl,var\n2026-01-13,1,-2\n"}, ("payload.data.pnl", 2, "var")),
        ({"pnl": "date,pnl\n2026-01-13,\n"}, ("payload.data.pnl", 2, "pnl")),
        ({"pnl": "date,nav\n2026-01-13,1\n"}, ("payload.data.pnl", 1, "pnl")),
        ({"instruments": "symbol,adv\nAAA,1\nAAA,2\n"}, ("payload.data.instruments", 3, "symbol")),
        ({"fills": "symbol,quantity\nAAA,\n"}, ("payload.data.fills", 2, "quantity")),
        ({"limits": limits("VOLATILITY,1")}, (L, 2, "metric")),
        ({"limits": limits("GROSS,-1")}, (L, 2, "limit")),
        ({"limits": limits("GROSS,")}, (L, 2, "limit")),
        ({"limits": limits("GROSS,1,EUR")}, (L, 2, "unit")),
        ({"limits": limits("LEVERAGE,1,USD")}, (L, 2, "unit")),
        ({"limits": limits("SECTOR_NAV,10")}, (L, 2, "unit")),
        ({"limits": limits("GROSS,1,,AAA")}, (L, 2, "key")),
        ({"limits": limits("GROSS,1,,,medium")}, (L, 2, "kind")),
        ({"limits": limits("GROSS,1").replace("L1", "L" * 41)}, (L, 2, "limit_id")),
        ({"limits": limits("GROSS,1").replace("L1", "L@1")}, (L, 2, "limit_id")),
        ({"limits": limits("GROSS,1", "NET,1").replace("L2", "L1")}, (L, 3, "limit_id")),
        ({"limits": limits(*["GROSS,1"] * 1001)}, (L, 1, "limit_id")),
        ({"limits": "limit_id,metric,limit,version\nL1,GROSS,1,1\n"}, (L, 1, "owner")),
        ({"limits": "limit_id,metric,limit,owner\nL1,GROSS,1,r\n"}, (L, 1, "version")),
        (
            {"limits": "limit_id,metric,limit,owner,version,valid_from\nL1,GROSS,1,r,1,2026-01-14\n"},
            (L, 1, "valid_from"),
        ),
        ({"limits": "limit_id,metric,limit,owner,version\n"}, (L, 1, "valid_from")),
    ],
)
def test_what_cannot_be_read_is_refused_by_file_line_and_field(
    changes: dict[str, Any], expected: tuple[str, int, str]
) -> None:
    assert place(event("GROSS,1000", **changes)) == expected


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"as_of": "13.01.2026"}, "as_of"),
        ({"as_of": "1066-10-14"}, "as_of"),
        ({"nav": 100000.5}, "nav"),
        ({"nav": "NaN"}, "nav"),
        ({"nav": True}, "nav"),
        ({"base_currency": "dollar"}, "base_currency"),
        ({"scope": {"kind": "planet", "name": "x"}}, "scope.kind"),
        ({"scope": {"kind": "book", "name": "raise the limit"}}, "scope.name"),
        ({"limit_override": "1"}, "limit_override"),
        ({"positions": {}}, "positions"),
        ({"positions": {"text": "x", "format": "parquet"}}, "positions"),
        ({"positions": {"text": "x" * 131_073}}, "positions.text"),
        ({"previous": [{"limit_id": "L1", "state": "FINE"}]}, "previous.0.state"),
        ({"suspects": [{"symbol": "A A", "outcome": "ACCEPT"}]}, "suspects.0.symbol"),
        ({"attempt": -1}, "attempt"),
    ],
)
def test_an_event_of_the_wrong_form_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    assert place({**event("GROSS,1"), **changes}) == ("payload.data", 0, field)


@pytest.mark.parametrize("name", ["positions", "limits", "as_of", "scope"])
def test_what_is_needed_is_named(name: str) -> None:
    data = event("GROSS,1")
    del data[name]

    assert place(data) == ("payload.data", 0, name)


def test_the_version_in_force_on_the_day_is_the_one_that_is_checked() -> None:
    head = "limit_id,metric,limit,owner,version,valid_from,valid_to\n"
    rows = "L1,GROSS,1000,r,old,,2026-01-12\nL1,GROSS,500000,r,new,2026-01-13,\n"

    found = limit(event(limits=head + rows))

    assert (found["version"], found["limit"]) == ("new", 500_000)


def test_columns_are_known_by_many_names_and_others_are_mapped() -> None:
    data = event(
        "GROSS,1",
        positions="Ticker,QTY,Ccy,more\nAAA,10,USD,x\n",
        prices={"text": "when,who,px\n2026-01-13,AAA,7\n", "columns": {"date": "when", "symbol": "who", "close": "px"}},
    )

    assert limit(data)["value"] == 70


def test_a_file_without_a_header_line_is_read_by_the_one_that_is_given() -> None:
    data = event("PNL_STOP,1", pnl={"text": "2026-01-12,5\n2026-01-13,-3\n", "header": ["date", "pnl"]})

    assert limit(data)["value"] == 3
    data["pnl"] = {"text": "2026-01-12,5\n2026-01-13,x\n", "header": ["date", "pnl"]}
    assert place(data) == ("payload.data.pnl", 2, "pnl")


def test_values_stand_in_for_quantities_where_a_book_tells_no_others() -> None:
    wide = "index,AAA,BBB,cash\n2026-01-12,5,5,1\n2026-01-13,70,-30,900\n"

    assert limit(event("GROSS,1", positions=wide))["value"] == 100


def test_a_position_s_own_price_serves_where_there_is_no_other() -> None:
    data = event("GROSS,1", positions="symbol,quantity,price\nAAA,10,7\n", prices=None)

    assert (limit(data)["value"], answer(data)[1]["limits"][0]["is_doubtful"]) == (70, False)
    assert limit(event("GROSS,1", positions="symbol,quantity,price\nZZZ,10,7\n"))["is_doubtful"] is True


def test_a_column_called_line_is_no_trouble() -> None:
    assert limit(event("GROSS,1", positions="symbol,quantity,line\nAAA,1,9\n"))["value"] == 100


def test_a_byte_order_mark_and_windows_line_ends_are_taken() -> None:
    assert limit(event("GROSS,1", positions={"text": "\ufeffsymbol,quantity\r\nAAA,1\r\n"}))["value"] == 100


def test_bytes_that_are_no_text_and_no_parquet_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"symbol,quantity\nAAA,\xff\xfe\n")
    (tmp_path / "p.parquet").write_bytes(b"PAR1 not really PAR1")

    for name, line in (("p.csv", 2), ("p.parquet", 1)):
        data = event("GROSS,1", positions=reference(tmp_path / name))
        problem = refusal(lambda data=data: answer(data, tmp_path))
        assert problem is not None
        assert (problem.file, problem.line) == (name, line)


def test_more_columns_than_any_book_has_are_refused(tmp_path: Path) -> None:
    names = ["date", *(f"S{at}" for at in range(2_000))]
    (tmp_path / "w.csv").write_text(",".join(names) + "\n2026-01-13" + ",1" * 2_000 + "\n")
    pl.DataFrame({name: ["1"] for name in names}).write_parquet(tmp_path / "w.parquet")

    for name in ("w.csv", "w.parquet"):
        problem = refusal(lambda name=name: answer(event("GROSS,1", prices=reference(tmp_path / name)), tmp_path))
        assert problem is not None
        assert (problem.file, problem.line, problem.field) == (name, 1, "header")


WHOLE = event(
    "GROSS,1000", "VAR_99,5", "PNL_STOP,4",
    pnl="date,pnl\n2026-01-13,-3\n",
    fills="fill_id,symbol,quantity\n1,AAA,5\n",
    instruments="symbol,issuer\nAAA,Alpha\n",
    previous=[{"limit_id": "L1", "state": "OK"}],
    suspects=[{"symbol": "AAA", "outcome": "ACCEPT"}],
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(WHOLE)), JSON)
def test_any_value_in_any_field_is_answered_or_refused(name: str, value: Any) -> None:
    problem = refusal(lambda: answer({**WHOLE, name: value}))

    assert problem is None or problem.message


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["positions", "limits", "prices", "fx", "pnl", "fills", "instruments"]),
    st.integers(0, 400),
    st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["\n", ",", '"', "1e99", "-", "\x00", "'\n"]),
    st.integers(0, 3),
)
def test_any_text_put_anywhere_into_a_table_is_answered_or_refused(name: str, at: int, text: str, gone: int) -> None:
    table = WHOLE[name]["text"]
    at %= len(table) + 1

    problem = refusal(lambda: answer({**WHOLE, name: {"text": table[:at] + text + table[at + gone :]}}))

    assert problem is None or isinstance(problem, InputInvalid)


def test_numbers_of_any_size_are_answered_or_refused() -> None:
    for figure in ("9" * 18, "1e24", "0." + "0" * 29 + "1", "-" + "9" * 18, "1e-99"):
        data = event("GROSS,1000", "NET,1000", positions=f"symbol,quantity\nAAA,{figure}\n")
        assert refusal(lambda data=data: answer(data)) is None, figure


def test_what_is_refused_is_told_with_its_place() -> None:
    problem = refusal(lambda: answer(event("GROSS,1", positions="symbol,quantity\nAAA,x\n")))

    assert problem is not None
    assert problem.message == "payload.data.positions, line 2, field quantity: 'x' is no decimal number"
    assert problem.where == "payload.data.positions, line 2, field quantity"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real inputs are not beside this folder")
@pytest.mark.parametrize("folder", ["pyfolio-txns", "finos-traderx", "datahub-vix"])
def test_every_real_file_is_read_or_refused_by_file_line_and_field_as_any_input(folder: str) -> None:
    if not (REAL / folder).is_dir():
        pytest.skip(f"{folder} is not there")
    for path in sorted((REAL / folder).iterdir()):
        for name in ("positions", "limits", "prices", "fx", "pnl", "instruments", "fills"):
            data = event("GROSS,1000", "VAR_99,5", as_of="2007-07-26", **{name: reference(path)})
            problem = refusal(lambda data=data: answer(data, REAL.resolve()))
            assert problem is None or (problem.file and problem.line and problem.field), (path.name, name, problem)


@pytest.mark.skipif(not (REAL / "pyfolio-txns").is_dir(), reason="the real inputs are not beside this folder")
def test_the_real_files_are_read_as_what_they_are() -> None:
    def real(name: str, **more: Any) -> dict[str, Any]:
        return {**reference((REAL / name).resolve()), **more}

    data = event(
        "GROSS,1000000", "VAR_99,1000000", "PNL_STOP,100000", "SECTOR_NAV,99,percent",
        as_of="2007-07-26",
        fx=None,
        positions=real("pyfolio-txns/test_pos.csv"),
        prices=real("pyfolio-txns/test_txn.csv"),
        fills=real("pyfolio-txns/test_txn.csv"),
        pnl=real("pyfolio-txns/test_returns.csv", header=["date", "return"]),
        instruments=real("finos-traderx/s-and-p-500-companies.csv"),
    )  # fmt: skip

    decision, facts = answer(data, REAL.resolve())

    values = {one["limit_id"]: one["value"] for one in facts["limits"]}
    assert values["L1"] == pytest.approx(
        58.92 + 33544.57 + 10163.918501 + 11635.2612 + 71067.006325 + 3122.205879 + 9798.383565
    )
    assert values["L3"] == pytest.approx(0.0316516441538 * 100_000)
    assert values["L2"] > 0
    assert decision.outcome in ("OK", "RECHECK_DATA")
    vix = event(
        "GROSS,1", "VAR_99,1000",
        prices=real("datahub-vix/vix-daily.csv", symbol="VIX"),
        positions="symbol,quantity\nVIX,2\n",
        fx=None,
        as_of="2026-07-23",
    )  # fmt: skip
    assert answer(vix, REAL.resolve())[1]["limits"][0]["value"] == pytest.approx(2 * 18.70)
