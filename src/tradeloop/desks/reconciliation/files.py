"""Books as they come: CSV, Parquet, rows in the event, or a log of FIX messages; and which file a name stands for."""

from __future__ import annotations

import csv
import io
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, Final  # Any: JSON from outside
from urllib.parse import unquote, urlsplit

import polars as pl
from polars.exceptions import PolarsError

from tradeloop.desks.reconciliation.case import Book, Ledger
from tradeloop.desks.reconciliation.columns import NEEDED, typed
from tradeloop.desks.reconciliation.fix import fills_of
from tradeloop.desks.reconciliation.refusal import RecordInvalid
from tradeloop.desks.references import read_reference
from tradeloop.domain.canonical import canonical_json

MAX_FILE_BYTES: Final = 1024 * 1024 * 1024
"""The largest book that is read: about 8 million trades. More would not fit a worker's memory."""
MAX_COLUMNS: Final = 200


def digest_of(source: Book | Ledger) -> str:
    """The sha256 of what a side holds."""
    if source.reference is not None:
        return source.reference.sha256
    text = source.text if source.text is not None else canonical_json(source.rows)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def name_of(source: Book | Ledger, side: str) -> str:
    """How refusals call it."""
    if source.reference is None:
        return f"payload.data.{side}"
    return PurePosixPath(unquote(urlsplit(source.reference.uri).path)).name[:100] or side


def raw_of(source: Book | Ledger, root: Path) -> bytes:
    """The bytes of a side that is given as text or by reference."""
    if source.reference is not None:
        return read_reference(source.reference, root, most_bytes=MAX_FILE_BYTES)
    return (source.text or "").encode("utf-8", "surrogatepass")


def book_of(source: Book, side: str, root: Path) -> pl.DataFrame:
    """A side's trades as `columns.typed` makes them.

    Raises:
        RecordInvalid: it cannot be read; names file, line and field.
        ReferenceInvalid: the file is absent, outside `root` or altered.
    """
    file = name_of(source, side)
    if source.rows is not None:
        if source.format != "rows":
            raise RecordInvalid(f"rows were given, the format is {source.format}", file=file, field="format")
        return typed(_frame(source.rows, file), file=file, named=source.columns, first_line=1)
    raw = raw_of(source, root)
    match source.format:
        case "csv":
            return typed(read_csv(raw, file), file=file, named=source.columns)
        case "parquet":
            return typed(_parquet(raw, file), file=file, named=source.columns, first_line=1)
        case "fix":
            return typed(fills_of(raw, file), file=file, named={}, first_line=1)
        case "rows":
            raise RecordInvalid("the format is rows, and none were given", file=file, field="format")


def read_csv(raw: bytes, file: str) -> pl.DataFrame:
    """A CSV file with one header line; every cell is text.

    Raises:
        RecordInvalid: no UTF-8, no header, or a row of another width; names the line.
    """
    text_of(raw, file)
    header = raw[:65_536].split(b"\n", 1)[0].decode("utf-8-sig", "replace").rstrip("\r")
    try:
        names = next(csv.reader([header]), [])
    except csv.Error as problem:
        raise RecordInvalid(f"{str(problem)[:80]}", file=file, line=1, field="header") from problem
    if not names or len(names) > MAX_COLUMNS:
        raise RecordInvalid(f"a header of 1 to {MAX_COLUMNS} columns is expected", file=file, line=1, field="header")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecordInvalid("two columns have one name", file=file, line=1, field=twice[0][:40] or "header")
    try:
        return pl.read_csv(io.BytesIO(raw), infer_schema=False)
    except (PolarsError, ValueError) as problem:
        line, told = _odd_line(raw, len(names))
        raise RecordInvalid(
            told or " ".join(str(problem).split())[:120], file=file, line=line, field="row"
        ) from problem


def text_of(raw: bytes, file: str) -> str:
    """The bytes as UTF-8 without NUL.

    Raises:
        RecordInvalid: they are none; names the line.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise RecordInvalid("the bytes are not UTF-8", file=file, line=line, field="text") from problem
    if "\x00" in text:
        raise RecordInvalid("NUL in the text", file=file, line=text[: text.index("\x00")].count("\n") + 1, field="text")
    return text


def _odd_line(raw: bytes, width: int) -> tuple[int, str]:
    reader = csv.reader(io.StringIO(raw.decode("utf-8-sig")))
    try:
        for row in reader:
            if len(row) > width:
                return reader.line_num, f"{len(row)} cells; the header has {width}"
    except csv.Error as problem:
        return reader.line_num, str(problem)[:120]
    return 1, ""


def _parquet(raw: bytes, file: str) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(io.BytesIO(raw))
    except (PolarsError, OSError, ValueError) as problem:
        raise RecordInvalid("no Parquet file", file=file, line=1, field="footer") from problem
    if frame.width > MAX_COLUMNS:
        raise RecordInvalid(f"more than {MAX_COLUMNS} columns", file=file, line=1, field="header")
    plain = [name for name, kind in frame.schema.items() if not kind.is_nested() and kind != pl.Binary]
    return frame.select(pl.col(plain).cast(pl.String))


def _frame(rows: tuple[dict[str, Any], ...], file: str) -> pl.DataFrame:
    if not rows:
        return pl.DataFrame(schema=dict.fromkeys(NEEDED, pl.String))
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) > MAX_COLUMNS:
        raise RecordInvalid(f"more than {MAX_COLUMNS} columns", file=file, line=1, field="header")
    for number, row in enumerate(rows, 1):
        for name, value in row.items():
            if value is not None and not isinstance(value, str) and (isinstance(value, bool) or type(value) is not int):
                told = f'a JSON {type(value).__name__}: cells are text, such as "1234.50"'
                raise RecordInvalid(told, file=file, line=number, field=name[:40])
    columns = {name: [None if row.get(name) is None else _cell(row[name]) for row in rows] for name in names}
    return pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String))


def _cell(value: str | int) -> str:
    if isinstance(value, int):
        return str(value) if value.bit_length() < 128 else "<number>"
    # A lone surrogate is JSON and no text.
    return value.encode("utf-8", "replace").decode("utf-8")[:4_000]
