"""What tradeloop starts after a decision on a batch: keep links, waits, drafts, and tolerance adjustments to suspense.

None of them amends or cancels a trade, moves cash or sends a message. Each keeps one file a decision, so that a second
run of the same decision changes nothing; a firm puts its own steps in their place. `post_adjustment` holds the day's
budget of each account once more, against all that it kept before: two batches of one day cannot both use it up.
"""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

COUNT = int(os.environ.get("TRADELOOP_RECONCILIATION_COUNT", "20"))
NOTIONAL = Decimal(os.environ.get("TRADELOOP_RECONCILIATION_NOTIONAL", "100"))
"""Of an account and day, in units of currency; the policy's `budget`."""
UNITS = {"NOK": 10, "SEK": 10, "DKK": 10, "HKD": 10, "JPY": 100}
"""The policy's `currency_scale`, where it is not 1."""
TAGS = ["tradeloop", "started by tradeloop"]
DRAFT = """To: {counterparty}
Subject: difference {kind}, trade day file of {today}

Our records (lines {internal} of our file) and yours (lines {external}) differ: {kind}.
Please compare and confirm which is right.

(draft of decision {decision_id}; not sent)
"""


@dag(dag_id="post_adjustment", schedule=None, max_active_runs=1, tags=TAGS)
def post_adjustment() -> None:
    """Keep the adjustments for the ledger's suspense account; one run at a time, so that the budget holds."""

    @task
    def post(*, dag_run: Any = None) -> None:
        conf = dag_run.conf or {}
        name, day = plain(conf.get("decision_id")), plain(conf.get("today"))
        adjustments = conf.get("adjustments", [])
        refuse_beyond_budget(adjustments, kept_before(day, name))
        keep_beside(conf)
        kept(f"adjustments/{day}", name, json.dumps({"adjustments": adjustments, "to": "suspense", "today": day}))

    post()


@dag(dag_id="reconciliation_link", schedule=None, max_active_runs=16, tags=TAGS)
def reconciliation_link() -> None:
    """Note that two files agree."""

    @task
    def link(*, dag_run: Any = None) -> None:
        conf = dag_run.conf or {}
        names = ("internal_sha256", "external_sha256", "matched", "today")
        kept("links", plain(conf.get("decision_id")), json.dumps({name: conf.get(name) for name in names}))

    link()


@dag(dag_id="reconciliation_wait", schedule=None, max_active_runs=16, tags=TAGS)
def reconciliation_wait() -> None:
    """Note what waits a cycle: the next batch's event names it as `waited`."""

    @task
    def wait(*, dag_run: Any = None) -> None:
        keep_beside(dag_run.conf or {})

    wait()


@dag(dag_id="reconciliation_draft", schedule=None, max_active_runs=16, tags=TAGS)
def reconciliation_draft() -> None:
    """Draft the messages; sending them is a person's."""

    @task
    def draft(*, dag_run: Any = None) -> None:
        keep_beside(dag_run.conf or {})

    draft()


def keep_beside(conf: dict[str, Any]) -> None:
    """Keep what waits and what is drafted, whatever else the decision does."""
    name = plain(conf.get("decision_id"))
    if conf.get("waits"):
        kept("waits", name, json.dumps({"waits": conf["waits"], "today": conf.get("today")}))
    texts = [
        DRAFT.format(
            counterparty=one.get("counterparty") or "?",
            kind=one.get("kind", "?"),
            today=conf.get("today", "?"),
            internal=", ".join(str(line) for line in one.get("internal", [])) or "none",
            external=", ".join(str(line) for line in one.get("external", [])) or "none",
            decision_id=name,
        )
        for one in conf.get("drafts", [])
    ]
    if texts:
        kept("drafts", name, "\n".join(texts))


def refuse_beyond_budget(adjustments: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
    """Fail before anything is kept when an account's day would go beyond its budget."""
    for account in sorted({one["account"] for one in adjustments}):
        all_of_it = [one for one in [*before, *adjustments] if one["account"] == account]
        size = sum(abs(Decimal(one["amount"])) / UNITS.get(one["currency"], 1) for one in all_of_it)
        if len(all_of_it) > COUNT or size > NOTIONAL:
            raise ValueError(
                f"{account}: {len(all_of_it)} adjustments of {size:f} in all today; at most {COUNT} of {NOTIONAL}. "
                "Nothing was posted; a person decides."
            )


def kept_before(day: str, decision_id: str) -> list[dict[str, Any]]:
    """The day's adjustments of other decisions."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder_of(f"adjustments/{day}").glob("*.json")):
        if path.stem != decision_id:
            found += json.loads(path.read_text(encoding="utf-8"))["adjustments"]
    return found


def plain(text: object) -> str:
    """A decision's id or a day, as the name of a file."""
    return "".join(each for each in str(text) if each.isalnum() or each == "-") or "unknown"


def kept(folder: str, decision_id: str, text: str) -> None:
    """Write a file of the decision's own: a second run of the same decision writes the same one."""
    suffix = "txt" if folder == "drafts" else "json"
    path = folder_of(folder) / f"{decision_id}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"kept {folder}/{path.name}")


def folder_of(name: str) -> Path:
    """Below the reference root."""
    root = Path(os.environ.get("TRADELOOP_REFERENCE_ROOT", ".tradeloop/batches")).resolve()
    return root / "reconciliation" / name


post_adjustment()
reconciliation_link()
reconciliation_wait()
reconciliation_draft()
