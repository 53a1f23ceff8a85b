"""Real servers for the tests: started once a session by tradeloop's own stack, on free ports, ended with it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any  # Any: a logger of xdist's
from uuid import uuid4

import psycopg
import pytest

from sharing import Sharing, order
from tradeloop.settings import Settings
from tradeloop.store.database import Database
from tradeloop.store.migrations import migrate

# A shell that started us in the background ignores Ctrl-C, and so would every command that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:
    from tradeloop.stack import Stack

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
ROOT = Path(__file__).parents[1]
EDGE = Path(__file__).parent / "integration" / "airflow"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing:
    """How `make test WORKERS=2` shares the tests between two workers."""
    return Sharing(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Airflow's users come last: once started it keeps half a core busy, whatever the other tests do.

    Of two workers, see `sharing`, one has them while the other computes.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: order(item.nodeid.partition("::")[0]))
    else:
        items.sort(key=_needs_airflow)


def _needs_airflow(item: pytest.Item) -> bool:
    parameters = getattr(item, "callspec", None)
    chosen = parameters.params.values() if parameters else ()
    asks = any(isinstance(one, str) and one == "airflow" for one in chosen)  # of the conformance suites
    return asks or "airflow_stack" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real test inputs, which live beside the project and not in it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real test inputs are absent: no folder {SHARED_DATA.name} beside the project")
    return SHARED_DATA


@pytest.fixture(scope="session")
def servers_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """PostgreSQL and Kafka as a stack, for tests that stop and continue them."""
    from tradeloop.stack import Stack

    settings = Settings(home=tmp_path_factory.mktemp("servers"), postgres_port=0, kafka_port=0, _env_file=None)
    with Stack(settings, parts=["postgres", "kafka"]) as stack:
        yield stack


@pytest.fixture(scope="session")
def servers(servers_stack: Stack) -> dict[str, str]:
    """PostgreSQL and Kafka; the settings fields that name them."""
    from tradeloop.stack.credentials import load_credentials
    from tradeloop.stack.databases import url

    port = servers_stack.part("postgres").port
    administrator = url("postgres", load_credentials(servers_stack.home).postgres_password, port, "postgres")
    return {**servers_stack.addresses, "administrator_url": administrator}


@pytest.fixture(scope="session")
def kafka_bootstrap(servers: dict[str, str]) -> str:
    """Address of a real broker."""
    return servers["kafka_bootstrap"]


@pytest.fixture(scope="session")
def template(servers: dict[str, str]) -> dict[str, str]:
    """A migrated database that tests copy."""
    migrate(servers["database_url"])
    return servers


@pytest.fixture
def database_url(template: dict[str, str]) -> Iterator[str]:
    """A migrated, empty database of this test's own."""
    base, _, origin = template["database_url"].rpartition("/")
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(template["administrator_url"], autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{origin}" OWNER tradeloop'.encode())
    yield f"{base}/{name}"
    with psycopg.connect(template["administrator_url"], autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open connection pool to `database_url`."""
    async with Database(database_url, size=4) as opened:
        yield opened


@pytest.fixture(scope="session")
def airflow_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack: Airflow with the DAGs of `integration/airflow/dags`, relay and worker. Starts in about 25 s.

    Shared by the session: whoever stops or changes a part brings it back. Own DAGs go into `settings.dags_folder`.
    """
    from tradeloop.stack import Stack

    folder = tmp_path_factory.mktemp("airflow")
    shutil.copytree(EDGE / "dags", folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    settings = Settings(
        home=folder / "home",
        dags_folder=folder / "dags",
        reference_root=folder / "batches",
        instance="tests",
        postgres_port=0,
        kafka_port=0,
        airflow_port=0,
        api_port=0,
        airflow_triggerer=True,
        workflows=[f"{ROOT / 'examples' / 'hello_desk.py'}:workflow", f"{EDGE / 'asked_desk.py'}:workflow"],
        gate_policy=EDGE / "gate_policy.yaml",
        airflow_approvals=["edge"],
        sweep_interval_s=0.5,
        _env_file=None,
    )
    environment = {
        "AIRFLOW__TRADELOOP__TRACE_FILE": str(folder / "hook.jsonl"),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,tradeloop:op,anna.k:user,ben.o:user,system:user",
    }
    with Stack(settings, airflow_environment=environment) as stack:
        yield stack
