"""Two books of trades, or a cash account's expected entries and its statement: keep them, check their form, announce.

Files lie in the folder `incoming` below the reference root. Beside the internal one, with the same name and `.json`,
lies what else the event holds (`today`, `used`, `cutoff`, ...). Without files the DAG sends an example of its own: one
price differs by a hundredth of a cent a share, which the desk posts to suspense.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task

from tradeloop.airflow import emit, event

BATCH_LOADED = "reconciliation.batch.loaded"
MAX_BYTES = 1024 * 1024 * 1024
"""What the desk reads at most."""
FILE = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.(csv|parquet|fix|sta|mt940|xml)$"
FORMATS = {"csv": "csv", "parquet": "parquet", "fix": "fix", "sta": "mt940", "mt940": "mt940", "xml": "camt053"}
CASH = ("mt940", "camt053")
EXAMPLE = {
    "internal.csv": """exec_id,account,counterparty,isin,side,quantity,price,currency,trade_date,settle_date,fees,net
X-000001,ACC-ALPHA,BROKERA,US0378331005,B,1000,189.2500,USD,2026-01-12,2026-01-13,12.50,189262.50
X-000002,ACC-ALPHA,BROKERA,US5949181045,S,250,402.1000,USD,2026-01-12,2026-01-13,4.00,100521.00
""",
    "external.csv": """exec_id,account,counterparty,isin,side,quantity,price,currency,trade_date,settle_date,fees,net
X-000001,ACC-ALPHA,BROKERA,US0378331005,B,1000,189.2501,USD,2026-01-12,2026-01-13,12.50,189262.60
X-000002,ACC-ALPHA,BROKERA,US5949181045,S,250,402.1000,USD,2026-01-12,2026-01-13,4.00,100521.00
""",
}
KNOWN = {"today": "2026-01-12", "used": [{"account": "ACC-ALPHA", "count": 0, "notional": "0"}]}


@task(multiple_outputs=False)
def load(*, params: Any = None) -> dict[str, Any]:
    """Store both files under their own digests: a later delivery never changes what an earlier event refers to."""
    if bool(params["internal"]) != bool(params["external"]):
        raise ValueError("internal and external: both files, or neither for the example, are expected")
    if params["internal"]:
        paths = [reference_root() / "incoming" / params[side] for side in ("internal", "external")]
        sides = [(path.suffix[1:], path.read_bytes()) for path in paths]
        known = json.loads(paths[0].with_suffix(".json").read_text(encoding="utf-8"))
    else:
        sides = [("csv", text.encode()) for text in EXAMPLE.values()]
        known = KNOWN
    internal, external = (kept(suffix, raw) for suffix, raw in sides)
    return {"internal": internal, "external": external, "known": known}


@task(multiple_outputs=False)
def check(stored: dict[str, Any]) -> dict[str, Any]:
    """Fail on what is no such file; what its cells mean is the desk's to read, which names line and field."""
    if not isinstance(stored["known"], dict) or "today" not in stored["known"]:
        raise ValueError("the .json beside the internal file: an object with `today` is expected")
    for side in ("internal", "external"):
        size, begin = stored[side]["size_bytes"], Path(stored[side]["path"]).read_bytes()[:2_000]
        if not size or size > MAX_BYTES:
            raise ValueError(f"{side}: the file has {size:,} bytes; 1 to {MAX_BYTES:,} are expected")
        expected = {"csv": b",", "parquet": b"PAR1", "fix": b"8=FIX", "mt940": b":20:", "camt053": b"<"}
        if expected[stored[side]["format"]] not in begin:
            raise ValueError(f"{side}: the file's beginning is not that of a {stored[side]['format']} file")
    is_cash = {stored[side]["format"] in CASH for side in ("internal", "external")}
    if stored["external"]["format"] in CASH and stored["internal"]["format"] not in (*CASH, "csv"):
        raise ValueError("a statement is held against a csv file of expected entries, or another statement")
    return {**stored, "is_cash": True in is_cash}


@task(outlets=[event(BATCH_LOADED)])
def publish(stored: dict[str, Any], *, outlet_events: Any = None) -> None:
    """Announce the batch; the event leaves Airflow when this task has succeeded, and only then."""
    names = ("expected", "statement") if stored["is_cash"] else ("internal", "external")
    sides = {
        name: told(stored[side], cash=stored["is_cash"])
        for name, side in zip(names, ("internal", "external"), strict=True)
    }
    digest = stored["external"]["sha256"][:16]
    emit(outlet_events, BATCH_LOADED, {**stored["known"], **sides}, subject=f"reconciliation/{digest}")


@dag(
    dag_id="reconciliation_batch",
    schedule=None,
    max_active_runs=1,
    tags=["tradeloop", "reconciliation"],
    params={
        side: Param(
            None,
            type=["null", "string"],
            pattern=FILE,
            description=f"The {side} file in the folder `incoming`. None: the example.",
        )
        for side in ("internal", "external")
    },
)
def reconciliation_batch() -> None:
    """From two delivered files to the desk's batch."""
    publish(check(load()))


def told(side: dict[str, Any], *, cash: bool) -> dict[str, Any]:
    """A side as the event has it: by reference; a csv file of expected cash entries as rows."""
    reference = {
        "uri": Path(side["path"]).as_uri(), "sha256": side["sha256"], "size_bytes": side["size_bytes"],
    }  # fmt: skip
    if not cash or side["format"] != "csv":
        return {"format": side["format"], "reference": reference}
    import csv

    lines = Path(side["path"]).read_text(encoding="utf-8-sig").splitlines()
    return {"rows": [{name: cell for name, cell in row.items() if name and cell} for row in csv.DictReader(lines)]}


def kept(suffix: str, raw: bytes) -> dict[str, Any]:
    """Write a file once, under its digest."""
    digest = hashlib.sha256(raw).hexdigest()
    path = reference_root() / "reconciliation" / f"{digest}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as target:
        target.write(raw)
        target.flush()
        os.fsync(target.fileno())
    part.replace(path)
    return {"path": str(path), "sha256": digest, "size_bytes": len(raw), "format": FORMATS[suffix]}


def reference_root() -> Path:
    """The folder that files by reference are read from; the same value as the worker's."""
    return Path(os.environ.get("TRADELOOP_REFERENCE_ROOT", ".tradeloop/batches")).resolve()


reconciliation_batch()
