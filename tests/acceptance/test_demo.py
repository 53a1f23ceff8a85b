"""`make demo`, as a newcomer types it, in a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]


def test_make_demo_goes_all_the_way_round_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = os.environ | {
        "TRADELOOP_HOME": str(tmp_path / "home"),
        "TRADELOOP_REFERENCE_ROOT": str(tmp_path / "batches"),
        "TRADELOOP_POSTGRES_PORT": "0",
        "TRADELOOP_KAFKA_PORT": "0",
        "TRADELOOP_AIRFLOW_PORT": "0",
    }
    result = subprocess.run(
        ["make", "--no-print-directory", "demo", "ARGS=--desks --stop --json"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    *legs, end = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    assert end["round"] is True
    decided = {leg["batch"]: leg["outcome"] for leg in legs if leg["leg"] == "decision"}
    assert decided == {
        "A": "ACCEPT", "B": "REFETCH", "C": "ESCALATE", "reconciliation": "AUTO_RESOLVE",
        "limits": "REQUEST_APPROVAL", "settlement": "CHASE_COUNTERPARTY",
    }  # fmt: skip
    back = {leg["batch"]: (leg["dag"], leg["dag_runs"]) for leg in legs if leg["leg"] == "back"}
    assert back == {
        "A": ("publish_batch", 1), "B": ("refetch_batch", 1), "C": (None, 0), "reconciliation": ("post_adjustment", 1),
        "limits": ("limits_case", 1), "settlement": ("chase_counterparty", 1),
    }  # fmt: skip
    left = [
        p.info["cmdline"]
        for p in psutil.process_iter(["cmdline"])
        if str(tmp_path) in " ".join(p.info["cmdline"] or [])
    ]
    assert left == []
