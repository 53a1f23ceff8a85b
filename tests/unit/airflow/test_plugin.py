"""The stub that every process of Airflow imports, what it tells Airflow, and the wake-up."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from outlets import attach, context_of

from tradeloop.airflow import event, get_provider_info
from tradeloop.airflow.plugin import TradeloopPlugin
from tradeloop.airflow.wake import listen

HOOKS: Any = TradeloopPlugin.listeners[0]


@pytest.fixture
def wake_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free UDP port, given to Airflow's configuration."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    monkeypatch.setenv("AIRFLOW__TRADELOOP__WAKE_PORT", str(port))
    return port


def test_the_stub_loads_nothing_of_ours_but_itself_and_the_outlet() -> None:
    # Airflow itself has loaded the provider by then: it reads every provider's description for its configuration.
    look = (
        "import sys; from airflow.plugins_manager import AirflowPlugin; before = set(sys.modules);"
        "import tradeloop.airflow.plugin;"
        "new = set(sys.modules) - before;"
        "print(*sorted({n.partition('.')[0] for n in new} - set(sys.stdlib_module_names) - {'airflow', 'pluggy'}));"
        "print(*sorted(n for n in sys.modules if n.startswith('tradeloop')))"
    )

    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout

    assert said.splitlines()[-2:] == [
        "tradeloop",
        "tradeloop tradeloop.airflow tradeloop.airflow.outlet tradeloop.airflow.plugin",
    ]


def test_airflow_finds_the_plugin_and_the_provider_by_entry_points() -> None:
    (plugin,) = entry_points(group="airflow.plugins", name="tradeloop")
    (provider,) = [e for e in entry_points(group="apache_airflow_provider") if e.value.startswith("tradeloop.")]

    assert plugin.load() is TradeloopPlugin
    assert provider.load() is get_provider_info


def test_the_provider_info_fits_airflows_schema() -> None:
    import airflow

    schema = Path(airflow.__path__[0], "provider_info.schema.json")

    jsonschema.validate(get_provider_info(), json.loads(schema.read_text()))


def test_every_option_that_is_read_is_described() -> None:
    options = get_provider_info()["config"]["tradeloop"]["options"]

    assert set(options) >= {"enabled", "instance", "environment", "kafka_bootstrap", "events_topic", "wake_port"}


@pytest.mark.parametrize("hook", ["on_dag_run_running", "on_dag_run_success", "on_dag_run_failed"])
async def test_each_hook_of_the_scheduler_wakes_the_relay(hook: str, wake_port: int) -> None:
    wake = asyncio.Event()

    async with listen(wake_port, wake):
        getattr(HOOKS, hook)(dag_run=None, msg="")
        await asyncio.wait_for(wake.wait(), 5)


async def test_many_wake_ups_are_one(wake_port: int) -> None:
    wake = asyncio.Event()

    async with listen(wake_port, wake):
        for _ in range(100):
            HOOKS.on_dag_run_success(dag_run=None, msg="")
        await asyncio.wait_for(wake.wait(), 5)
        await asyncio.sleep(0)

    assert wake.is_set()


def test_a_hook_leaves_no_socket_open_where_nobody_listens(wake_port: int) -> None:
    before = descriptors()

    for _ in range(5):
        HOOKS.on_dag_run_running(dag_run=None, msg="")

    assert descriptors() == before


@pytest.mark.parametrize("port", ["0", "", "no number", "70000"])
def test_a_port_that_is_none_makes_no_hook_fail(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__TRADELOOP__WAKE_PORT", port)

    HOOKS.on_dag_run_failed(dag_run=None, msg="")


def test_the_pages_are_views_of_the_menu_and_of_a_dag_run_where_an_address_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert TradeloopPlugin().external_views == []
    monkeypatch.setenv("AIRFLOW__TRADELOOP__WEB_URL", "javascript:alert(1)")
    assert TradeloopPlugin().external_views == []
    monkeypatch.setenv("AIRFLOW__TRADELOOP__WEB_URL", "https://tradeloop.example.com/")
    menu, run = TradeloopPlugin().external_views
    assert (menu["destination"], menu["href"]) == ("nav", "https://tradeloop.example.com/inbox?frame=1")
    assert run["destination"] == "dag_run"
    assert run["href"] == ("https://tradeloop.example.com/airflow/run?dag_id={DAG_ID}&run_id={RUN_ID}&frame=1")
    assert menu["url_route"] != run["url_route"]


def descriptors() -> list[str]:
    return sorted(p.name for p in Path("/proc/self/fd").iterdir())


def test_an_asset_of_others_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tradeloop.airflow.listener", raising=False)

    HOOKS.on_asset_event_emitted(SimpleNamespace(asset=SimpleNamespace(name="s3://bucket")))

    assert "tradeloop.airflow.listener" not in sys.modules


def asset_event(event_type: str, *, task_id: str | None = "publish") -> SimpleNamespace:
    """What Airflow hands to the listener for a task that emitted one event."""
    context = context_of(event_type)
    attach(context, event_type, {"rows": 22})
    asset = event(event_type)
    return SimpleNamespace(asset=asset, extra=context["outlet_events"][asset].extra, source_task_id=task_id)


@pytest.mark.parametrize("bootstrap", ["", "127.0.0.1:1", "no address at all"])
def test_no_state_of_kafka_makes_the_hook_fail_or_wait(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tradeloop.airflow import options
    from tradeloop.kafka import fastlane

    monkeypatch.setenv("AIRFLOW__TRADELOOP__KAFKA_BOOTSTRAP", bootstrap)
    monkeypatch.setattr(fastlane, "_lanes", {})
    monkeypatch.setattr(fastlane, "FLUSH_S", 0.0)
    options.option.cache_clear()

    HOOKS.on_asset_event_emitted(asset_event("prices.loaded"))
    HOOKS.on_asset_event_emitted(asset_event("prices.loaded", task_id=None))
    HOOKS.on_asset_event_emitted(SimpleNamespace(asset=event("prices.loaded"), extra=[1, 2], source_task_id="t"))

    offered = [lane.offered for lane in fastlane._lanes.values()]
    for lane in fastlane._lanes.values():
        lane.close()
    options.option.cache_clear()
    assert offered == ([1] if bootstrap else [])
