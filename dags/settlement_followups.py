"""What tradeloop starts after a decision on a settlement status: a reminder, or a draft to the counterparty.

Neither sends anything. The draft is a file for a person to read, change and send; every value in it is a code, a
figure, a day or an identifier that the allow-list let through. A firm puts its own steps in their place.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

DRAFT = """To: {counterparty}
Subject: settlement of {reference}, {isin}

Our {side} of {quantity} {isin} against {currency} {amount}, intended settlement date {isd}, is not settled.
Reported reason: {codes}. Days late: {age_bd}. Penalties accrued so far: {currency} {penalty}.
Please confirm by {due} when your side will settle.

(draft {chase} of decision {decision_id}; not sent)
"""
SIDES = {"DELI": "delivery", "RECE": "receipt"}


@dag(dag_id="chase_counterparty", schedule=None, max_active_runs=16, tags=["tradeloop", "started by tradeloop"])
def chase_counterparty() -> None:
    """Draft the message; sending it is a person's."""

    @task
    def draft(*, dag_run: Any = None) -> None:
        conf = dag_run.conf or {}
        shown = {name: conf.get(name) or "?" for name in ("counterparty", "reference", "isin", "quantity", "currency")}
        shown |= {name: conf.get(name) or "?" for name in ("amount", "isd", "due", "decision_id")}
        shown |= {"penalty": conf.get("penalty") or "0.00", "side": SIDES.get(conf.get("direction", ""), "transaction")}
        shown |= {
            "codes": ", ".join(conf.get("codes", [])),
            "age_bd": conf.get("age_bd", 0),
            "chase": conf.get("chase", 1),
        }
        kept("drafts", shown["decision_id"], DRAFT.format(**shown))

    draft()


@dag(dag_id="settlement_reminder", schedule=None, max_active_runs=16, tags=["tradeloop", "started by tradeloop"])
def settlement_reminder() -> None:
    """Note when the case is looked at again."""

    @task
    def remind(*, dag_run: Any = None) -> None:
        conf = dag_run.conf or {}
        names = ("due", "reference", "isin", "isd", "codes", "message_sha256", "decision_id")
        kept("reminders", conf.get("decision_id", "?"), json.dumps({name: conf.get(name) for name in names}) + "\n")

    remind()


def kept(folder: str, decision_id: str, text: str) -> None:
    """Write a file of the decision's own: a second run of the same decision writes the same one."""
    root = Path(os.environ.get("TRADELOOP_REFERENCE_ROOT", ".tradeloop/batches")).resolve() / "settlement" / folder
    root.mkdir(parents=True, exist_ok=True)
    name = "".join(each for each in decision_id if each.isalnum() or each == "-") or "unknown"
    (root / f"{name}.txt").write_text(text, encoding="utf-8")
    print(f"kept {folder}/{name}.txt")


chase_counterparty()
settlement_reminder()
