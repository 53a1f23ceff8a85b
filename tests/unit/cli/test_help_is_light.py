"""The help of every command is there, has an example, and imports nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("airflow", "confluent_kafka", "fastapi", "httpx", "langgraph", "numpy", "psycopg")

ASK_EVERY_COMMAND = """
import json, sys
from typer.main import get_command
from click.testing import CliRunner
from tradeloop.cli import build_app

def walk(command, path):
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, [*path, name])

root, helps = get_command(build_app()), {}
for path, command in walk(root, []):
    answer = CliRunner().invoke(root, [*path, "--help"])
    helps[" ".join(path)] = [answer.exit_code, answer.output, bool(getattr(command, "commands", {}))]
print(json.dumps({"helps": helps, "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def asked() -> dict[str, object]:
    answer = subprocess.run(
        [sys.executable, "-c", ASK_EVERY_COMMAND], capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, object] = json.loads(answer.stdout)
    return found


def test_every_command_explains_itself(asked: dict[str, dict[str, tuple[int, str, bool]]]) -> None:
    assert {"worker", "relay", "runs list", "runs show", "db migrate", "topics create", "dlq replay"} <= set(
        asked["helps"]
    )
    for name, (code, text, is_group) in asked["helps"].items():
        assert (code, "Usage:" in text) == (0, True), name
        assert is_group or ("Example" in text and "Exit codes:" in text), name


def test_no_help_imports_anything_heavy(asked: dict[str, list[str]]) -> None:
    loaded = {name.partition(".")[0] for name in asked["modules"]}
    assert loaded & set(HEAVY) == set()


def test_the_help_of_the_program_imports_nothing_heavy() -> None:
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tradeloop", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in answer.stderr.splitlines()}
    assert "tradeloop" in loaded
    assert loaded & set(HEAVY) == set()
