"""The audit's benchmark, as short as can be, on a real PostgreSQL; every change is found there, too."""

from __future__ import annotations

import json
import subprocess
import sys


def test_the_benchmark_of_the_audit_finds_every_change() -> None:
    argv = [sys.executable, "-m", "tradeloop", "bench", "audit", "--changes", "64", "--records", "1000", "--pairs", "0"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["bench"] == "audit"
    assert said["targets"][0] == {"leg": "audit", "target": "64 of 64 changes found", "met": True}
    assert "1,000 records" in said["figures"]["audit"]
