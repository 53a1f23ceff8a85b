"""An end-of-day load of S&P 500 bars that announces each batch: extract, transform, validate, load, publish."""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import json
import os
import shlex
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow.sdk import Param, dag, task

from tradeloop.airflow import emit, event

BATCH_LOADED = "marketdata.batch.loaded"
CONTEXT_BARS = 120
"""History that goes with each batch: the desk judges a move against the bars before it."""
INLINE_LIMIT_BYTES = 65_536
"""A larger batch stays in its file, and the event refers to it."""
PRICES = ("open", "high", "low", "close")
COLUMNS = ("part", "date", *PRICES, "volume")
SYMBOL = r"^[A-Za-z0-9^][A-Za-z0-9^._=-]{0,39}$"
MONTH = r"^[0-9]{4}-(0[1-9]|1[0-2])$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

# Reads every row once, names the first that is malformed and fails. No bracket pair here that Jinja would take.
VALIDATE = r"""
awk -F, '
function bad(why) { printf "row %d (%s): %s\n", NR - 1, $2, why; failed = 1; exit 1 }
NR == 1 { if ($0 != header) { printf "columns %s; expected %s\n", $0, header; failed = 1; exit 1 } next }
NF != 7 { bad(NF " columns instead of 7") }
$1 != "bar" && $1 != "context" { bad("part is \"" $1 "\"; bar or context is expected") }
$2 !~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]$/ { bad("date \"" $2 "\" is not like 2009-07-14") }
{ for (i = 3; i <= 7; i++) if ($i !~ /^-?[0-9]+(\.[0-9]+)?$/) { bad(names[i] " \"" $i "\" is no number") } }
$1 == "bar" { bars++ }
END { if (failed) exit 1; if (!bars) { print "no bar in the file"; exit 1 }
      printf "%d bars and %d context bars are well formed\n", bars, NR - 1 - bars }
BEGIN { header = "part,date,open,high,low,close,volume"; split(header, names, ",") }
' """


@task
def extract(*, params: Any = None, run_id: Any = None) -> str:
    """Cut the month and the bars before it out of the source, as delivered."""
    rows = read_source()
    inside = [at for at, row in enumerate(rows) if iso_day(row["Date"])[:7] == params["month"]]
    if not inside:
        raise ValueError(f"the source has no bar in {params['month']}")
    first, last = inside[0], inside[-1]
    staged = staging(params["symbol"], params["month"], run_id) / "raw.csv"
    cut = [{"part": "context", **row} for row in rows[max(0, first - CONTEXT_BARS) : first]]
    cut += [{"part": "bar", **row} for row in rows[first : last + 1]]
    return write_csv(staged, list(cut[0]), cut)


@task
def transform(raw: str, *, params: Any = None) -> str:
    """Bring dates and prices to one spelling; what cannot be read stays as it is, for `validate` to name."""
    with Path(raw).open(newline="", encoding="utf-8") as source:
        rows = [typed(row, params["scale"]) for row in csv.DictReader(source)]
    return write_csv(Path(raw).with_name("bars.csv"), COLUMNS, rows)


@task.bash
def validate(bars: str) -> str:
    """Fail on the first malformed row, and name it."""
    return VALIDATE + shlex.quote(bars)


@task(multiple_outputs=False)
def load(bars: str, *, params: Any = None) -> dict[str, Any]:
    """Store the batch under its own digest: a later load never changes what an earlier event refers to."""
    with Path(bars).open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    batch: dict[str, Any] = {
        "symbol": params["symbol"],
        "calendar": "XNYS",
        "asset_class": "index",
        "period": params["month"],
        "bars": [bar(row) for row in rows if row["part"] == "bar"],
        "context": [bar(row) for row in rows if row["part"] == "context"],
    }
    content = json.dumps(batch, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(content).hexdigest()
    path = reference_root() / params["symbol"] / f"{params['month']}-{digest[:16]}.json"
    write_whole(path, content)
    return {"uri": path.as_uri(), "sha256": digest, "size_bytes": len(content)}


@task(outlets=[event(BATCH_LOADED)])
def publish_completion(stored: dict[str, Any], *, params: Any = None, outlet_events: Any = None) -> None:
    """Announce the batch; the event leaves Airflow when this task has succeeded, and only then."""
    if stored["size_bytes"] > INLINE_LIMIT_BYTES:
        data = {"reference": stored}
    else:
        data = json.loads(Path(unquote(urlsplit(stored["uri"]).path)).read_bytes())
    emit(outlet_events, BATCH_LOADED, data, subject=f"{params['symbol']}/{params['month']}")


@dag(
    dag_id="example_etl_dag",
    schedule=None,
    max_active_runs=16,
    tags=["tradeloop", "example"],
    params={
        "month": Param("2009-07", type="string", pattern=MONTH, description="1999-01 to 2018-12"),
        "symbol": Param("SPX", type="string", pattern=SYMBOL),
        "scale": Param(
            None,
            type=["null", "object"],
            properties={"date": {"type": "string", "pattern": DAY}, "factor": {"type": "number"}},
            required=["date", "factor"],
            description="Spoil one bar on purpose: its prices are multiplied by the factor.",
        ),
    },
)
def example_etl() -> None:
    """Each task hands on a file below the reference root, so that any worker of the site can go on."""
    bars = transform(extract())
    stored = load(bars)
    validate(bars) >> stored
    publish_completion(stored)


def read_source() -> list[dict[str, str]]:
    """Daily S&P 500 bars 1999-2018: one file inside the `arch` package, which is not imported (that costs seconds)."""
    found = importlib.util.find_spec("arch")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("the package `arch` is not installed; it carries the example's prices")
    path = Path(found.submodule_search_locations[0]) / "data" / "sp500" / "sp500.csv.gz"
    with gzip.open(path, "rt", newline="", encoding="utf-8") as source:
        return list(csv.DictReader(source))


def reference_root() -> Path:
    """The folder that batches by reference are read from; the same value as the worker's."""
    return Path(os.environ.get("TRADELOOP_REFERENCE_ROOT", ".tradeloop/batches")).resolve()


def staging(symbol: str, month: str, run_id: str) -> Path:
    """A folder of this DAG run's own, the same one at every attempt."""
    own = hashlib.sha256(run_id.encode()).hexdigest()[:16]
    return reference_root() / "staging" / f"{symbol}-{month}-{own}"


def typed(row: dict[str, str], scale: dict[str, Any] | None) -> dict[str, str]:
    """One source row in the batch's columns; decimal text stays exact."""
    day = iso_day(row.get("Date", ""))
    factor = Decimal(str(scale["factor"])) if scale and scale["date"] == day else None
    made = {"part": row.get("part", ""), "date": day, "volume": row.get("Volume", "")}
    return made | {name: price(row.get(name.capitalize(), ""), factor) for name in PRICES}


def iso_day(text: str) -> str:
    """M/D/YYYY as YYYY-MM-DD; anything else as it is."""
    try:
        month, day, year = (int(part) for part in text.split("/"))
        return date(year, month, day).isoformat()
    except ValueError:
        return text


def price(text: str, factor: Decimal | None) -> str:
    """Plain decimal text, multiplied when asked; anything else as it is."""
    try:
        value = Decimal(text) if factor is None else Decimal(text) * factor
    except InvalidOperation:
        return text
    return f"{value:f}" if value.is_finite() else text


def bar(row: dict[str, str]) -> dict[str, str]:
    """A batch's bar: prices as text."""
    return {name: row[name] for name in ("date", *PRICES, "volume")}


def write_csv(path: Path, columns: Any, rows: list[dict[str, str]]) -> str:
    """Write a table whole; returns its path, which travels to the next task."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, fieldnames=columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)
    return str(path)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there completely or not at all, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())
    part.replace(path)


example_etl()
