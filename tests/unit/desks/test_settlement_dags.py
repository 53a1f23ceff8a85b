"""The settlement DAGs: they parse, stay light, hand the desk what it reads, and send nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from settling import answer, failing

from tradeloop.bench.desks.settlement_messages import mt548, sese024

DAGS = Path(__file__).parents[3] / "dags"
HEAVY = ["exchange_calendars", "numpy", "pandas", "python_iso20022", "stdnum", "tradeloop.desks", "tradeloop.settings"]

# Airflow wants a process of its own: it reads its settings at import and keeps them.
PROBE = """
import json, os, sys
from pathlib import Path
from types import SimpleNamespace

dags = sys.argv[1]
from airflow.sdk import Param, dag, task
before = set(sys.modules)
sys.path.insert(0, dags)
import settlement_dag, settlement_followups
light = sorted(set(sys.modules) - before)

from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dags)
call = {task.task_id: task.python_callable for task in bag.dags["settlement_status"].tasks}
sent = []
call["publish"].__globals__["emit"] = lambda _, kind, data, subject: sent.append([kind, data, subject])

def run(file):
    sent.clear()
    try:
        call["publish"](call["check"](call["load"](params={"file": file})))
    except Exception as problem:
        return str(problem)
    return list(sent)

def followed(dag_id, conf):
    (one,) = bag.dags[dag_id].tasks
    for _ in range(2):
        one.python_callable(dag_run=SimpleNamespace(conf=conf))

conf = json.loads(sys.argv[2])
followed("chase_counterparty", conf)
followed("settlement_reminder", conf)
incoming = Path(os.environ["TRADELOOP_REFERENCE_ROOT"], "incoming")
print("PROBED" + json.dumps({
    "dags": sorted(bag.dag_ids), "errors": bag.import_errors, "light": light,
    "example": run(None), **{path.stem: run(path.name) for path in incoming.iterdir() if path.suffix != ".json"},
}))
"""
CONF = {
    "decision_id": "d-1", "counterparty": "DEUTDEFFXXX", "reference": "TRADE0001", "isin": "DE0007236101",
    "direction": "RECE", "quantity": "1000", "currency": "EUR", "amount": "150000.00", "isd": "2026-01-12",
    "due": "2026-01-14", "codes": ["CLAC"], "age_bd": 1, "penalty": "15.00", "chase": 2, "message_sha256": "0" * 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("dags")
    incoming = folder / "batches" / "incoming"
    incoming.mkdir(parents=True)
    known = {"today": "2026-01-13"}
    messages: dict[str, tuple[str, Any]] = {
        "plain.fin": (mt548(failing("PRCY")), known),
        "markup.xml": (sese024(failing("PRCY")), known),
        "long.fin": (mt548(failing("PRCY", narrative="x " * 10_000)), known),
        "two.fin": (mt548(failing("PRCY")), [known, known]),
        "none.txt": ("hello", known),
        "empty.txt": ("", known),
        "undated.fin": (mt548(failing("PRCY")), {}),
    }
    for name, (text, beside) in messages.items():
        (incoming / name).write_text(text)
        (incoming / name).with_suffix(".json").write_text(json.dumps(beside))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "TRADELOOP_REFERENCE_ROOT": str(folder / "batches"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # Airflow starts seconds slower with it
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(DAGS), json.dumps(CONF)],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert "PROBED" in done.stdout, done.stderr[-2000:]
    return {**json.loads(done.stdout.split("PROBED")[1]), "root": folder / "batches"}


def test_the_dags_parse_and_import_nothing_heavy(probed: dict[str, Any]) -> None:
    assert probed["errors"] == {}
    assert {"settlement_status", "chase_counterparty", "settlement_reminder"} <= set(probed["dags"])
    assert [name for name in probed["light"] if any(f"{name}.".startswith(f"{each}.") for each in HEAVY)] == []


def test_without_a_file_an_example_is_sent_that_the_desk_answers(probed: dict[str, Any]) -> None:
    ((kind, data, subject),) = probed["example"]

    decision, facts, _ = answer(data)
    assert (kind, subject) == ("settlement.status.received", "settlement/EXAMPLE1")
    assert (decision.outcome, facts["penalty"]["accrued"]) == ("CHASE_COUNTERPARTY", "15.00")


@pytest.mark.parametrize("name", ["plain", "markup", "long"])
def test_what_is_sent_is_what_the_desk_reads(probed: dict[str, Any], name: str) -> None:
    ((_, data, subject),) = probed[name]

    assert subject == "settlement/TRADE0001"
    assert ("reference" in data) == (name == "long")
    assert answer(data, probed["root"])[0].outcome == "CHASE_COUNTERPARTY"


def test_a_statement_is_one_event_a_transaction(probed: dict[str, Any]) -> None:
    assert [subject for _, _, subject in probed["two"]] == ["settlement/TRADE0001", "settlement/TRADE0001/1"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none", "line 1: 'hello' begins no message; {1:, :16R: or an XML document is expected"),
        ("empty", "the file has 0 bytes; 1 to 16,777,216 are expected"),
        ("undated", "case 0 of the .json beside the message: an object with `today` is expected"),
    ],
)
def test_what_is_no_case_fails_the_task_by_name(probed: dict[str, Any], name: str, told: str) -> None:
    assert probed[name] == told


def test_the_draft_is_kept_once_and_not_sent(probed: dict[str, Any]) -> None:
    (draft,) = (probed["root"] / "settlement" / "drafts").iterdir()

    text = draft.read_text()
    assert draft.name == "d-1.txt"
    assert text.startswith("To: DEUTDEFFXXX\nSubject: settlement of TRADE0001, DE0007236101\n")
    assert "Our receipt of 1000 DE0007236101 against EUR 150000.00" in text
    assert text.endswith("(draft 2 of decision d-1; not sent)\n")


def test_the_reminder_is_kept_for_its_day(probed: dict[str, Any]) -> None:
    (reminder,) = (probed["root"] / "settlement" / "reminders").iterdir()

    assert json.loads(reminder.read_text())["due"] == "2026-01-14"
