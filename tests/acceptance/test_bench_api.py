"""`tradeloop bench api` as a user runs it; its times are not looked at, only that nothing failed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_bench_api_answers_every_request(tmp_path: Path) -> None:
    words = ["bench", "api", "--seconds", "1", "--rate", "40", "--steady-seconds", "1", "--steady-rate", "20", "--json"]
    found = subprocess.run(
        [sys.executable, "-m", "tradeloop", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout.splitlines()[-1])
    figures = told["figures"]["api"]
    assert told["bench"] == "api"
    assert (figures["all kinds at 40/s"]["sent"], figures["all kinds at 40/s"]["errors"]) == (40, 0)
    assert figures["trigger at 20/s"]["n"] == 10
    met = {target["target"]: target["met"] for target in told["targets"]}
    assert met["40 requests a second for 1 s with no error"] is True
    assert figures["first paint of /inbox"]["n"] == figures["answer of /runs"]["n"] == 3
    assert 0 < figures["weight of /desks"]["page_bytes"] <= 60_000
    assert 0 < figures["weight of /desks"]["static_bytes"] <= 120_000
