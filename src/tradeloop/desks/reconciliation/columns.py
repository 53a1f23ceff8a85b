"""The columns of a book of trades: text as delivered becomes whole numbers, days and checked codes, all at once.

Quantities are whole millionths, prices whole hundred-millionths, money whole ten-thousandths of the currency: equal
means equal, and no float is compared. Text beyond those decimals is rounded half up.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from tradeloop.desks.reconciliation.case import IDENTIFIER
from tradeloop.desks.reconciliation.refusal import RecordInvalid

SCALES: Final = {"quantity": 6, "price": 8, "fees": 4, "net": 4}
CODES: Final = ("id", "exec_id", "account", "counterparty", "ssi", "security", "currency")
DAYS: Final = ("trade_date", "settle_date")
NAMES: Final = (*CODES, "side", *SCALES, *DAYS, "text")
NEEDED: Final = ("security", "quantity", "price", "trade_date")
MAX_TEXTS: Final = 20
"""Free texts of a side that agents see."""
_ALIASES: Final = {
    "uti": "exec_id", "execution_id": "exec_id", "trade_id": "id", "reference": "id",
    "isin": "security", "cusip": "security", "sedol": "security", "symbol": "security", "instrument": "security",
    "qty": "quantity", "px": "price", "commission": "fees", "fee": "fees", "net_amount": "net",
    "settlement_date": "settle_date", "broker": "counterparty", "ccy": "currency", "narrative": "text",
}  # fmt: skip
_NUMBER: Final = r"^[+-]?([0-9]{1,15}(\.[0-9]{0,20})?|\.[0-9]{1,20})$"
_DAY: Final = r"^[0-9]{4}-?[0-9]{2}-?[0-9]{2}([T -][0-9:.]{1,18}(Z|[+-][0-9:]{4,5})?)?$"
_SIDES: Final = {"B": "B", "BUY": "B", "1": "B", "S": "S", "SELL": "S", "2": "S", "5": "S", "SHORT": "S"}
_LARGEST: Final = 2**62


def typed(raw: pl.DataFrame, *, file: str, named: dict[str, str], first_line: int = 2) -> pl.DataFrame:
    """A frame of text columns as a book: `line`, the columns of NAMES (null where not told), `isin` not yet.

    A quantity below zero without a side is a sale.

    Raises:
        RecordInvalid: a column that is needed is absent, or a cell cannot be read; names file, line and field.
    """
    columns = _found(raw.columns, named, file)
    text = raw.select(
        [pl.col(source).cast(pl.String).str.strip_chars().replace("", None).alias(name) for name, source in columns]
    ).with_row_index("line", offset=first_line)
    absent = [name for name in NAMES if name not in text.columns]
    book = text.with_columns([pl.lit(None, pl.String).alias(name) for name in absent])
    _check(book, file)
    read = book.with_columns(
        [_scaled(name, scale) for name, scale in SCALES.items()] + [_day(name) for name in DAYS] + [_side()]
    )
    _refuse(
        book,
        read.select(
            *[(pl.col(name).is_null() & book[name].is_not_null()).alias(f"{name} is no day") for name in DAYS],
            *[(pl.col(name).abs() > _LARGEST).alias(f"{name} is too large") for name in SCALES],
            (pl.col("side") == "?").alias("side is no side: B or S"),
            (pl.col("quantity") == 0).alias("quantity is zero"),
            ((pl.col("quantity") < 0) & (pl.col("side") == "B")).alias("quantity is below zero, and bought"),
            (pl.col("price") < 0).alias("price is negative"),
        ),
        file,
    )
    by_sign = pl.when(pl.col("quantity") < 0).then(pl.lit("S")).otherwise(pl.lit("B"))
    is_told = pl.col("side").is_in(["B", "S"])
    book = read.with_columns(
        side=pl.when(is_told).then(pl.col("side")).otherwise(by_sign), quantity=pl.col("quantity").abs()
    )
    return book.select(
        pl.col("line").cast(pl.UInt32),
        *CODES,
        "side",
        *(pl.col(name).cast(pl.Int64) for name in SCALES),
        *DAYS,
        "text",
    )


def _found(given: list[str], named: dict[str, str], file: str) -> list[tuple[str, str]]:
    plain = {column.strip().lower().replace(" ", "_"): column for column in given}
    found: dict[str, str] = {}
    for name, column in named.items():
        if name not in NAMES:
            raise RecordInvalid(f"{name!r:.60} is no column of the desk", file=file, field="columns")
        if column not in given:
            raise RecordInvalid(f"the file has no column {column!r:.60}", file=file, line=1, field=name)
        found[name] = column
    for name in NAMES:
        if name in plain:
            found.setdefault(name, plain[name])
    for alias, name in _ALIASES.items():
        if alias in plain:
            found.setdefault(name, plain[alias])
    for name in NEEDED:
        if name not in found:
            raise RecordInvalid("the column is missing", file=file, line=1, field=name)
    return list(found.items())


def _check(book: pl.DataFrame, file: str) -> None:
    unlike = "is no identifier: letters, digits and ._:/- alone"
    tests = [pl.col(name).is_null().alias(f"{name} is empty") for name in NEEDED]
    tests += [(~pl.col(name).str.contains(IDENTIFIER)).alias(f"{name} {unlike}") for name in CODES]
    tests += [(~pl.col("currency").str.contains("^[A-Z]{3}$")).alias("currency is no code of three letters")]
    tests += [(~pl.col(name).str.contains(_NUMBER)).alias(f"{name} is no decimal number") for name in SCALES]
    tests += [(~pl.col(name).str.contains(_DAY)).alias(f"{name} is no day such as 2026-01-31") for name in DAYS]
    _refuse(book, book.select(tests), file)


def _refuse(book: pl.DataFrame, tests: pl.DataFrame, file: str) -> None:
    """Refuse the first cell of the first test that is true; a test is called `column told`."""
    failed = [name for name, is_bad in tests.select(pl.all().any()).row(0, named=True).items() if is_bad]
    if failed:
        name, _, told = failed[0].partition(" ")
        row = book.filter(tests[failed[0]].fill_null(value=False)).row(0, named=True)
        shown = "" if row[name] is None else f"{row[name]!r:.60} "
        raise RecordInvalid(f"{shown}{told}", file=file, line=row["line"], field=name)


def _scaled(name: str, scale: int) -> pl.Expr:
    return pl.col(name).cast(pl.Decimal(38, scale), strict=False).to_physical().alias(name)


def _side() -> pl.Expr:
    spelled = pl.col("side").str.to_uppercase().replace_strict(_SIDES, default="?", return_dtype=pl.String)
    return pl.when(pl.col("side").is_not_null()).then(spelled).alias("side")


def _day(name: str) -> pl.Expr:
    digits = pl.col(name).str.replace_all("-", "", literal=True).str.head(8)
    return digits.str.to_date("%Y%m%d", strict=False).alias(name)
