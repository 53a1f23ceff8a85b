"""`tradeloop audit capture` and `tradeloop doctor` beside the real Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from capture import run_dag

from tradeloop.airflow.client import AirflowClient

if TYPE_CHECKING:
    from tradeloop.stack import Stack


def tradeloop(stack: Stack, *words: str, **variables: str) -> tuple[int, str, str]:
    environment = os.environ | {"TRADELOOP_HOME": str(stack.settings.home), "TRADELOOP_INSTANCE": "tests"} | variables
    command = [sys.executable, "-m", "tradeloop", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90, check=False)
    return done.returncode, done.stdout, done.stderr


def findings(out: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(out):
        found.setdefault(finding["part"], []).append(finding)
    return found


async def test_the_audit_is_a_line_for_people_and_a_document_for_programs(
    airflow_stack: Stack, airflow: AirflowClient
) -> None:
    await run_dag(airflow, "edge_events")

    code, out, err = tradeloop(airflow_stack, "audit", "capture", "--since", "1h", "--json")
    report = json.loads(out)
    code_for_people, told, _ = tradeloop(airflow_stack, "audit", "capture", "--since", "1h", "--accept-gap")

    whole = report["is_complete"] and not report["pending"] and not report["lifecycle"]["missing"]
    assert code == (0 if whole else 6), err
    assert report["in_airflow"] >= 10
    assert (report["missing"], report["doubled"], report["phantom"]) == ([], [], [])
    assert code_for_people in (0, 6)  # what runs meanwhile may be pending
    assert "in Airflow" in told.splitlines()[0]
    assert "runs ended" in told.splitlines()[1]


def test_the_doctor_finds_everything_well(airflow_stack: Stack) -> None:
    code, out, err = tradeloop(airflow_stack, "doctor", "--json", TRADELOOP_AIRFLOW_APPROVALS="edge")
    found = findings(out)
    wrong = [finding for part in found.values() for finding in part if not finding["is_well"]]
    assert (code, wrong, err) == (0, [], "")
    assert found.keys() == {
        "settings",
        "postgres",
        "kafka",
        "api",
        "airflow",
        "processes",
        "workflows",
        "models",
        "machine",
    }
    assert any("fast lane on" in finding["words"] for finding in found["airflow"])
    assert any("DAG tradeloop_approval is ready" in finding["words"] for finding in found["airflow"])


def test_the_doctor_says_what_is_wrong_with_airflow(airflow_stack: Stack) -> None:
    code, out, _ = tradeloop(airflow_stack, "doctor", "airflow", TRADELOOP_AIRFLOW_URL="http://127.0.0.1:9")
    assert code == 7
    assert "✗ airflow" in out
    code, out, _ = tradeloop(airflow_stack, "doctor", "airflow", TRADELOOP_AIRFLOW_PASSWORD="wrong")
    assert code != 0
    nobody = {"TRADELOOP_AIRFLOW_APPROVALS": "edge", "TRADELOOP_AIRFLOW_APPROVALS_DAG": "of_nobody"}
    code, out, _ = tradeloop(airflow_stack, "doctor", "airflow", **nobody)
    assert code == 6
    assert "DAG of_nobody is missing" in out
    assert "✗ airflow" in out
