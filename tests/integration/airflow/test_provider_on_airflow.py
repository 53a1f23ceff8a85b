"""What Airflow itself makes of the provider: its commands, the connection's form and test, the links."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from capture import run_dag

from asking_service import Service, serving
from people_of_airflow import signed_in, ui
from tradeloop.airflow.client import AirflowClient

if TYPE_CHECKING:
    from tradeloop.stack import Stack


COMMANDS = """
import sys
from airflow.cli.cli_parser import get_parser
for words in ("providers get tradeloop", "providers hooks", "providers links", "plugins"):
    print("##", words)
    arguments = get_parser().parse_args([*words.split(), "-o", "json"])
    arguments.func(arguments)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What Airflow's own commands print; in one process, because Airflow's imports take ten seconds in each."""
    home = str(tmp_path_factory.mktemp("airflow-commands"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMMANDS],
        env={**os.environ, "AIRFLOW_HOME": home},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    parts = [part.partition("\n") for part in done.stdout.split("## ")[1:]]
    return {words: json.loads(text[text.index("[") :]) for words, _, text in parts}


def test_airflow_lists_the_provider_with_its_hook_and_links(said: dict[str, list[Any]]) -> None:
    (provider,) = said["providers get tradeloop"]
    (hook,) = [one for one in said["providers hooks"] if one["connection_type"] == "tradeloop"]
    links = {one["extra_link_class_name"] for one in said["providers links"]}

    assert provider["Provider"] == "tradeloop"
    assert hook["class"] == "tradeloop.airflow.hooks.TradeloopHook"
    assert (hook["conn_id_attribute_name"], hook["hook_name"]) == ("tradeloop_conn_id", "tradeloop")
    assert {f"tradeloop.airflow.links.{name}" for name in ("RunLink", "DecisionLink", "ApprovalLink")} <= links


def test_airflow_lists_the_plugin(said: dict[str, list[Any]]) -> None:
    (plugin,) = [one for one in said["plugins"] if one["name"] == "tradeloop"]

    assert "TaskLink" in str(plugin)


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as service:
        yield service


async def test_the_form_has_our_fields_and_its_button_works(airflow_stack: Stack, service: Service) -> None:
    connection = {"connection_id": "asks", "conn_type": "tradeloop", "host": service.url, "password": "tl-key"}
    forms = await ui(airflow_stack, "admin", "/connections/hook_meta")
    async with signed_in(airflow_stack, "admin") as airflow:
        well = await airflow.post("/connections/test", connection)
        service.me = (401, {"title": "Unauthenticated", "detail": "no such key"})
        wrong = await airflow.post("/connections/test", connection)
        away = await airflow.post("/connections/test", {**connection, "host": "http://127.0.0.1:9"})

    (form,) = [one for one in forms if one["connection_type"] == "tradeloop"]
    assert set(form["extra_fields"]) == {"web_url", "timeout_s", "ca_file"}
    assert form["standard_fields"]["password"]["title"] == "API key"
    assert form["standard_fields"]["login"]["hidden"] is True
    assert well == {"status": True, "message": f"tradeloop at {service.url} answers; signed in as 'etl' (service)"}
    assert wrong["status"] is False
    assert "no such key" in wrong["message"]
    assert away["status"] is False
    assert "did not answer" in away["message"]


async def test_a_task_that_emits_is_linked_and_others_are_not(airflow: AirflowClient, airflow_stack: Stack) -> None:
    run_id = await run_dag(airflow, "edge_events")
    path = f"/dags/edge_events/dagRuns/{run_id}/taskInstances"

    mapped = await airflow.get(f"{path}/mapped/links", map_index=2)
    classic = await airflow.get(f"{path}/classic/links")

    assert mapped["extra_links"]["Decisions in tradeloop"] == (
        f"{airflow_stack.addresses['api_url']}/airflow/task?dag_id=edge_events&run_id={run_id}&task_id=mapped&map_index=2"
    )
    assert classic["extra_links"]["Decisions in tradeloop"].endswith("task_id=classic&map_index=-1")
