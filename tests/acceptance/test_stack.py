"""`tradeloop up`, `down` and `status` as a user runs them, with PostgreSQL and Kafka alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer

from tradeloop.settings import Settings
from tradeloop.stack import Stack, addresses
from tradeloop.stack.processes import processes_of

Tradeloop = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of its own, in which nothing runs afterwards."""
    path = tmp_path / "home"
    yield path
    for process in processes_of(path):
        process.kill()


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    ours = {f"TRADELOOP_{name}_PORT": "0" for name in ("POSTGRES", "KAFKA", "AIRFLOW")}
    return {**os.environ, **ours, "TRADELOOP_HOME": str(home)}


@pytest.fixture
def tradeloop(environment: dict[str, str], tmp_path: Path) -> Tradeloop:
    """Runs the command line in a folder without `.env`."""

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tradeloop", *words],
            env=environment | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def wait_until(condition: Callable[[], object], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def status(tradeloop: Tradeloop) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tradeloop("status", "--json").stdout)
    return found | {"by_name": {part["name"]: part for part in found["parts"]}}


def kill_supervisor(tradeloop: Tradeloop) -> None:
    supervisor = psutil.Process(status(tradeloop)["owner_pid"])
    supervisor.kill()
    supervisor.wait(10)


def test_stack_goes_up_in_the_background_and_down_again(tradeloop: Tradeloop, home: Path) -> None:
    before = tradeloop("status")
    up = tradeloop("up", "--detach", "--only", "postgres,kafka")
    during = status(tradeloop)
    down = tradeloop("down")

    assert before.returncode == 3
    assert up.returncode == 0, up.stderr
    assert during["state"] == "up"
    assert {name: during["by_name"][name]["state"] for name in ("postgres", "kafka")} == {
        "postgres": "ready",
        "kafka": "ready",
    }
    assert down.returncode == 0
    assert processes_of(home) == []
    assert addresses(home) == {}


def test_second_start_says_that_one_runs_and_where(tradeloop: Tradeloop) -> None:
    tradeloop("up", "--detach", "--only", "postgres")
    pid = status(tradeloop)["owner_pid"]

    foreground = tradeloop("up", "--only", "postgres")
    background = tradeloop("up", "--detach", "--only", "postgres")

    tradeloop("down")
    assert [foreground.returncode, background.returncode] == [5, 5]
    assert "A stack runs here already" in foreground.stderr
    assert f"process {pid}" in foreground.stderr


def test_ctrl_c_stops_everything(environment: dict[str, str], home: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tradeloop", "up", "--only", "postgres,kafka"],
        env=environment,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: addresses(home), within_s=60)

    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "PostgreSQL stopped" in said
    assert processes_of(home) == []


def test_down_finds_what_a_killed_supervisor_left(tradeloop: Tradeloop, home: Path) -> None:
    tradeloop("up", "--detach", "--only", "postgres,kafka")
    kill_supervisor(tradeloop)
    abandoned = status(tradeloop)

    down = tradeloop("down")

    assert abandoned["state"] == "abandoned"
    assert abandoned["by_name"]["kafka"]["state"] == "left"
    assert "processes that were left were ended" in down.stderr
    assert processes_of(home) == []


def test_next_start_after_a_killed_supervisor_goes_on_with_the_data(tradeloop: Tradeloop, home: Path) -> None:
    tradeloop("up", "--detach", "--only", "postgres")
    with psycopg.connect(addresses(home)["database_url"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    kill_supervisor(tradeloop)

    up = tradeloop("up", "--detach", "--only", "postgres")

    with psycopg.connect(addresses(home)["database_url"]) as connection:
        row = connection.execute("SELECT answer FROM kept").fetchone()
    tradeloop("down")
    assert up.returncode == 0, up.stderr
    assert row == (42,)
    assert processes_of(home) == []


def test_processes_of_another_home_are_left_alone(tradeloop: Tradeloop, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    tradeloop("up", "--detach", "--only", "postgres", TRADELOOP_HOME=other)
    tradeloop("up", "--detach", "--only", "postgres")

    tradeloop("down")

    assert status(lambda *words: tradeloop(*words, TRADELOOP_HOME=other))["state"] == "up"
    tradeloop("down", TRADELOOP_HOME=other)


def test_part_that_dies_is_started_again_counted_and_told_to_who_watches(
    tradeloop: Tradeloop, environment: dict[str, str], tmp_path: Path
) -> None:
    tradeloop("up", "--detach", "--only", "postgres")
    first = status(tradeloop)["by_name"]["postgres"]
    words = [sys.executable, "-m", "tradeloop", "status", "--watch", "--json"]
    watching = subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["state"] == "up"
    os.kill(first["pid"], signal.SIGKILL)

    def has_returned() -> bool:
        part = status(tradeloop)["by_name"]["postgres"]
        return part["restarts"] == 1 and part["state"] == "ready"

    wait_until(has_returned, within_s=60)

    second = status(tradeloop)["by_name"]["postgres"]
    tradeloop("down")
    assert second["pid"] != first["pid"]
    assert second["port"] == first["port"]
    told = []
    while not told or (told[-1]["name"], told[-1]["state"]) != ("stack", "down"):
        told.append(json.loads(watching.stdout.readline()))
    watching.send_signal(signal.SIGINT)
    watching.stdout.close()
    assert watching.wait(20) == 130
    assert ("postgres", "ready", second["pid"]) in [(line["name"], line["state"], line["pid"]) for line in told]


def test_part_that_cannot_start_names_its_log_and_leaves_nothing(tradeloop: Tradeloop, home: Path) -> None:
    tradeloop("up", "--detach", "--only", "postgres")
    tradeloop("down")
    (home / "postgres" / "PG_VERSION").write_text("9.6\n")

    for up in (tradeloop("up", "--only", "postgres"), tradeloop("up", "--detach", "--only", "postgres")):
        assert up.returncode == 1
        assert f"error: PostgreSQL 18 ended with code 1 before it was ready.\n  {home}/logs/postgres.log" in up.stderr
        assert "9.6" in up.stderr
    assert processes_of(home) == []


def test_taken_port_stays_with_its_owner(tradeloop: Tradeloop, home: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]

        up = tradeloop("up", "--detach", "--only", "postgres", TRADELOOP_POSTGRES_PORT=str(taken))

        port = status(tradeloop)["by_name"]["postgres"]["port"]
        tradeloop("down")
    again = tradeloop("up", "--detach", "--only", "postgres", TRADELOOP_POSTGRES_PORT=str(taken))
    port_again = status(tradeloop)["by_name"]["postgres"]["port"]
    tradeloop("down")
    assert f"port {taken} is used by process {os.getpid()}" in up.stderr
    assert port != taken
    assert again.returncode == 0
    assert port_again == port, "the port of last time is kept while it is free"


def test_unknown_part_is_named_with_the_known_ones(tradeloop: Tradeloop) -> None:
    result = tradeloop("up", "--only", "postgres,redis")

    assert result.returncode == 2
    assert "there is no part 'redis'" in result.stderr
    assert "scheduler" in result.stderr


def test_wipe_removes_the_data_and_only_that(tradeloop: Tradeloop, home: Path) -> None:
    tradeloop("up", "--detach", "--only", "postgres")
    (home / "note.txt").write_text("mine")

    tradeloop("down", "--wipe")

    assert [path.name for path in home.iterdir()] == ["note.txt"]


def test_what_a_home_holds_is_its_owners_alone(tradeloop: Tradeloop, home: Path) -> None:
    tradeloop("up", "--detach", "--only", "postgres,kafka")
    files = [home, *home.iterdir(), *(home / "logs").iterdir()]
    open_to_others = [path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o77]
    tradeloop("down")

    assert open_to_others == []


def test_no_password_is_printed_recorded_or_logged(tradeloop: Tradeloop, home: Path) -> None:
    up = tradeloop("up", "--detach", "--only", "postgres,kafka")
    shown = tradeloop("status", "--json")
    written = [path.read_text() for path in [home / "stack.json", *(home / "logs").iterdir()]]
    tradeloop("down")

    secrets = [value for name, value in json.loads((home / "secrets.json").read_text()).items() if "kafka" not in name]
    everything = "".join([up.stdout, up.stderr, shown.stdout, *written])
    assert len(secrets) == 8
    assert [secret for secret in secrets if secret in everything] == []


def test_program_that_runs_a_stack_itself_is_not_ended_by_down(tradeloop: Tradeloop, home: Path) -> None:
    with Stack(own_settings(home), parts=["postgres"]) as stack:
        down = tradeloop("down")

        assert down.returncode == 5
        assert str(os.getpid()) in down.stderr
        assert stack.part("postgres").state == "ready"


def test_postgresql_of_the_settings_is_used_and_none_is_started(home: Path, tmp_path: Path) -> None:
    with Stack(own_settings(home), parts=["postgres"]) as first:
        settings = own_settings(tmp_path / "second", database_url=first.addresses["database_url"])
        with Stack(settings, parts=["postgres", "kafka"]) as second:
            assert second.part("postgres").pid == 0
            assert second.part("postgres").label == "your PostgreSQL"
            assert second.settings.database_url == first.addresses["database_url"]
            assert first.part("postgres").state == "ready"


def test_kafka_keeps_its_records_when_its_port_changes(home: Path) -> None:
    topic, settings = f"kept-{uuid4().hex[:8]}", own_settings(home)
    with Stack(settings, parts=["kafka"]) as stack:
        from tradeloop.kafka.topics import create_topics

        create_topics(stack.addresses["kafka_bootstrap"], settings.model_copy(update={"events_topic": topic}))
        producer = Producer({"bootstrap.servers": stack.addresses["kafka_bootstrap"]})
        producer.produce(topic, b"kept", partition=0)
        assert producer.flush(20) == 0
        before = stack.part("kafka").port
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", before))
        server.listen()
        with Stack(settings, parts=["kafka"]) as stack:
            after = stack.part("kafka").port
            consumer = Consumer(
                {
                    "bootstrap.servers": stack.addresses["kafka_bootstrap"],
                    "group.id": "reader",
                    "auto.offset.reset": "earliest",
                }
            )
            consumer.subscribe([topic])
            message = consumer.poll(30)
            consumer.close()
    assert after != before
    assert message is not None
    assert message.value() == b"kept"


def test_part_that_is_frozen_is_ended_all_the_same(home: Path) -> None:
    with Stack(own_settings(home), parts=["kafka"]) as stack:
        stack.signal("kafka", signal.SIGSTOP)
        kafka = psutil.Process(stack.part("kafka").pid)
        wait_until(lambda: kafka.status() == psutil.STATUS_STOPPED, within_s=10)

    assert processes_of(home) == []


def own_settings(home: Path, **fields: Any) -> Settings:
    return Settings(home=home, postgres_port=0, kafka_port=0, airflow_port=0, api_port=0, _env_file=None, **fields)
