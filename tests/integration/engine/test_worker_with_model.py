"""`tradeloop worker` with a model: it is asked, its name ends on the decision, and what it used is counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from real_parts import event, make_topic, new_names, send, until

from tradeloop.bench.desks.answering import Answering
from tradeloop.bench.desks.settlement import BENCH
from tradeloop.desks.graph import NO_MODEL
from tradeloop.testing.model_server import model_server
from tradeloop.testing.random_model import write_random_model

WORKFLOWS = """
from dataclasses import replace
from tradeloop.desks.graph import workflow_of
from tradeloop.desks.shipped import desk_under

silent = replace(desk_under("settlement"), event_type="settlement.silent", action=lambda *_: None)
workflow = workflow_of(silent)
"""


async def open_case() -> dict[str, Any]:
    answering = Answering(BENCH.desk, None, Path("/nowhere"))
    for case in BENCH.cases(3, 200, "test", None):
        answered = await answering.answer(case)
        if answered.decision and NO_MODEL in answered.decision.reasons:
            return case.data
    raise AssertionError("no case is open")


async def test_a_worker_asks_its_model_and_counts_what_it_used(
    tmp_path: Path, kafka_bootstrap: str, database_url: str
) -> None:
    names = new_names(kafka_bootstrap)
    make_topic(kafka_bootstrap, names.events)
    (tmp_path / "workflows.py").write_text(WORKFLOWS)
    file = write_random_model(tmp_path / "random.gguf")

    def rows(sql: str) -> list[dict[str, Any]]:
        with psycopg.connect(database_url, options="-c search_path=tradeloop", row_factory=dict_row) as connection:
            return connection.execute(sql.encode()).fetchall()

    with model_server(file) as url:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRADELOOP_")},
            "TRADELOOP_HOME": str(tmp_path / "home"),
            "TRADELOOP_DATABASE_URL": database_url,
            "TRADELOOP_KAFKA_BOOTSTRAP": names.bootstrap,
            "TRADELOOP_AIRFLOW_URL": "http://127.0.0.1:9",
            "TRADELOOP_AIRFLOW_PASSWORD": "secret",
            "TRADELOOP_GROUP": names.group,
            "TRADELOOP_EVENTS_TOPIC": names.events,
            "TRADELOOP_DECISIONS_TOPIC": names.decisions,
            "TRADELOOP_DEAD_LETTERS_TOPIC": names.dead_letters,
            "TRADELOOP_WORKFLOWS": f"{tmp_path}/workflows.py:workflow",
            "TRADELOOP_MODEL": "openai:random",
            "TRADELOOP_MODEL_URL": url,
            "TRADELOOP_MODEL_PARAMS": "temperature=0.8,top_k=20",
            "TRADELOOP_MODEL_MAX_TOKENS": "4096",  # a rationale of any length that the schema has
            "TRADELOOP_MODEL_DAY_TOKENS": "1000000",
        }
        process = subprocess.Popen([sys.executable, "-m", "tradeloop", "worker"], env=environment, cwd=tmp_path)
        try:
            case = await open_case()
            await send(names.bootstrap, names.events, event("TRADE0001", "settlement.silent", **case))
            await until(lambda: rows("SELECT 1 FROM runs"), limit_s=90)
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0
        finally:
            process.kill()
            process.wait()
        shown = subprocess.run(
            [sys.executable, "-m", "tradeloop", "runs", "list", "--json"],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        (run,) = json.loads(shown.stdout)
        told = subprocess.run(
            [sys.executable, "-m", "tradeloop", "runs", "show", run["run_id"]],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        shadowed = subprocess.run(
            [sys.executable, "-m", "tradeloop", "shadow", "--since", "1h", "--model", "openai:random", "--json"],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    model = run["decision"]["model"]
    assert model["name"] == "openai:random"
    assert {"prompt_hash", "params", "tokens_in", "tokens_out", "confidence", "rationale"} <= set(model)
    assert f"model openai:random, {model['tokens_in']} + {model['tokens_out']} tokens" in told.stdout
    calls = rows("SELECT run_id, desk, tokens, settled_at FROM model_calls")
    assert len(calls) >= 3
    assert {(str(one["run_id"]), one["desk"], one["settled_at"] is None) for one in calls} == {
        (run["run_id"], "settlement", False)
    }
    (of_day,) = rows("SELECT tokens FROM model_days WHERE desk = ''")
    assert of_day["tokens"] == sum(one["tokens"] for one in calls)
    assert shadowed.returncode in (0, 6), shadowed.stderr
    assert len(rows("SELECT 1 FROM model_calls")) == len(calls)
