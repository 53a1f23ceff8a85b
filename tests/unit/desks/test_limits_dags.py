"""The risk-limits DAGs: they parse, stay light, hand the desk what it reads, block at once and never unblock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from limiting import POSITIONS, PRICES, answer, limits

DAGS = Path(__file__).parents[3] / "dags"
HEAVY = ["arch", "numpy", "pandas", "polars", "tradeloop.desks", "tradeloop.settings"]

# Airflow wants a process of its own: it reads its settings at import and keeps them.
PROBE = """
import json, os, sys
from pathlib import Path
from types import SimpleNamespace

dags = sys.argv[1]
from airflow.sdk import Param, dag, task
before = set(sys.modules)
sys.path.insert(0, dags)
import limits_dag, limits_followups
light = sorted(set(sys.modules) - before)

from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dags)
call = {task.task_id: task.python_callable for task in bag.dags["limits_check"].tasks}
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

first = {name: run(f"{name}.json") for name in json.loads(sys.argv[2])}
confs = json.loads(sys.argv[3])
for dag_id, conf in confs:
    followed(dag_id, conf)
print("PROBED" + json.dumps({
    "dags": sorted(bag.dag_ids), "errors": bag.import_errors, "light": light,
    "example": run(None), **first, "next day": run("tomorrow.json"), "again": run("book.json"),
}))
"""


def conf(outcome: str, decision: str, **more: Any) -> dict[str, Any]:
    one = {
        "limit_id": "L1", "metric": "GROSS", "version": "v1", "owner": "risk", "state": "BREACH",
        "utilisation": "1.100000", "cause": "TRUE",
    }  # fmt: skip
    return {
        "scope_kind": "book", "scope": "B1", "as_of": "2026-01-13", "limits": [one], "more": 0,
        "outcome": outcome, "decision_id": decision, "recheck": False,
    } | more  # fmt: skip


CONFS = [
    ("limits_notify", conf("WARN", "d-1")),
    ("limits_case", conf("REQUEST_APPROVAL", "d-2")),
    ("limits_block", conf("KILL_REQUEST", "d-3")),
    ("limits_block", conf("BLOCK_NEW_RISK", "d-4", as_of="2026-01-12")),
    ("limits_recheck", conf("RECHECK_DATA", "d-5", attempt=1)),
    ("limits_case", conf("REQUEST_APPROVAL", "../../d-6", scope="../B2")),
]


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("dags")
    incoming = folder / "batches" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "positions.csv").write_text(POSITIONS)
    (incoming / "prices.csv").write_text(PRICES)
    (incoming / "fx.csv").write_text("date,EUR\n2026-01-13,1.1\n2026-01-14,1.1\n")
    (incoming / "limits.csv").write_text(limits("GROSS,100000"))
    (incoming / "ragged.csv").write_text("symbol,quantity\nAAA,1,2\n")
    (incoming / "narrow.csv").write_text("symbol\nAAA\n")
    (incoming / "empty.csv").write_text("")
    pl.read_csv(POSITIONS.encode()).write_parquet(incoming / "columns.parquet")
    book = {
        "scope": {"kind": "book", "name": "B1"}, "as_of": "2026-01-13", "nav": "100000",
        "positions": "positions.csv", "prices": "prices.csv", "fx": "fx.csv", "limits": "limits.csv",
    }  # fmt: skip
    checks: dict[str, Any] = {
        "book": book,
        "columns": book | {"positions": "columns.parquet", "scope": {"kind": "book", "name": "B3"}},
        "tomorrow": book | {"as_of": "2026-01-14"},
        "ragged": book | {"positions": "ragged.csv"},
        "narrow": book | {"positions": "narrow.csv"},
        "empty": book | {"positions": "empty.csv"},
        "foreign": book | {"positions": "../../../etc/passwd"},
        "bare": {name: value for name, value in book.items() if name != "limits"},
        "named": book | {"scope": {"kind": "book", "name": "../B1"}},
        "list": [],
    }
    for name, check in checks.items():
        (incoming / f"{name}.json").write_text(json.dumps(check))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "TRADELOOP_REFERENCE_ROOT": str(folder / "batches"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # Airflow starts seconds slower with it
    names = json.dumps([name for name in checks if name != "tomorrow"])
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(DAGS), names, json.dumps(CONFS)],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert "PROBED" in done.stdout, done.stderr[-2000:]
    return {**json.loads(done.stdout.split("PROBED")[1]), "root": folder / "batches"}


def test_the_dags_parse_and_import_nothing_heavy(probed: dict[str, Any]) -> None:
    assert probed["errors"] == {}
    assert {"limits_check", "limits_notify", "limits_case", "limits_block", "limits_recheck"} <= set(probed["dags"])
    assert [name for name in probed["light"] if any(f"{name}.".startswith(f"{each}.") for each in HEAVY)] == []
    assert [name for name in probed["dags"] if "unblock" in name or "raise" in name] == []


def test_without_a_file_an_example_is_sent_that_the_desk_answers(probed: dict[str, Any]) -> None:
    ((kind, data, subject),) = probed["example"]

    decision, facts = answer(data)
    assert (kind, subject) == ("limits.check.requested", "limits/EXAMPLE")
    assert decision.outcome == "REQUEST_APPROVAL"
    assert [one["cause"] for one in facts["limits"]] == ["TRUE", None]


@pytest.mark.parametrize("name", ["book", "columns"])
def test_what_is_sent_is_what_the_desk_reads(probed: dict[str, Any], name: str) -> None:
    ((_, data, _),) = probed[name]

    decision, facts = answer(data, probed["root"])
    assert decision.outcome == "REQUEST_APPROVAL"
    assert facts["limits"][0]["value"] == pytest.approx(105_700)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ragged", "positions: a row has 3 cells, the header 2: ['AAA', '1', '2']"),
        ("narrow", "positions, line 1: a header of at least two columns is expected"),
        ("empty", "empty.csv has 0 bytes; 1 to 67,108,864 are expected"),
        ("foreign", "foreign.json, field positions: the name of a CSV or Parquet file beside it is expected"),
        ("bare", "bare.json, field limits: the name of a CSV or Parquet file beside it is expected"),
        ("list", "list.json: an object with scope, as_of, positions and limits is expected"),
    ],
)
def test_what_is_no_check_fails_the_task_by_name(probed: dict[str, Any], name: str, told: str) -> None:
    assert probed[name] == told


def test_a_scope_that_would_leave_its_folder_is_refused(probed: dict[str, Any]) -> None:
    assert probed["named"].startswith("named.json, field scope.name: ")


def test_the_next_check_knows_the_breach_before_it_and_blocks(probed: dict[str, Any]) -> None:
    ((_, data, _),) = probed["next day"]

    assert data["previous"] == [{"limit_id": "L1", "state": "BREACH"}]
    assert answer(data, probed["root"])[0].outcome == "BLOCK_NEW_RISK"


def test_a_check_whose_inputs_were_asked_for_again_counts_its_attempts(probed: dict[str, Any]) -> None:
    ((_, first, _),) = probed["book"]
    ((_, again, _),) = probed["again"]

    assert (first["attempt"], again["attempt"]) == (0, 1)
    assert (first["previous"], again["previous"]) == ([], [])


def test_a_block_is_set_once_keeps_the_worse_word_and_nothing_takes_it_away(probed: dict[str, Any]) -> None:
    (path,) = (probed["root"] / "limits" / "blocks").iterdir()

    flag = json.loads(path.read_text())
    assert path.name == "B1.json"
    assert (flag["blocked"], flag["outcome"], flag["first"]) == (True, "KILL_REQUEST", "2026-01-13")


def test_notices_and_cases_are_kept_by_decision_and_below_the_desk_s_folder_alone(probed: dict[str, Any]) -> None:
    kept = probed["root"] / "limits"

    assert sorted(path.name for path in (kept / "cases").iterdir()) == [
        "d-2.json", "d-3.json", "d-4.json", "unknown.json",
    ]  # fmt: skip
    assert sorted(path.name for path in (kept / "notices").iterdir()) == ["d-1.json", "d-5.json"]
    assert "unknown" in {path.name for path in (kept / "states").iterdir()}
    assert sorted(path.name for path in probed["root"].iterdir()) == ["incoming", "limits"]
