"""The columns of each input: text as delivered becomes checked codes, days, and figures beside their own text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tradeloop.desks.limits.case import Source, name_of
from tradeloop.desks.limits.files import frame_of
from tradeloop.desks.limits.refusal import InputInvalid

if TYPE_CHECKING:
    import polars as pl

SYMBOL: Final = r"^[A-Za-z0-9^][A-Za-z0-9^._=/-]{0,39}$"
CODE: Final = r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,59}$"
CURRENCY: Final = r"^[A-Z]{3}$"
TEXT_CHARS: Final = 400
LARGEST: Final = 1e24
"""No quantity, price or amount is larger; products of larger ones would leave the range of floats."""
_NUMBER: Final = r"^[+-]?([0-9]{1,18}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,2})?$"
_DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]{1,18}(Z|[+-][0-9:]{4,6})?)?$"


@dataclass(frozen=True)
class Spec:
    """What a table is made of, by the desk's own names of its columns."""

    table: str
    codes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    days: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)
    one_of: tuple[str, ...] = ()
    """Of these at least one column is needed."""
    wide: tuple[str, str] | None = None
    """How a table with one column an instrument becomes a long one: names of the column and of its cells."""

    @property
    def names(self) -> tuple[str, ...]:
        """All columns."""
        return (*self.codes, *self.texts, *self.numbers, *self.days)


_DATE: Final = dict.fromkeys(("index", "unnamed:_0", "column_1", "as_of", "day", "trade_date", "timestamp"), "date")
_SYMBOL: Final = dict.fromkeys(("ticker", "instrument", "isin", "security_id"), "symbol")
_ACCOUNT: Final = dict.fromkeys(("account_id", "accountid", "book", "portfolio"), "account")
_CURRENCY: Final = {"ccy": "currency"}

POSITIONS: Final = Spec(
    "positions",
    codes=("account", "symbol", "currency"),
    texts=("issuer", "sector"),
    numbers=("quantity", "market_value", "opening", "multiplier", "adv", "price"),
    days=("date",),
    needed=("symbol",),
    one_of=("quantity", "market_value"),
    aliases={
        **_DATE, **_SYMBOL, **_ACCOUNT, **_CURRENCY,
        "qty": "quantity", "shares": "quantity", "amount": "quantity", "position": "quantity",
        "mv": "market_value", "value": "market_value", "opening_quantity": "opening", "sod_quantity": "opening",
    },
    wide=("symbol", "market_value"),
)  # fmt: skip
PRICES: Final = Spec(
    "prices",
    codes=("symbol",),
    numbers=("close",),
    days=("date",),
    needed=("date", "symbol", "close"),
    aliases={**_DATE, **_SYMBOL, "price": "close", "px_last": "close"},
    wide=("symbol", "close"),
)
FX: Final = Spec(
    "fx",
    codes=("currency",),
    numbers=("rate",),
    days=("date",),
    needed=("date", "currency", "rate"),
    aliases={**_DATE, **_CURRENCY},
    wide=("currency", "rate"),
)
PNL: Final = Spec(
    "pnl",
    codes=("account",),
    numbers=("pnl", "return", "var", "nav"),
    days=("date",),
    needed=("date",),
    one_of=("pnl", "return"),
    aliases={**_DATE, **_ACCOUNT, "returns": "return", "profit_and_loss": "pnl", "p&l": "pnl", "var_99": "var"},
)
LIMITS: Final = Spec(
    "limits",
    codes=("limit_id", "metric", "owner", "version", "account", "unit", "kind", "trader"),
    texts=("key", "note", "approved_by"),
    numbers=("limit", "temporary"),
    days=("valid_from", "valid_to", "temporary_until"),
    needed=("limit_id", "metric", "limit", "owner", "version"),
    aliases={**_ACCOUNT, "id": "limit_id"},
)
INSTRUMENTS: Final = Spec(
    "instruments",
    codes=("symbol", "currency"),
    texts=("issuer", "sector"),
    numbers=("adv", "multiplier"),
    needed=("symbol",),
    aliases={**_SYMBOL, **_CURRENCY, "security": "issuer", "gics_sector": "sector", "industry": "sector"},
)
FILLS: Final = Spec(
    "fills",
    codes=("fill_id", "account", "symbol", "status"),
    numbers=("quantity", "price"),
    days=("date",),
    needed=("symbol", "quantity"),
    aliases={
        **_DATE, **_SYMBOL, **_ACCOUNT,
        "exec_id": "fill_id", "execution_id": "fill_id", "trade_id": "fill_id", "amount": "quantity", "qty": "quantity",
    },
)  # fmt: skip


def read_table(spec: Spec, source: Source, root: Path) -> pl.DataFrame:
    """A table's rows: `line`, its columns (null where not told), and of each figure `<name>_text` beside it.

    Raises:
        InputInvalid: a column that is needed is absent, or a cell cannot be read; names file, line and field.
    """
    import polars as pl

    file = name_of(source, spec.table)
    raw = frame_of(source, spec.table, root)
    found = _found(raw, spec, source, file)
    if spec.wide and not set(spec.wide) & set(found) and "date" in found and "quantity" not in found:
        raw, found = _long(raw, spec, found["date"], file)
    if source.symbol and "symbol" in spec.codes and "symbol" not in found:
        raw = raw.with_columns(pl.lit(source.symbol).alias("symbol "))
        found["symbol"] = "symbol "
    for name in spec.needed:
        if name not in found:
            raise InputInvalid("the column is missing", file=file, line=1, field=name, hint=_hint(name))
    if spec.one_of and not set(spec.one_of) & set(found):
        told = f"the column is missing; one of {', '.join(spec.one_of)} is expected"
        raise InputInvalid(told, file=file, line=1, field=spec.one_of[0], hint=_hint(spec.one_of[0]))
    text = raw.select("line", *(pl.col(column).alias(name) for name, column in found.items()))
    text = text.with_columns([pl.lit(None, pl.String).alias(name) for name in spec.names if name not in found])
    if spec is POSITIONS:  # a wide file of positions holds its cash beside them
        text = text.filter(pl.col("symbol").str.to_lowercase().ne_missing("cash"))
    present = [name for name in spec.names if name in found]
    _refuse(text, _checks(spec, present), file)
    typed = text.with_columns(
        *(pl.col(name).alias(f"{name}_text") for name in spec.numbers),
        *(pl.col(name).cast(pl.Float64, strict=False) for name in spec.numbers),
        *(pl.col(name).str.head(10).str.to_date("%Y-%m-%d", strict=False) for name in spec.days),
    )
    numbers = [name for name in spec.numbers if name in found]
    _refuse(typed, [(name, ~(pl.col(name).abs() <= LARGEST), "is too large") for name in numbers], file)
    days = [(name, typed[name].is_null() & text[name].is_not_null()) for name in spec.days if name in found]
    _refuse(text, [(name, pl.lit(is_bad), "is no day") for name, is_bad in days], file)
    return typed


def _hint(name: str) -> str:
    if name == "symbol":
        return "name the instrument in the source's `symbol`, or the column in its `columns`"
    return "name the file's column in the source's `columns`; a file without a header line needs `header`"


def _found(raw: pl.DataFrame, spec: Spec, source: Source, file: str) -> dict[str, str]:
    plain = {column.strip().lower().replace(" ", "_"): column for column in raw.columns if column != "line"}
    found: dict[str, str] = {}
    for name, column in source.columns.items():
        if name not in spec.names:
            raise InputInvalid("the desk knows no such column", file=file, field=f"columns.{name[:40]}")
        if column not in raw.columns:
            raise InputInvalid(f"the file has no column {column!r:.60}", file=file, line=1, field=name)
        found[name] = column
    for name in spec.names:
        if name in plain:
            found.setdefault(name, plain[name])
    for alias, name in spec.aliases.items():
        if alias in plain:
            found.setdefault(name, plain[alias])
    return found


def _long(raw: pl.DataFrame, spec: Spec, day: str, file: str) -> tuple[pl.DataFrame, dict[str, str]]:
    import polars as pl

    assert spec.wide is not None  # noqa: S101 - the caller looked
    name, cell = spec.wide
    pattern = pl.Series([column for column in raw.columns if column not in ("line", day)], dtype=pl.String)
    odd = pattern.filter(~pattern.str.contains(CURRENCY if name == "currency" else SYMBOL))
    if len(odd):
        raise InputInvalid(f"the column is named like no {name}", file=file, line=1, field=str(odd[0])[:40])
    if not len(pattern):
        raise InputInvalid("the column is missing", file=file, line=1, field=name, hint=_hint(name))
    long = raw.unpivot(index=["line", day], variable_name=f"{name} ", value_name=f"{cell} ").drop_nulls(f"{cell} ")
    return long, {"date": day, name: f"{name} ", cell: f"{cell} "}


def _checks(spec: Spec, present: Sequence[str]) -> list[tuple[str, pl.Expr, str]]:
    """Of each column that is there what is wrong with a cell: column, test, words."""
    import polars as pl

    found = [(name, pl.col(name).is_null(), "is empty") for name in spec.needed]
    for name in present:
        cell = pl.col(name)
        if name in spec.codes:
            pattern = {"symbol": SYMBOL, "currency": CURRENCY}.get(name, CODE)
            told = "is no identifier: letters, digits, ._:- alone"
            told = "is no code of three letters" if name == "currency" else told
            found.append((name, ~cell.str.contains(pattern), told))
        elif name in spec.texts:
            found.append((name, cell.str.len_chars() > TEXT_CHARS, f"is longer than {TEXT_CHARS} characters"))
        elif name in spec.numbers:
            found.append((name, ~cell.str.contains(_NUMBER), "is no decimal number"))
        else:
            found.append((name, ~cell.str.contains(_DAY), "is no day such as 2026-01-31"))
    return found


def _refuse(table: pl.DataFrame, checks: Sequence[tuple[str, pl.Expr, str]], file: str) -> None:
    """Refuse the first cell for which a test holds; all tests are made in one pass."""
    if not checks or not len(table):
        return
    tests = table.select(test.fill_null(value=False).any().alias(str(at)) for at, (_, test, _) in enumerate(checks))
    for (name, test, told), is_bad in zip(checks, tests.row(0), strict=True):
        if is_bad:
            row = table.filter(test.fill_null(value=False)).row(0, named=True)
            shown = "" if row[name] is None else f"{row[name]!r:.60} "
            raise InputInvalid(f"{shown}{told}", file=file, line=row["line"], field=name)
