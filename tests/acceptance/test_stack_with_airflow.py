"""The whole stack with Airflow: nothing listens beyond loopback, nobody signs in without a name, nothing is left."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tradeloop.settings import Settings
from tradeloop.stack import Stack
from tradeloop.stack.airflow_home import current_head, passwords_file
from tradeloop.stack.databases import stored_head
from tradeloop.stack.processes import processes_of

SLEEPER = """
from airflow.sdk import dag, task

@dag(schedule=None)
def sleeper():
    @task.bash
    def sleep_long():
        return "exec sleep 86413"
    sleep_long()

sleeper()
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Every part there is, the triggerer too."""
    folder = tmp_path_factory.mktemp("stack")
    (folder / "dags").mkdir()
    (folder / "dags" / "sleeper.py").write_text(SLEEPER)
    settings = Settings(
        home=folder / "home",
        dags_folder=folder / "dags",
        airflow_triggerer=True,
        postgres_port=0,
        kafka_port=0,
        airflow_port=0,
        api_port=0,
        _env_file=None,
    )
    with Stack(settings, airflow_environment={"STACK_TEST": "first"}) as started:
        yield started


def wait_for(look: Callable[[], Any], within_s: float) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)
    return found


def sign_in(stack: Stack, name: str, password: str) -> httpx.Client:
    url = stack.addresses["airflow_url"]
    answer = httpx.post(f"{url}/auth/token", json={"username": name, "password": password})
    assert answer.status_code == 201, answer.text
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {answer.json()['access_token']}"}, timeout=30)


@pytest.fixture
def airflow(stack: Stack) -> Iterator[httpx.Client]:
    with sign_in(stack, stack.addresses["airflow_username"], stack.addresses["airflow_password"]) as client:
        yield client


def connections_of(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("inet"))
    except psutil.NoSuchProcess:  # Airflow's short-lived children come and go
        return []


def test_every_socket_of_the_stack_is_on_loopback(stack: Stack) -> None:
    listening: dict[tuple[str, int], str] = {}
    for process in processes_of(stack.home.root):
        for connection in connections_of(process):
            is_udp_server = connection.type.name == "SOCK_DGRAM" and not connection.raddr
            if connection.status == psutil.CONN_LISTEN or is_udp_server:
                listening[connection.laddr.ip, connection.laddr.port] = process.name()

    ports = {port for _, port in listening}
    assert {stack.part(name).port for name in ("postgres", "kafka", "api-server")} <= ports
    assert int(stack.addresses["wake_port"]) in ports
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1"}, listening


def test_each_part_leads_a_session_of_its_own(stack: Stack) -> None:
    pids = [part.pid for part in stack.record.parts.values() if part.pid]

    assert {"postgres", "kafka", "api-server", "relay", "worker", "api"} <= set(stack.record.parts)
    assert [os.getsid(pid) for pid in pids] == pids
    assert [os.getpgid(pid) for pid in pids] == pids


def test_airflow_knows_named_users_only(stack: Stack) -> None:
    url = stack.addresses["airflow_url"]

    assert httpx.get(f"{url}/auth/token").status_code in (401, 403)
    assert httpx.post(f"{url}/auth/token", json={"username": "admin", "password": "admin"}).status_code == 401
    assert httpx.get(f"{url}/api/v2/dags").status_code == 401


def test_administrator_signs_in_with_the_password_from_the_file(stack: Stack) -> None:
    import json

    file = passwords_file(stack.home)
    with sign_in(stack, "admin", json.loads(file.read_text())["admin"]) as client:
        assert client.get("/api/v2/config").status_code in (200, 403)
        assert client.get("/api/v2/connections").status_code == 200
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_service_account_may_trigger_and_not_administer(airflow: httpx.Client) -> None:
    assert airflow.get("/api/v2/assets/events").status_code == 200
    assert airflow.get("/api/v2/eventLogs").status_code == 200
    assert airflow.post("/api/v2/dags/none/dagRuns", json={"logical_date": None}).status_code == 404


def test_migrated_head_is_the_installed_airflows(stack: Stack) -> None:
    assert current_head() == stored_head(stack.airflow_database_url)


def test_database_accounts_cannot_enter_each_others(stack: Stack) -> None:
    import psycopg

    foreign = stack.airflow_database_url.rpartition("/")[0] + "/tradeloop"
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(foreign)


def test_restarted_part_has_the_new_environment(stack: Stack) -> None:
    before = psutil.Process(stack.part("api-server").pid).environ()["STACK_TEST"]

    stack.restart("api-server", environment={"STACK_TEST": "second"})

    after = psutil.Process(stack.part("api-server").pid).environ()["STACK_TEST"]
    assert [before, after] == ["first", "second"]
    assert httpx.get(f"{stack.addresses['airflow_url']}/api/v2/version").status_code == 200


def test_stop_ends_tasks_too_and_those_that_a_killed_scheduler_left(stack: Stack, airflow: httpx.Client) -> None:
    wait_for(lambda: airflow.get("/api/v2/dags/sleeper").status_code == 200, within_s=60)
    airflow.post("/api/v2/dags/sleeper/dagRuns", json={"logical_date": None}).raise_for_status()
    task = wait_for(lambda: find_sleeper(stack.home.root), within_s=60)
    stack.signal("scheduler", signal.SIGKILL, whole_group=False)

    stack.stop()

    assert not task.is_running() or task.status() == psutil.STATUS_ZOMBIE
    assert processes_of(stack.home.root) == []


def find_sleeper(home: Path) -> Any:
    for process in processes_of(home):
        with suppress(psutil.NoSuchProcess):  # it ended while we looked
            if "86413" in process.cmdline():
                return process
    return None
