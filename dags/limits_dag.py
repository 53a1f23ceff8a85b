"""Risk-limit checks: read what a check names, keep it under its digest, check its form, ask for the check.

A check is a JSON file in the folder `incoming` below the reference root: scope, day, net asset value, and for each
input (positions, limits, prices, fx, pnl, instruments, fills) the name of a CSV or Parquet file beside it. Without a
file the DAG asks for an example of its own: one position beyond its share of the net asset value.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task

from tradeloop.airflow import emit, event

CHECK_REQUESTED = "limits.check.requested"
TABLES = ("positions", "limits", "prices", "fx", "pnl", "instruments", "fills")
NEEDED = ("positions", "limits")
MAX_BYTES = 64 * 1024 * 1024
"""What the desk reads at most of one input."""
FILE = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.(csv|parquet)$"
CHECK_FILE = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.json$"
SCOPE = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}$"
EXAMPLE = {
    "scope": {"kind": "book", "name": "EXAMPLE"},
    "as_of": "2026-01-13",
    "nav": "1000000",
    "positions": {"text": "symbol,quantity,opening\nAAA,1100,900\nBBB,-400,-400\n"},
    "prices": {"text": "date,AAA,BBB\n2026-01-12,99.50,200.00\n2026-01-13,100.00,201.00\n"},
    "fills": {"text": "fill_id,symbol,quantity,price\n1,AAA,200,99.80\n"},
    "limits": {
        "text": "limit_id,metric,limit,unit,owner,version\nCONC,CONCENTRATION_NAV,10,percent,risk-control,2026.1\n"
        "GROSS,GROSS,500000,USD,risk-control,2026.1\n"
    },
}


@task(multiple_outputs=False)
def load(*, params: Any = None) -> dict[str, Any]:
    """Keep each input under its own digest: a later delivery never changes what an earlier check refers to."""
    if not params["file"]:
        return dict(EXAMPLE)
    incoming = root() / "incoming"
    found = json.loads((incoming / params["file"]).read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not isinstance(found.get("scope"), dict):
        raise ValueError(f"{params['file']}: an object with scope, as_of, positions and limits is expected")
    if not re.fullmatch(SCOPE, str(found["scope"].get("name", ""))):
        raise ValueError(f"{params['file']}, field scope.name: {SCOPE} is expected")
    for table in TABLES:
        name = found.get(table)
        if name is None and table not in NEEDED:
            continue
        if not isinstance(name, str) or not re.fullmatch(FILE, name):
            raise ValueError(
                f"{params['file']}, field {table}: the name of a CSV or Parquet file beside it is expected"
            )
        found[table] = kept(incoming / name)
    return found


@task(multiple_outputs=False)
def check(found: dict[str, Any]) -> dict[str, Any]:
    """Fail on what is no table, and name the line; what its cells mean is the desk's to read."""
    for table in TABLES:
        reference = found.get(table, {}).get("reference")
        if reference is None or found[table]["format"] == "parquet":
            continue
        with Path(reference["uri"].removeprefix("file://")).open(encoding="utf-8-sig", newline="") as source:
            width = 0
            for row in csv.reader(source):
                width = width or len(row)
                if row and len(row) != width:
                    raise ValueError(f"{table}: a row has {len(row)} cells, the header {width}: {row[:3]}")
        if width < 2:
            raise ValueError(f"{table}, line 1: a header of at least two columns is expected")
    return found


@task(outlets=[event(CHECK_REQUESTED)])
def publish(found: dict[str, Any], *, outlet_events: Any = None) -> None:
    """Ask for the check; the event leaves Airflow when this task has succeeded, and only then."""
    scope, as_of = found["scope"]["name"], str(found["as_of"])
    told = {**found, "previous": previous(scope, as_of), "attempt": attempts(scope, as_of)}
    marker = root() / "limits" / "checks" / scope
    marker.mkdir(parents=True, exist_ok=True)
    (marker / as_of[:10]).touch()
    emit(outlet_events, CHECK_REQUESTED, told, subject=f"limits/{scope}")


@dag(
    dag_id="limits_check",
    schedule=None,
    max_active_runs=16,
    tags=["tradeloop", "limits"],
    params={
        "file": Param(
            None,
            type=["null", "string"],
            pattern=CHECK_FILE,
            description="A check in the folder `incoming`. None: the example.",
        )
    },
)
def limits_check() -> None:
    """From delivered inputs to the desk's check."""
    publish(check(load()))


def kept(path: Path) -> dict[str, Any]:
    """The file under its digest, as an input of the event."""
    size_bytes = path.stat().st_size
    if not 0 < size_bytes <= MAX_BYTES:
        raise ValueError(f"{path.name} has {size_bytes:,} bytes; 1 to {MAX_BYTES:,} are expected")
    raw = path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    stored = root() / "limits" / "inputs" / f"{digest}{path.suffix}"
    stored.parent.mkdir(parents=True, exist_ok=True)
    part = stored.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as target:
        target.write(raw)
        target.flush()
        os.fsync(target.fileno())
    part.replace(stored)
    reference = {"uri": stored.as_uri(), "sha256": digest, "size_bytes": len(raw)}
    return {"reference": reference, "format": path.suffix[1:]}


def previous(scope: str, as_of: str) -> list[dict[str, str]]:
    """The states that the last check before this day ended with, as the follow-up DAGs kept them."""
    checks = root() / "limits" / "checks" / scope
    before = sorted(each.name for each in checks.iterdir() if each.name < as_of) if checks.is_dir() else []
    states = root() / "limits" / "states" / scope / f"{before[-1]}.json" if before else None
    if states is None or not states.is_file():
        return []
    kept_states = json.loads(states.read_text(encoding="utf-8"))
    return [{"limit_id": name, "state": state} for name, state in sorted(kept_states.items())]


def attempts(scope: str, as_of: str) -> int:
    """How often the inputs of this check were asked for again."""
    asked = root() / "limits" / "rechecks" / scope / f"{as_of}.json"
    return int(json.loads(asked.read_text(encoding="utf-8"))["attempt"]) if asked.is_file() else 0


def root() -> Path:
    """The folder that inputs by reference are read from; the same value as the worker's."""
    return Path(os.environ.get("TRADELOOP_REFERENCE_ROOT", ".tradeloop/batches")).resolve()


limits_check()
