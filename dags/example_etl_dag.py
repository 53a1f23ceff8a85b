"""A monthly load of S&P 500 bars that announces each batch: extract, transform, validate, load, publish.

It runs on the first of each month and by hand. The prices are those of 1999 to 2018 in the `arch` package, or a file
that was put into the folder `incoming` below the reference root. Malformed rows fail `validate`; a value that is
plausible and wrong passes: the market-data desk decides on it.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import json
import os
import re
import shlex
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow.sdk import CronTriggerTimetable, Param, dag, task

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
FILE = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.csv$"
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


@task(multiple_outputs=False)
def extract(*, params: Any = None, run_id: Any = None, dag_run: Any = None) -> dict[str, str]:
    """Cut the month and the bars before it out of the source, as delivered."""
    header, rows = read_source(params["file"])
    months = [month_of(dict(zip(header, row, strict=False)).get("Date", "")) for row in rows]
    month = params["month"] or last_month(dag_run.run_after, months)
    first, after = span(months, month)
    cut = [["context", *row] for row in rows[max(0, first - CONTEXT_BARS) : first]]
    cut += [["bar", *row] for row in rows[first:after]]
    path = staging(params["symbol"], month, run_id) / "raw.csv"
    return {"month": month, "path": write_csv(path, ["part", *header], cut)}


@task(multiple_outputs=False)
def transform(raw: dict[str, str], *, params: Any = None) -> dict[str, str]:
    """Bring dates and prices to one spelling; what cannot be read stays as it is, for `validate` to name."""
    with Path(raw["path"]).open(newline="", encoding="utf-8") as source:
        header, *rows = csv.reader(source)
    bars = [typed(header, row, params["scale"]) for row in rows]
    return {"month": raw["month"], "path": write_csv(Path(raw["path"]).with_name("bars.csv"), COLUMNS, bars)}


@task.bash
def validate(bars: dict[str, str]) -> str:
    """Fail on the first malformed row, and name it."""
    return VALIDATE + shlex.quote(bars["path"])


@task(multiple_outputs=False)
def load(bars: dict[str, str], *, params: Any = None) -> dict[str, Any]:
    """Store the batch under its own digest: a later load never changes what an earlier event refers to."""
    with Path(bars["path"]).open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    batch: dict[str, Any] = {
        "symbol": params["symbol"],
        "calendar": "XNYS",
        "asset_class": "index",
        "period": bars["month"],
        "bars": [bar(row) for row in rows if row["part"] == "bar"],
        "context": [bar(row) for row in rows if row["part"] == "context"],
    }
    content = json.dumps(batch, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(content).hexdigest()
    path = reference_root() / params["symbol"] / f"{bars['month']}-{digest[:16]}.json"
    write_whole(path, content)
    reference = {"uri": path.as_uri(), "sha256": digest, "size_bytes": len(content)}
    return {"month": bars["month"], "reference": reference}


@task(outlets=[event(BATCH_LOADED)])
def publish_completion(stored: dict[str, Any], *, params: Any = None, outlet_events: Any = None) -> None:
    """Announce the batch; the event leaves Airflow when this task has succeeded, and only then."""
    reference = stored["reference"]
    if reference["size_bytes"] > INLINE_LIMIT_BYTES:
        data = {"reference": reference}
    else:
        data = json.loads(Path(unquote(urlsplit(reference["uri"]).path)).read_bytes())
    emit(outlet_events, BATCH_LOADED, data, subject=f"{params['symbol']}/{stored['month']}")


@dag(
    dag_id="example_etl_dag",
    # At once, only the first of a month that is still to come: Airflow would else catch up on the last one.
    schedule=CronTriggerTimetable("0 6 1 * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=16,
    tags=["tradeloop", "example"],
    params={
        "month": Param(
            None,
            type=["null", "string"],
            pattern=MONTH,
            description="Like 2009-07. None: the month before the run, in the last year that the source has it.",
        ),
        "symbol": Param("SPX", type="string", pattern=SYMBOL),
        "file": Param(
            None,
            type=["null", "string"],
            pattern=FILE,
            description="A file in the folder `incoming` with the columns Date,Open,High,Low,Close,Volume.",
        ),
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


def read_source(file: str | None) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a file that was delivered, or of the daily S&P 500 bars 1999-2018.

    Those are one file inside the `arch` package, which is not imported: that costs seconds.
    """
    if file:
        with (reference_root() / "incoming" / file).open(newline="", encoding="utf-8-sig") as source:
            return split_header(csv.reader(source))
    found = importlib.util.find_spec("arch")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("the package `arch` is not installed; it carries the example's prices")
    path = Path(found.submodule_search_locations[0]) / "data" / "sp500" / "sp500.csv.gz"
    with gzip.open(path, "rt", newline="", encoding="utf-8") as source:
        return split_header(csv.reader(source))


def split_header(lines: Any) -> tuple[list[str], list[list[str]]]:
    """The first line and those after it that are not empty."""
    header, *rows = [line for line in lines if line] or [[]]
    return header, rows


def month_of(text: str) -> str:
    """The month of a row; empty when its date cannot be read."""
    day = iso_day(text)
    return day[:7] if re.match(DAY, day) else ""


def last_month(run_after: datetime, months: list[str]) -> str:
    """The month before the run; when the source ends earlier, the same month of its last year."""
    before = f"{run_after.replace(day=1) - timedelta(days=1):%Y-%m}"
    known = sorted({month for month in months if month})
    if before in known or not known:
        return before
    return ([month for month in known if month[5:] == before[5:]] or known)[-1]


def span(months: list[str], month: str) -> tuple[int, int]:
    """Where the month's rows begin, and where they have ended; rows beside them without a date are among them."""
    inside = [at for at, each in enumerate(months) if each == month]
    inside = inside or [at for at, each in enumerate(months) if not each]
    if not inside:
        raise ValueError(f"the source has no bar in {month}")
    first, last = inside[0], inside[-1]
    while first > 0 and not months[first - 1]:
        first -= 1
    while last + 1 < len(months) and not months[last + 1]:
        last += 1
    return first, last + 1


def reference_root() -> Path:
    """The folder that batches by reference are read from; the same value as the worker's."""
    return Path(os.environ.get("TRADELOOP_REFERENCE_ROOT", ".tradeloop/batches")).resolve()


def staging(symbol: str, month: str, run_id: str) -> Path:
    """A folder of this DAG run's own, the same one at every attempt."""
    own = hashlib.sha256(run_id.encode()).hexdigest()[:16]
    return reference_root() / "staging" / f"{symbol}-{month}-{own}"


def typed(header: list[str], row: list[str], scale: dict[str, Any] | None) -> list[str]:
    """One source row in the batch's columns; decimal text stays exact, and a column too few or too many stays so."""
    cells = dict(zip(header, row, strict=False))
    day = iso_day(cells.get("Date", ""))
    factor = Decimal(str(scale["factor"])) if scale and scale["date"] == day else None
    prices = [price(cells.get(name.capitalize(), ""), factor) for name in PRICES]
    made = [cells.get("part", ""), day, *prices, cells.get("Volume", "")]
    missing = max(0, len(header) - len(row))
    return made[: max(2, len(made) - missing)] + row[len(header) :]


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


def write_csv(path: Path, header: Any, rows: list[list[str]]) -> str:
    """Write a table whole; returns its path, which travels to the next task."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as target:
        csv.writer(target, lineterminator="\n").writerows([header, *rows])
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
