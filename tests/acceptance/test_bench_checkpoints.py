"""`tradeloop bench checkpoints` as a user runs it; its figures are not looked at, only that they are there."""

from __future__ import annotations

import json
import subprocess
import sys

from tradeloop.bench.savers import CASES


def test_the_benchmark_measures_every_saver_on_a_server_of_its_own() -> None:
    command = [sys.executable, "-m", "tradeloop", "bench", "checkpoints", "--quick", "--only", "busy"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    found = json.loads(answer.stdout.splitlines()[-1])
    assert found["bench"] == "checkpoints"
    assert set(CASES) < set(found["figures"]["busy"])
    assert all(found["figures"]["busy"][case]["runs_per_s"] > 0 for case in CASES)
    assert len(found["targets"]) == 2
    assert any("fsync on, synchronous_commit on" in note for note in found["notes"]["busy"])


def test_a_leg_that_does_not_exist_is_told_from_those_that_do() -> None:
    command = [sys.executable, "-m", "tradeloop", "bench", "checkpoints", "--only", "loud"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 2
    assert "legs: quiet, busy" in answer.stderr
