"""The reconciliation DAGs: they parse, stay light, hand the desk what it reads, hold the budget, and send nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from reconciling import TRADE, answer
from test_reconciliation_cash import MT940

DAGS = Path(__file__).parents[3] / "dags"
HEAVY = ["exchange_calendars", "numpy", "pandas", "polars", "scipy", "stdnum", "tradeloop.desks", "tradeloop.settings"]

# Airflow wants a process of its own: it reads its settings at import and keeps them.
PROBE = """
import json, os, sys
from pathlib import Path
from types import SimpleNamespace

dags = sys.argv[1]
from airflow.sdk import Param, dag, task
before = set(sys.modules)
sys.path.insert(0, dags)
import reconciliation_dag, reconciliation_followups
light = sorted(set(sys.modules) - before)

from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dags)
call = {task.task_id: task.python_callable for task in bag.dags["reconciliation_batch"].tasks}
sent = []
call["publish"].__globals__["emit"] = lambda _, kind, data, subject: sent.append([kind, data, subject])

def run(internal, external):
    sent.clear()
    try:
        call["publish"](call["check"](call["load"](params={"internal": internal, "external": external})))
    except Exception as problem:
        return str(problem)
    return list(sent)

def followed(dag_id, conf):
    (one,) = bag.dags[dag_id].tasks
    try:
        for _ in range(2):
            one.python_callable(dag_run=SimpleNamespace(conf=conf))
    except Exception as problem:
        return str(problem)
    return ""

runs = {name: run(*files) for name, files in json.loads(sys.argv[2]).items()}
follow = [followed(dag_id, conf) for dag_id, conf in json.loads(sys.argv[3])]
print("PROBED" + json.dumps({
    "dags": sorted(bag.dag_ids), "errors": bag.import_errors, "light": light, "follow": follow, **runs,
}))
"""
POSTING = {"kind": "RB11", "account": "ACC-1", "currency": "USD", "amount": "0.01", "internal": 1, "external": 1}
CONF = {"decision_id": "d-1", "today": "2026-01-13", "waits": ["X9"], "adjustments": [POSTING]}
DRAFTS = [{"kind": "RB08", "internal": [1], "external": [1, 2], "counterparty": "BROKERA"}]
FOLLOW = [
    ("post_adjustment", CONF),
    ("post_adjustment", {**CONF, "decision_id": "d-2", "adjustments": [{**POSTING, "amount": "-99.98"}]}),
    ("post_adjustment", {**CONF, "decision_id": "d-3", "adjustments": [{**POSTING, "amount": "0.02"}]}),
    ("post_adjustment", {**CONF, "decision_id": "d-4", "today": "2026-01-14", "adjustments": [POSTING] * 21}),
    ("post_adjustment", {**CONF, "decision_id": "../../d 5", "adjustments": [{**POSTING, "account": "ACC-2"}]}),
    ("reconciliation_link", {**CONF, "internal_sha256": "0" * 64, "external_sha256": "1" * 64, "matched": 7}),
    ("reconciliation_wait", {**CONF, "decision_id": "d-6"}),
    ("reconciliation_draft", {**CONF, "drafts": DRAFTS}),
]


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("dags")
    incoming = folder / "batches" / "incoming"
    incoming.mkdir(parents=True)
    table = ",".join(TRADE) + "\n" + ",".join(TRADE.values()) + "\n"
    rows = "reference,amount,currency,value_date\nPAY1,500.00,EUR,2026-01-13\nPAY2,-20.50,EUR,2026-01-13\n"
    files = {
        "ours.csv": table,
        "theirs.csv": table,
        "rows.csv": rows,
        "bank.sta": MT940,
        "none.csv": "hello",
        "e.csv": "",
    }
    for name, text in files.items():
        (incoming / name).write_text(text)
        (incoming / name).with_suffix(".json").write_text(json.dumps({"today": "2026-01-13"}))
    (incoming / "undated.csv").write_text(table)
    (incoming / "undated.json").write_text("{}")
    runs = {
        "example": (None, None), "books": ("ours.csv", "theirs.csv"), "cash": ("rows.csv", "bank.sta"),
        "half": ("ours.csv", None), "empty": ("ours.csv", "e.csv"), "garbled": ("ours.csv", "none.csv"),
        "undated": ("undated.csv", "ours.csv"),
    }  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "TRADELOOP_REFERENCE_ROOT": str(folder / "batches"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # Airflow starts seconds slower with it
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(DAGS), json.dumps(runs), json.dumps(FOLLOW)],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert "PROBED" in done.stdout, done.stderr[-2000:]
    return {**json.loads(done.stdout.split("PROBED")[1]), "root": folder / "batches"}


def test_the_dags_parse_and_import_nothing_heavy(probed: dict[str, Any]) -> None:
    names = {"post_adjustment", "reconciliation_link", "reconciliation_wait", "reconciliation_draft"}
    assert probed["errors"] == {}
    assert names | {"reconciliation_batch"} <= set(probed["dags"])
    assert [name for name in probed["light"] if any(f"{name}.".startswith(f"{each}.") for each in HEAVY)] == []


def test_without_files_an_example_is_sent_that_the_desk_resolves(probed: dict[str, Any]) -> None:
    ((kind, data, subject),) = probed["example"]

    decision, facts, _ = answer(data, probed["root"])

    assert kind == "reconciliation.batch.loaded"
    assert subject.startswith("reconciliation/")
    assert (decision.outcome, facts["kinds"], facts["matched"]) == ("AUTO_RESOLVE", {"RB04": 1}, 1)


def test_what_is_sent_is_what_the_desk_reads(probed: dict[str, Any]) -> None:
    for name in ("books", "cash"):
        ((_, data, _),) = probed[name]
        assert answer(data, probed["root"])[0].outcome == "MATCH"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("half", "internal and external: both files, or neither for the example, are expected"),
        ("empty", "external: the file has 0 bytes; 1 to 1,073,741,824 are expected"),
        ("garbled", "external: the file's beginning is not that of a csv file"),
        ("undated", "the .json beside the internal file: an object with `today` is expected"),
    ],
)
def test_what_is_no_batch_fails_the_task_by_name(probed: dict[str, Any], name: str, told: str) -> None:
    assert probed[name] == told


def test_an_adjustment_is_kept_once_and_the_days_budget_holds_over_all_decisions(probed: dict[str, Any]) -> None:
    refusals = probed["follow"][:5]

    assert refusals[0] == refusals[1] == refusals[4] == ""
    assert refusals[2].startswith("ACC-1: 3 adjustments of 100.01 in all today; at most 20 of 100.")
    assert refusals[3].startswith("ACC-1: 21 adjustments")
    kept = sorted(path.name for path in (probed["root"] / "reconciliation" / "adjustments").rglob("*.json"))
    assert kept == ["d-1.json", "d-2.json", "d5.json"]


def test_links_waits_and_drafts_are_kept_and_nothing_is_sent(probed: dict[str, Any]) -> None:
    root = probed["root"] / "reconciliation"

    assert probed["follow"][5:] == ["", "", ""]
    assert json.loads((root / "links" / "d-1.json").read_text())["matched"] == 7
    assert json.loads((root / "waits" / "d-6.json").read_text())["waits"] == ["X9"]
    draft = (root / "drafts" / "d-1.txt").read_text()
    assert "lines 1 of our file) and yours (lines 1, 2)" in draft
    assert draft.endswith("(draft of decision d-1; not sent)\n")
