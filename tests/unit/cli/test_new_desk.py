"""A new desk works as it was made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tradeloop.cli import build_app
from tradeloop.workflow import load_workflows


def made(folder: Path, name: str = "prices") -> Path:
    done = CliRunner().invoke(build_app(), ["new", "desk", name, "--in", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    return Path(json.loads(done.output)["folder"])


def test_the_tests_of_a_new_desk_pass(tmp_path: Path) -> None:
    root = made(tmp_path)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(root / "tests")],
        env=os.environ | {"PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_a_worker_finds_it_and_its_dag_file_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = made(tmp_path, "fx_rates")
    monkeypatch.syspath_prepend(str(root))

    found = load_workflows(["fx_rates_desk.desk:workflow"])["fx_rates.loaded"]

    assert (found.desk, len(found.allowed or ())) == ("fx_rates", 1)
    compile((root / "dags" / "fx_rates_dags.py").read_text(), "dags", "exec")


def test_a_folder_that_is_there_is_left_alone_and_a_wrong_name_is_refused(tmp_path: Path) -> None:
    made(tmp_path)
    runner = CliRunner()

    again = runner.invoke(build_app(), ["new", "desk", "prices", "--in", str(tmp_path)])
    wrong = runner.invoke(build_app(), ["new", "desk", "../etc", "--in", str(tmp_path)])

    assert "is there already" in str(again.exception)
    assert "is no name for a desk" in str(wrong.exception)
