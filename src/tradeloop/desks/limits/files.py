"""Tables as they come: CSV or Parquet, every cell as text, each row with its line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tradeloop.desks.limits.case import Source, name_of, raw_of
from tradeloop.desks.limits.refusal import InputInvalid

if TYPE_CHECKING:
    import polars as pl  # half a second: a worker that starts waits for no desk's library

MAX_COLUMNS: Final = 2_000


def frame_of(source: Source, table: str, root: Path) -> pl.DataFrame:
    """A table's cells as text, in the file's own columns, and `line`.

    Raises:
        InputInvalid: it cannot be read; names file, line and field.
    """
    import polars as pl

    file, raw = name_of(source, table), raw_of(source, table, root)
    frame, first = (_parquet(raw, file), 1) if source.format == "parquet" else (_csv(raw, file, source), 2)
    if source.format == "csv" and source.header:
        first = 1
    plain = [pl.col(name).str.strip_chars().replace("", None) for name in frame.columns]
    found = frame.select(plain)
    if "line" in found.columns:
        found = found.rename({"line": "line "})
    return found.with_row_index("line", offset=first)


def _csv(raw: bytes, file: str, source: Source) -> pl.DataFrame:
    import polars as pl
    from polars.exceptions import PolarsError

    text = _text(raw, file)
    try:
        names = list(source.header) or next(csv.reader([text.split("\n", 1)[0].rstrip("\r")]), [])
    except csv.Error as problem:
        raise InputInvalid(str(problem)[:120], file=file, line=1, field="header") from problem
    if not names or len(names) > MAX_COLUMNS:
        raise InputInvalid(f"a header of 1 to {MAX_COLUMNS} columns is expected", file=file, line=1, field="header")
    plain = [name.strip() or f"column {at}" for at, name in enumerate(names, 1)]
    twice = sorted({name for name in plain if plain.count(name) > 1})
    if twice:
        raise InputInvalid("two columns have one name", file=file, line=1, field=twice[0][:40])
    try:
        frame = pl.read_csv(
            io.StringIO(text),
            has_header=not source.header,
            new_columns=plain,
            infer_schema=False,
            raise_if_empty=False,
        )
    except (PolarsError, ValueError) as problem:
        line, told = _odd_line(text, len(names))
        told = told or " ".join(str(problem).split())[:120]
        raise InputInvalid(told, file=file, line=line, field="row") from problem
    if frame.width != len(plain):
        told = f"{frame.width} cells; {len(plain)} are expected"
        raise InputInvalid(told, file=file, line=1, field="header")
    return frame


def _text(raw: bytes, file: str) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise InputInvalid("the bytes are not UTF-8", file=file, line=line, field="text") from problem
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise InputInvalid("NUL in the text", file=file, line=line, field="text")
    return text


def _odd_line(text: str, width: int) -> tuple[int, str]:
    reader = csv.reader(io.StringIO(text))
    try:
        for row in reader:
            if len(row) > width:
                return reader.line_num, f"{len(row)} cells; the header has {width}"
    except csv.Error as problem:
        return reader.line_num, str(problem)[:120]
    return 1, ""


def _parquet(raw: bytes, file: str) -> pl.DataFrame:
    import polars as pl
    from polars.exceptions import PolarsError

    try:
        frame = pl.read_parquet(io.BytesIO(raw))
    except (PolarsError, OSError, ValueError) as problem:
        raise InputInvalid("no Parquet file", file=file, line=1, field="footer") from problem
    if frame.width > MAX_COLUMNS:
        raise InputInvalid(f"more than {MAX_COLUMNS} columns", file=file, line=1, field="header")
    plain = [name for name, kind in frame.schema.items() if not kind.is_nested() and kind != pl.Binary]
    return frame.select(pl.col(plain).cast(pl.String))
