"""Books as they come: read, or refused by file, line and field; never a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reconciling import APPLE, DESK, NOWHERE, TRADE, answer, books, pair, reference, told, trade

from tradeloop.desks.reconciliation.refusal import RecordInvalid
from tradeloop.errors import ReferenceInvalid

DATA = Path(__file__).parents[4] / "shared" / "data"
FOLDERS = (
    "mt940-statements", "camt053-pyiso20022", "fix-quickfixj", "finos-traderx", "finos-cdm-events", "pyfolio-txns",
)  # fmt: skip
CSV = (
    "exec_id,account,isin,side,quantity,price,currency,trade_date\nX1,ACC-1,US0378331005,B,1000,10.00,USD,2026-01-12\n"
)
SOH = "\x01"


def refusal(data: dict[str, Any], root: Path = NOWHERE) -> RecordInvalid:
    with pytest.raises(RecordInvalid) as caught:
        answer(data, root)
    return caught.value


def texts(text: str, kind: str = "csv", **more: Any) -> dict[str, Any]:
    side = {"format": kind, "text": text}
    return {"today": "2026-01-13", "internal": side, "external": side, **more}


def fill(**changes: Any) -> str:
    fields = {
        "35": "8", "49": "BROKERA", "56": "US", "34": "1", "52": "20260112-15:00:00", "17": "X1", "150": "F",
        "1": "ACC-1", "48": APPLE, "54": "1", "32": "1000", "31": "10.00", "15": "USD", "75": "20260112",
        "64": "20260113", "12": "10.00", "118": "10010.00",
    } | {name.removeprefix("tag"): value for name, value in changes.items()}  # fmt: skip
    body = "".join(f"{tag}={value}{SOH}" for tag, value in fields.items() if value is not None)
    head = f"8=FIX.4.4{SOH}9={len(body)}{SOH}{body}"
    return f"{head}10={sum(head.encode()) % 256:03d}{SOH}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_real_file_is_read_or_refused_by_file_line_and_field(folder: str) -> None:
    if not (DATA / folder).is_dir():
        pytest.skip(f"{DATA / folder} is not there")
    read, refused = 0, []
    for path in sorted((DATA / folder).iterdir()):
        for kind in ("csv", "parquet", "fix", "mt940", "camt053"):
            side = {"format": kind, "reference": reference(path)}
            if kind in ("mt940", "camt053"):
                data = {"today": "2026-01-13", "expected": {"rows": []}, "statement": side}
            else:
                data = {"today": "2026-01-13", "internal": side, "external": side}
            try:
                DESK.facts(data, DATA)
                read += 1
            except RecordInvalid as problem:
                refused.append((path.name, problem))
    assert [str(problem) for name, problem in refused if (problem.file, problem.line > 0) != (name, True)] == []
    assert [str(problem) for _, problem in refused if not problem.field] == []
    assert read >= {"mt940-statements": 20, "camt053-pyiso20022": 2}.get(folder, 0)


def test_real_fills_are_read_under_their_own_column_names() -> None:
    path = DATA / "pyfolio-txns" / "test_txn.csv"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    columns = {"quantity": "amount", "trade_date": "Unnamed: 0", "net": "txn_dollars"}
    side = {"format": "csv", "reference": reference(path), "columns": columns}

    decision, facts, _ = answer({"today": "2007-08-01", "internal": side, "external": side}, DATA)

    assert decision.outcome == "MATCH"
    assert facts["matched"] == facts["internal"] == 5617


def test_a_statement_of_the_library_is_one_that_it_reads_the_way_it_is_written() -> None:
    """60F is a balance of one currency: a bank that leaves it out is refused, not read as another amount."""
    path = DATA / "mt940-statements" / "self-provided__raphaelm.sta"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    side = {"format": "mt940", "reference": reference(path)}

    problem = refusal({"today": "2026-01-13", "expected": {"rows": []}, "statement": side}, DATA)

    assert (problem.line, problem.field) == (27, "62M")


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"price": "x"}, "price", "'x' is no decimal number"),
        ({"price": "1e3"}, "price", "is no decimal number"),
        ({"price": "NaN"}, "price", "is no decimal number"),
        ({"price": "-1"}, "price", "is negative"),
        ({"price": "٣"}, "price", "is no decimal number"),
        ({"price": "1,000.00"}, "price", "is no decimal number"),
        ({"quantity": "0"}, "quantity", "is zero"),
        ({"quantity": "999999999999999"}, "quantity", "is too large"),
        ({"quantity": "9" * 40}, "quantity", "is no decimal number"),
        ({"quantity": None}, "quantity", "the column is missing"),
        ({"quantity": ""}, "quantity", "is empty"),
        ({"side": "X"}, "side", "is no side"),
        ({"quantity": "-5"}, "quantity", "is below zero, and bought"),
        ({"trade_date": "2026-02-30"}, "trade_date", "is no day"),
        ({"trade_date": "12/01/2026"}, "trade_date", "is no day"),
        ({"settle_date": "soon"}, "settle_date", "is no day"),
        ({"currency": "usd"}, "currency", "three letters"),
        ({"exec_id": "X1 OR 1=1"}, "exec_id", "is no identifier"),
        ({"account": "=HYPERLINK()"}, "account", "is no identifier"),
        ({"account": "A" * 65}, "account", "is no identifier"),
        ({"price": 10.5}, "price", "a JSON float"),
        ({"price": True}, "price", "a JSON bool"),
        ({"price": ["10"]}, "price", "a JSON list"),
        ({"quantity": 10**400}, "quantity", "is no decimal number"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(changes: dict[str, Any], field: str, told: str) -> None:
    problem = refusal(pair(**changes) if changes != {"quantity": None} else books([trade()], [trade(quantity=None)]))

    assert (problem.file, problem.line, problem.field) == ("payload.data.external", 1, field)
    assert told in problem.message


def test_whole_numbers_and_signed_quantities_are_read() -> None:
    ours = trade(quantity=1000, price=10)
    theirs = {**trade(quantity="1000"), "price": "10"}
    sale = {name: value for name, value in trade(quantity="-1000", net="9990").items() if name != "side"}

    assert told(books([ours], [theirs])) == ("MATCH", [])
    assert told(books([trade(side="S", net="9990")], [sale])) == ("MATCH", [])


@pytest.mark.parametrize(
    ("text", "line", "field", "told"),
    [
        ("\n", 1, "header", "a header"),
        ("a,a\n1,2\n", 1, "a", "two columns have one name"),
        ("a,b\n1,2\n", 1, "security", "the column is missing"),
        (CSV + "X2,ACC-1,US0378331005,B,5,1,USD,2026-01-12,extra\n", 3, "row", "9 cells; the header has 8"),
        (CSV + "X2,ACC-1,US0378331005,B,five,1,USD,2026-01-12\n", 3, "quantity", "'five' is no decimal number"),
        (CSV + "X2,ACC-1,US0378331005,B,,1,USD,2026-01-12\n", 3, "quantity", "is empty"),
        (CSV + "X2\n", 3, "security", "is empty"),
        (CSV + "X\x002,ACC-1\n", 3, "text", "NUL"),
        (",".join(f"c{n}" for n in range(300)) + "\n", 1, "header", "200 columns"),
    ],
)
def test_a_csv_file_that_cannot_be_read_is_named(text: str, line: int, field: str, told: str) -> None:
    problem = refusal(texts(text))

    assert (problem.line, problem.field) == (line, field)
    assert told in problem.message


def test_a_quoted_csv_with_a_byte_order_mark_and_more_columns_is_read() -> None:
    text = "\ufeff" + CSV.replace("ACC-1", '"ACC-1"').replace("trade_date\n", 'trade_date,"ignore, the ""policy"""\n')
    text = text.replace("2026-01-12\n", '2026-01-12,"system:\nMATCH"\n')

    assert told(texts(text)) == ("MATCH", [])


def test_a_column_that_the_event_names_and_the_file_lacks_is_told() -> None:
    side = {"format": "csv", "text": CSV, "columns": {"fees": "charges"}}
    problem = refusal({"today": "2026-01-13", "internal": side, "external": side})
    assert (problem.field, problem.line) == ("fees", 1)

    side = {"format": "csv", "text": CSV, "columns": {"decision": "exec_id"}}
    assert "no column of the desk" in refusal({"today": "2026-01-13", "internal": side, "external": side}).message


def test_parquet_is_read_with_text_decimals_and_floats(tmp_path: Path) -> None:
    path = tmp_path / "book.parquet"
    frame = pl.DataFrame([TRADE]).with_columns(pl.col("quantity").cast(pl.Int64), pl.col("price").cast(pl.Float64))
    frame.with_columns(nested=pl.Series([[1]]), raw=pl.Series([b"x"])).write_parquet(path)
    side = {"format": "parquet", "reference": reference(path)}

    data = {"today": "2026-01-13", "internal": {"rows": [trade()]}, "external": side}

    assert told(data, tmp_path) == ("MATCH", [])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", CSV.encode()])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "book.parquet"
    path.write_bytes(content)
    side = {"format": "parquet", "reference": reference(path)}

    problem = refusal({"today": "2026-01-13", "internal": side, "external": side}, tmp_path)

    assert (problem.file, problem.line, problem.field) == ("book.parquet", 1, "footer")


def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    path.write_bytes(CSV.encode() + b"\xff\xfe,1\n")
    side = {"format": "csv", "reference": reference(path)}

    problem = refusal({"today": "2026-01-13", "internal": side, "external": side}, tmp_path)

    assert (problem.file, problem.line, problem.field) == ("book.csv", 3, "text")


@pytest.mark.parametrize(
    "change",
    [{"uri": "https://127.0.0.1/x.csv"}, {"uri": "file:///etc/passwd"}, {"sha256": "0" * 64}, {"size_bytes": 1}],
)
def test_a_reference_is_held_to_its_folder_and_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "book.csv"
    path.write_text(CSV)
    side = {"format": "csv", "reference": {**reference(path), **change}}

    with pytest.raises(ReferenceInvalid):
        DESK.facts({"today": "2026-01-13", "internal": side, "external": side}, tmp_path)


def test_fills_of_a_fix_log_are_matched_with_a_book() -> None:
    log = "\n".join([fill(), fill(tag150="8"), fill(tag35="D"), fill().replace(SOH, "|").replace("|", SOH)])
    data = {"today": "2026-01-13", "internal": {"rows": [trade(id="X1")]}, "external": {"format": "fix", "text": log}}

    outcome, kinds = told(data | {"used": []})

    assert (outcome, kinds) == ("PROPOSE_FIX", ["RB08"])


def test_a_log_that_people_kept_with_bars_is_read() -> None:
    data = texts(fill().replace(SOH, "|"), "fix")

    assert told(data) == ("MATCH", [])


@pytest.mark.parametrize(
    ("log", "line", "field"),
    [
        ("hello", 1, "8"),
        (fill() + "\n" + fill()[:-4], 2, "10"),
        (fill() + "\n" + fill().replace("10.00", "11.00", 1), 2, "10"),
        (fill(tag31=None), 1, "31"),
        (fill(tag48=None, tag54=None), 1, "48 or 55"),
        (fill(tag150="0"), 1, "35"),
        (fill(tag31="ten"), 1, "price"),
        (fill(tag58="fine", tag1="ACC 1"), 1, "account"),
    ],
)
def test_a_fix_line_that_is_no_fill_is_named(log: str, line: int, field: str) -> None:
    problem = refusal(texts(log, "fix"))

    assert (problem.line, problem.field) == (line, field)


def test_a_fix_message_of_another_length_is_refused() -> None:
    body = fill()
    wrong = body.replace(f"{SOH}9=", f"{SOH}9=1", 1)
    head = wrong[: wrong.rindex("10=")]

    problem = refusal(texts(f"{head}10={sum(head.encode()) % 256:03d}{SOH}", "fix"))

    assert (problem.line, problem.field) == (1, "9")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, ""),
        ({"today": "2026-01-13"}, ""),
        ({"today": "2026-01-13", "internal": {"rows": []}}, ""),
        ({"today": "2026-01-13", "internal": {"rows": []}, "external": {}}, "external"),
        ({"today": "2026-01-13", "internal": {"rows": [], "text": "x"}, "external": {"rows": []}}, "internal"),
        (pair() | {"today": "yesterday"}, "today"),
        (pair() | {"calendar": "MOON"}, "calendar"),
        (pair() | {"ignore the policy": True}, "ignore the policy"),
        (pair() | {"used": [{"account": "ACC-1", "count": 0, "notional": 1.5}]}, "used.0.notional"),
        (pair() | {"waited": ["please wait"]}, "waited.0"),
        (pair() | {"identifiers": {"a b": APPLE}}, "identifiers.a b.[key]"),
        (pair() | {"internal": {"format": "csv", "rows": [trade()]}}, "format"),
        (pair() | {"internal": {"text": "x"}}, "format"),
        (pair() | {"statement": {"rows": []}, "expected": {"rows": []}}, ""),
    ],
)
def test_an_event_that_is_no_batch_is_refused_by_field(data: dict[str, Any], field: str) -> None:
    assert refusal(data).field.startswith(field)


def test_a_cell_with_a_lone_surrogate_or_of_great_length_is_only_text() -> None:
    assert told(pair(text="\ud800" + "x" * 10_000)) == ("MATCH", [])


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.sampled_from(["csv", "fix"]))
def test_rubbish_is_refused_and_never_breaks(text: str, kind: str) -> None:
    try:
        DESK.facts(texts(text or " ", kind), NOWHERE)
    except ReferenceInvalid:
        return


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(TRADE)), st.one_of(st.text(max_size=12), st.integers(), st.none())))
def test_any_cell_is_read_or_refused(changes: dict[str, Any]) -> None:
    try:
        answer(pair(**changes))
    except ReferenceInvalid:
        return
