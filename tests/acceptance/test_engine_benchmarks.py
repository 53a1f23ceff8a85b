"""The engine's benchmarks, as short as can be, on real servers; their figures say nothing here."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("decisions", "tradeloop, everything durable"),
        ("latency", "tradeloop, everything durable"),
        ("growth", "empty database"),
        ("workers", "1 x 4 slots, a node waits 50 ms"),
        ("gate --questions 5 --answers 90 --waiting 5", "kill -9 of everything"),
    ],
)
def test_a_benchmark_of_the_engine_runs_to_its_end(name: str, case: str) -> None:
    name, *words = name.split()
    argv = [sys.executable, "-m", "tradeloop", "bench", name, *words, "--quick"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=570, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["bench"] == name
    assert case in said["figures"][name]
    assert said["targets"]
    assert name != "gate" or all(target["met"] for target in said["targets"])
