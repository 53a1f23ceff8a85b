"""The DAG files: they parse, stay light, and hand the desk what it expects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from desk import answer

DAGS = Path(__file__).parents[3] / "dags"
HEAVY = ["arch", "confluent_kafka", "exchange_calendars", "numpy", "pandas", "tradeloop.domain", "tradeloop.settings"]

# Airflow wants a process of its own: it reads its settings at import and keeps them.
PROBE = """
import json, os, subprocess, sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

folder, dags = Path(sys.argv[1]), sys.argv[2]
from airflow.sdk import Asset, Param, dag, task
before = set(sys.modules)
sys.path.insert(0, dags)
import example_etl_dag, marketdata_followups
light = sorted(set(sys.modules) - before)

from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dags)
etl = bag.dags["example_etl_dag"]
call = {task.task_id: getattr(task, "python_callable", None) for task in etl.tasks}

def validate(path):
    command = call["validate"]({"path": str(path)})
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    return [done.returncode, done.stdout.strip()]

def staged(run_after=None, **given):
    params = {"month": None, "symbol": "SPX", "scale": None, "file": None} | given
    run = SimpleNamespace(run_after=run_after)
    return call["transform"](call["extract"](params=params, run_id="manual__1", dag_run=run), params=params)

def emitted(scale):
    params = {"month": "2009-08", "symbol": "SPX", "scale": scale, "file": None}
    bars = staged(**params)
    stored, sent = call["load"](bars, params=params), []
    publish = call["publish_completion"]
    publish.__globals__["emit"] = lambda _, kind, data, subject: sent.append([kind, data, subject])
    publish(stored, params=params)
    publish.__globals__["INLINE_LIMIT_BYTES"] = 1000
    publish(stored, params=params)
    publish.__globals__["INLINE_LIMIT_BYTES"] = 65536
    return bars["path"], sent

clean_file, clean = emitted(None)
lines = Path(clean_file).read_text().splitlines()
_, spoiled = emitted({"date": "2009-08-14", "factor": 100})

def broken(place, change):
    row = lines[place].split(",")
    path = folder / "it's broken.csv"
    path.write_text("\\n".join([*lines[:place], ",".join(change(row)), *lines[place + 1:]]) + "\\n")
    return validate(path)

(folder / "empty.csv").write_text(lines[0] + "\\n")

def delivered(name, text, **given):
    incoming = Path(os.environ["TRADELOOP_REFERENCE_ROOT"], "incoming")
    incoming.mkdir(parents=True, exist_ok=True)
    (incoming / name).write_text(text)
    return validate(staged(file=name, month="2009-07", **given)["path"])

HEAD = "Date,Open,High,Low,Close,Volume"
ROWS = [f"7/{day}/2009,1.0,2.0,0.5,1.5,10" for day in (1, 2, 6)]
def file_of(*rows, head=HEAD):
    return "\\n".join([head, *rows]) + "\\n"

months = {
    moment: staged(run_after=datetime.fromisoformat(moment))["month"]
    for moment in ("2010-01-01T06:00:00+00:00", "2026-12-01T06:00:00+00:00", "2026-03-31T12:00:00+00:00")
}
print("PROBED" + json.dumps({
    "dags": sorted(bag.dag_ids), "errors": bag.import_errors, "light": light,
    "order": {task.task_id: sorted(task.downstream_task_ids) for task in etl.tasks},
    "active": etl.max_active_runs, "schedule": etl.schedule.expression, "catchup": etl.catchup, "months": months,
    "file_whole": delivered("whole.csv", file_of("6/30/2009,1,2,0.5,1.5,10", *ROWS, "8/3/2009,1,2,0.5,1.5,10")),
    "file_undated": delivered("undated.csv", file_of(*ROWS, "soon,1,2,0.5,1.5,10")),
    "file_undated_first": delivered("undated_first.csv", file_of("n/a,1,2,0.5,1.5,10", *ROWS)),
    "file_short": delivered("short.csv", file_of(ROWS[0], "7/2/2009,1.0,2.0,0.5,1.5", ROWS[2])),
    "file_long": delivered("long.csv", file_of(ROWS[0], ROWS[1] + ",9", ROWS[2])),
    "file_garbled": delivered("garbled.csv", file_of(ROWS[0], "7/2/2009,1.0,2.0,NaN,1.5,10")),
    "file_no_close": delivered("no_close.csv", file_of("7/1/2009,1,2,0.5,10", head="Date,Open,High,Low,Volume")),
    "file_no_date": delivered("no_date.csv", file_of("1,2,0.5,1.5,10", head="Open,High,Low,Close,Volume")),
    "file_wrong": delivered("wrong.csv", file_of(*ROWS, "7/7/2009,900000,2,0.5,-1.5,10")),
    "outlets": [asset.name for asset in etl.get_task("publish_completion").outlets],
    "whole": validate(clean_file), "clean": clean, "spoiled": spoiled,
    "letters": broken(130, lambda row: [*row[:5], "abc", row[6]]),
    "short": broken(130, lambda row: row[:6]),
    "foreign_date": broken(130, lambda row: [row[0], "8/14/2009", *row[2:]]),
    "empty_cell": broken(130, lambda row: [*row[:2], "", *row[3:]]),
    "columns": broken(0, lambda row: row[:-1]),
    "no_bar": validate(folder / "empty.csv"),
    "templated": any(mark in call["validate"]({"path": "x"}) for mark in ("{{", "{%", "{#")),
}))
"""


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("dags")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "TRADELOOP_REFERENCE_ROOT": str(folder / "batches"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # Airflow starts seconds slower with it
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(folder), str(DAGS)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "PROBED" in done.stdout, done.stderr[-2000:]
    return {**json.loads(done.stdout.split("PROBED")[1]), "root": folder / "batches"}


def test_the_dags_parse_under_their_exact_names(probed: dict[str, Any]) -> None:
    assert probed["errors"] == {}
    assert {"example_etl_dag", "publish_batch", "refetch_batch"} <= set(probed["dags"])


def test_the_etl_runs_its_five_tasks_in_order(probed: dict[str, Any]) -> None:
    assert probed["order"] == {
        "extract": ["transform"],
        "transform": ["load", "validate"],
        "validate": ["load"],
        "load": ["publish_completion"],
        "publish_completion": [],
    }
    assert (probed["active"], probed["schedule"], probed["catchup"]) == (16, "0 6 1 * *", False)
    assert probed["outlets"] == ["tradeloop.marketdata.batch.loaded"]


def test_parsing_imports_nothing_heavy(probed: dict[str, Any]) -> None:
    assert "example_etl_dag" in probed["light"]
    assert [
        name for name in probed["light"] if any(name == each or name.startswith(f"{each}.") for each in HEAVY)
    ] == []


def test_the_emitted_batch_is_what_the_desk_reads(probed: dict[str, Any]) -> None:
    (kind, inline, subject), (_, by_reference, _) = probed["clean"]

    assert (kind, subject, len(inline["bars"]), len(inline["context"])) == (
        "marketdata.batch.loaded", "SPX/2009-08", 21, 120,
    )  # fmt: skip
    assert list(by_reference) == ["reference"]
    outcomes = [answer(data, root=probed["root"])[0] for data in (inline, by_reference)]
    assert [decision.outcome for decision in outcomes] == ["ACCEPT", "ACCEPT"]
    digests = {decision.action.params["batch_sha256"] for decision in outcomes if decision.action}
    assert digests == {by_reference["reference"]["sha256"]}


def test_the_scale_parameter_spoils_one_bar_for_the_desk_to_find(probed: dict[str, Any]) -> None:
    decision, facts = answer(probed["spoiled"][0][1])

    assert decision.outcome == "REFETCH"
    assert [(finding.rule, finding.dates) for finding in facts.findings] == [("MD10", ("2009-08-14",))]


def test_validate_passes_a_whole_file_and_counts_it(probed: dict[str, Any]) -> None:
    assert probed["whole"] == [0, "21 bars and 120 context bars are well formed"]
    assert probed["templated"] is False


def test_a_run_that_names_no_month_loads_the_one_before_or_its_like_in_the_last_year(probed: dict[str, Any]) -> None:
    assert probed["months"] == {
        "2010-01-01T06:00:00+00:00": "2009-12",
        "2026-12-01T06:00:00+00:00": "2018-11",
        "2026-03-31T12:00:00+00:00": "2018-02",
    }


def test_a_plausible_and_wrong_value_passes_for_the_desk_to_decide(probed: dict[str, Any]) -> None:
    assert probed["file_whole"] == [0, "3 bars and 1 context bars are well formed"]
    assert probed["file_wrong"] == [0, "4 bars and 0 context bars are well formed"]


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("file_undated", 'row 4 (soon): date "soon" is not like 2009-07-14'),
        ("file_undated_first", 'row 1 (n/a): date "n/a" is not like 2009-07-14'),
        ("file_short", "row 2 (2009-07-02): 6 columns instead of 7"),
        ("file_long", "row 2 (2009-07-02): 8 columns instead of 7"),
        ("file_garbled", 'row 2 (2009-07-02): low "NaN" is no number'),
        ("file_no_close", 'row 1 (2009-07-01): close "" is no number'),
        ("file_no_date", 'row 1 (): date "" is not like 2009-07-14'),
        ("letters", 'row 130 (2009-08-14): close "abc" is no number'),
        ("short", "row 130 (2009-08-14): 6 columns instead of 7"),
        ("foreign_date", 'row 130 (8/14/2009): date "8/14/2009" is not like 2009-07-14'),
        ("empty_cell", 'row 130 (2009-08-14): open "" is no number'),
        ("columns", "columns part,date,open,high,low,close; expected part,date,open,high,low,close,volume"),
        ("no_bar", "no bar in the file"),
    ],
)
def test_validate_fails_on_a_malformed_row_and_names_it(probed: dict[str, Any], case: str, told: str) -> None:
    assert probed[case] == [1, told]
