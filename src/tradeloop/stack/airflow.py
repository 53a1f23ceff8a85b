"""Airflow's parts, each a process of its own: API server, scheduler, DAG processor, triggerer."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import httpx

from tradeloop.errors import AirflowUnreachable, PrerequisiteMissing
from tradeloop.settings import Settings
from tradeloop.stack.airflow_home import ADMINISTRATOR, SERVICE_ACCOUNT, airflow_home, migrate, passwords_file
from tradeloop.stack.part import Context, Part
from tradeloop.stack.ports import LOOPBACK
from tradeloop.stack.processes import Child, listens, python_environment

COMMANDS: dict[str, list[str]] = {
    "api-server": ["api-server"],
    # Without the option it serves task logs on every interface (port 8793; the triggerer 8794).
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
HEARTBEATS = {
    "scheduler": "latest_scheduler_heartbeat",
    "dag-processor": "latest_dag_processor_heartbeat",
    "triggerer": "latest_triggerer_heartbeat",
}


def parts(context: Context, names: list[str]) -> list[Part]:
    """The named parts of Airflow and the migration before them."""
    if find_spec("airflow") is None:
        raise PrerequisiteMissing("Apache Airflow is not installed.", hint="pip install 'tradeloop[stack]'")
    port = context.ports.choose("airflow", context.settings.airflow_port)
    if "api-server" in names:
        context.addresses["airflow_url"] = f"http://{LOOPBACK}:{port}"
        context.addresses["airflow_username"] = SERVICE_ACCOUNT
        context.addresses["airflow_password"] = context.credentials.airflow_service_password

    def variables() -> dict[str, str]:
        return environment(context, port)

    return [
        Part("airflow-database", "Airflow's tables", ("postgres",), prepare=lambda: migrate(context, variables())),
        *(_part(name, port, "api-server" in names, variables) for name in names),
    ]


def _part(name: str, port: int, with_api: bool, variables: Callable[[], dict[str, str]]) -> Part:
    def ready(child: Child) -> str | None:
        health = _health(port) if with_api else None
        if name == "api-server":
            return f":{port}" if health and listens(child.pid, port) else None
        if not with_api:
            # Nothing else tells: it stands if it has not fallen while it was importing.
            return "runs" if child.age_s() > 10 else None
        beat = (health or {}).get(name.replace("-", "_"), {}).get(HEARTBEATS[name])
        return "" if beat and datetime.fromisoformat(beat).timestamp() > child.created_at else None

    return Part(
        name=name,
        label=f"Airflow {version('apache-airflow-core')} {name}",
        needs=("airflow-database",),
        command=lambda: [sys.executable, "-m", "airflow", *COMMANDS[name]],
        environment=variables,
        ready=ready,
        port=port if name == "api-server" else 0,
        ready_within_s=120.0,
    )


def environment(context: Context, port: int) -> dict[str, str]:
    """Every variable that Airflow's parts run with."""
    settings, keys = context.settings, context.credentials
    url = f"http://{LOOPBACK}:{port}"
    folder = airflow_home(context.home)
    given = {
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_FOLDER": str(settings.dags_folder.expanduser().resolve()),
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__ALLOWED_DESERIALIZATION_CLASSES": "airflow.* tradeloop.*",
        "CORE__XCOM_BACKEND": "tradeloop.airflow.xcom.ExactXCom",
        "CORE__FERNET_KEY": keys.airflow_fernet_key,
        "CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMINISTRATOR}:admin,{SERVICE_ACCOUNT}:op",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_file(context.home)),
        "DATABASE__SQL_ALCHEMY_CONN": _sqlalchemy(context.address("airflow_database_url")),
        "API__HOST": LOOPBACK,
        "API__PORT": str(port),
        "API__WORKERS": "1",
        "API__BASE_URL": url,
        "API__SECRET_KEY": keys.airflow_api_secret,
        "API_AUTH__JWT_SECRET": keys.airflow_jwt_secret,
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "2",
        "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
        "LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "TRADELOOP__INSTANCE": settings.instance,
        "TRADELOOP__ENVIRONMENT": settings.environment,
        "TRADELOOP__KAFKA_BOOTSTRAP": context.address("kafka_bootstrap"),
        "TRADELOOP__EVENTS_TOPIC": settings.events_topic,
        "TRADELOOP__WAKE_PORT": context.addresses.get("wake_port", "0"),
        "TRADELOOP__WEB_URL": context.addresses.get("api_url", settings.api_url),
    }
    # Settings of another Airflow of this user would win over ours; a path would put other code before the installed.
    foreign = ("AIRFLOW__", "_AIRFLOW", "PYTHONPATH")
    inherited = {name: value for name, value in python_environment().items() if not name.startswith(foreign)}
    return {
        **inherited,
        "AIRFLOW_HOME": str(folder),
        "TRADELOOP_REFERENCE_ROOT": str(settings.reference_root.expanduser().resolve()),
        **{f"AIRFLOW__{name}": value for name, value in given.items()},
        **context.airflow_environment,
    }


def _sqlalchemy(address: str) -> str:
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", address)


def _health(port: int) -> dict[str, Any] | None:
    try:
        # Never through a proxy: the environment may name one.
        answer = httpx.get(f"http://{LOOPBACK}:{port}/api/v2/monitor/health", timeout=5, trust_env=False)
    except httpx.HTTPError:
        return None
    return dict(answer.json()) if answer.status_code == 200 else None


def own(settings: Settings) -> Part:
    """The Airflow of the settings: it is only checked."""

    def check() -> None:
        address = f"{settings.airflow_url.rstrip('/')}/api/v2/version"
        try:
            answer = httpx.get(address, timeout=10, follow_redirects=True)
            answer.raise_for_status()
        except httpx.HTTPError as problem:
            raise AirflowUnreachable(
                f"Airflow at {settings.airflow_url} did not answer: {problem}.", where="read from TRADELOOP_AIRFLOW_URL"
            ) from problem

    return Part("api-server", "your Airflow", prepare=check)
