"""Settlement status messages as a custodian delivers them: read a file, check its form, announce each case.

A file in the folder `incoming` below the reference root holds one message (MT548, MT537 or sese.024). Beside it, with
the same name and `.json`, lies what the firm knows: one object, or a list of one for each transaction of a statement.
Without a file the DAG sends an example of its own: a counterparty is short of securities.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task

from tradeloop.airflow import emit, event

STATUS_RECEIVED = "settlement.status.received"
INLINE_LIMIT_CHARS = 16_384
"""A longer message stays in its file, and the event refers to it."""
MAX_BYTES = 16 * 1024 * 1024
"""What the desk reads at most."""
FILE = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.(fin|txt|xml)$"
EXAMPLE = """{1:F01CUSTDEFFAXXX0000000000}{2:O5481200260101OWNRDEFFAXXX00000000002601011200N}{4:
:16R:GENL
:20C::SEME//EXAMPLE1
:23G:INST
:16R:LINK
:20C::RELA//EXAMPLE1
:16S:LINK
:16R:STAT
:25D::SETT//PENF
:16R:REAS
:24B::PENF//CLAC
:70D::REAS//COUNTERPARTY HAS NO POSITION
:16S:REAS
:16S:STAT
:16S:GENL
:16R:SETTRAN
:35B:ISIN DE0007236101
:36B::SETT//UNIT/1000,
:19A::SETT//EUR150000,
:97A::SAFE//1234567
:22H::REDE//RECE
:22H::PAYM//APMT
:98A::SETT//20260112
:98A::TRAD//20260108
:16S:SETTRAN
-}"""
KNOWN = {
    "today": "2026-01-13",
    "calendar": "XETR",
    "market": "EU",
    "asset": "liquid_share",
    "booked": {"counterparty": "DEUTDEFFXXX"},
    "reference_price": {"price": "150.00"},
}


@task(multiple_outputs=False)
def load(*, params: Any = None) -> dict[str, Any]:
    """Store the message under its own digest: a later delivery never changes what an earlier event refers to."""
    if params["file"]:
        source = reference_root() / "incoming" / params["file"]
        raw, known = source.read_bytes(), json.loads(source.with_suffix(".json").read_text(encoding="utf-8"))
    else:
        raw, known = EXAMPLE.encode(), KNOWN
    digest = hashlib.sha256(raw).hexdigest()
    path = reference_root() / "settlement" / f"{digest}.msg"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as target:
        target.write(raw)
        target.flush()
        os.fsync(target.fileno())
    part.replace(path)
    return {"path": str(path), "sha256": digest, "size_bytes": len(raw), "known": known}


@task(multiple_outputs=False)
def check(stored: dict[str, Any]) -> dict[str, Any]:
    """Fail on what is no message, and name the line; what its fields mean is the desk's to read."""
    raw = Path(stored["path"]).read_bytes()
    if not raw or len(raw) > MAX_BYTES:
        raise ValueError(f"the file has {len(raw):,} bytes; 1 to {MAX_BYTES:,} are expected")
    text = raw.decode("utf-8-sig")
    begin = text.lstrip()
    if not begin.startswith(("{1:", ":16R:", "<")):
        raise ValueError(f"line 1: {begin[:20]!r} begins no message; {{1:, :16R: or an XML document is expected")
    cases = stored["known"] if isinstance(stored["known"], list) else [stored["known"]]
    for at, case in enumerate(cases):
        if not isinstance(case, dict) or "today" not in case:
            raise ValueError(f"case {at} of the .json beside the message: an object with `today` is expected")
    return {**stored, "known": cases}


@task(outlets=[event(STATUS_RECEIVED)])
def publish(stored: dict[str, Any], *, outlet_events: Any = None) -> None:
    """Announce each case; the events leave Airflow when this task has succeeded, and only then."""
    text = Path(stored["path"]).read_text(encoding="utf-8-sig")
    reference = {"uri": Path(stored["path"]).as_uri(), "sha256": stored["sha256"], "size_bytes": stored["size_bytes"]}
    for at, case in enumerate(stored["known"]):
        told = {"message": text} if len(text) <= INLINE_LIMIT_CHARS else {"reference": reference}
        number = case.get("transaction", at if len(stored["known"]) > 1 else 0)
        emit(outlet_events, STATUS_RECEIVED, {**case, **told}, subject=f"settlement/{subject(text, stored, number)}")


@dag(
    dag_id="settlement_status",
    schedule=None,
    max_active_runs=16,
    tags=["tradeloop", "settlement"],
    params={
        "file": Param(
            None,
            type=["null", "string"],
            pattern=FILE,
            description="A message in the folder `incoming`, with a .json of the same name. None: the example.",
        )
    },
)
def settlement_status() -> None:
    """From a delivered message to the desk's case."""
    publish(check(load()))


def subject(text: str, stored: dict[str, Any], number: int) -> str:
    """The instruction's reference where it is plain, else the digest: statuses of one are decided in order."""
    found = re.search(r":20C::RELA//([A-Za-z0-9-]{1,16})\s|<AcctOwnrTxId>([A-Za-z0-9-]{1,35})</AcctOwnrTxId>", text)
    plain = (found[1] or found[2]) if found else stored["sha256"][:16]
    return f"{plain}/{number}" if number else plain


def reference_root() -> Path:
    """The folder that messages by reference are read from; the same value as the worker's."""
    return Path(os.environ.get("TRADELOOP_REFERENCE_ROOT", ".tradeloop/batches")).resolve()


settlement_status()
