"""Airflow's stock Kafka event plugin: installed beside everything, and switched on by variables alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tradeloop.errors import PrerequisiteMissing

LOCK: Final = Path(__file__).parents[3] / "benchmarks" / "kafka-provider.txt"
TOPIC: Final = "airflow.events"
"""The plugin's default; it must exist, or the plugin publishes nothing."""


def install(folder: Path) -> Path:
    """Install the pinned provider into a folder of its own; its other needs are those of Airflow and ours.

    Raises:
        PrerequisiteMissing: the lock is not there, or the package cannot be had.
    """
    if not LOCK.exists():
        raise PrerequisiteMissing(f"{LOCK} is not there: the stock plugin is measured from a checkout alone.")
    done = subprocess.run(
        [
            *_installer(),
            "install",
            "--quiet",
            "--target",
            str(folder),
            "--no-deps",
            "--require-hashes",
            "-r",
            str(LOCK),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PrerequisiteMissing("the stock Kafka provider could not be installed.", where=done.stderr.strip()[-500:])
    return folder


def switched_on(folder: Path, bootstrap: str) -> Mapping[str, str]:
    """Variables for Airflow's parts: the plugin announces task instances, and tradeloop's fast lane is off.

    The events of DAG runs, which block the scheduler as well, stay off: the plugin is shown at its best.
    """
    connection = {"conn_type": "kafka", "extra": {"bootstrap.servers": bootstrap}}
    return {
        "PYTHONPATH": str(folder),
        "AIRFLOW_CONN_KAFKA_DEFAULT": json.dumps(connection),
        "AIRFLOW__KAFKA_EVENT_PRODUCER__TASK_INSTANCE_EVENTS_ENABLED": "True",
        "AIRFLOW__KAFKA_EVENT_PRODUCER__TOPIC": TOPIC,
        "AIRFLOW__TRADELOOP__ENABLED": "False",
    }


def _installer() -> list[str]:
    if find_spec("uv") is not None:
        return [sys.executable, "-m", "uv", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "pip"]
    return [sys.executable, "-m", "pip"]
