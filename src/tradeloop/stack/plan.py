"""Which parts a stack has: all, those that were named, and never one whose address is in the settings."""

from __future__ import annotations

from collections.abc import Iterable

from tradeloop.errors import KafkaUnreachable, SettingInvalid
from tradeloop.settings import Settings
from tradeloop.stack import airflow, databases, kafka, postgres, services
from tradeloop.stack.part import Context, Part
from tradeloop.stack.ports import LOOPBACK

AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
NAMES = ("postgres", "kafka", *AIRFLOW, *services.SERVICES)
STOP_ORDER = (("api",), ("worker",), ("relay",), AIRFLOW, ("kafka",), ("postgres",))
"""Each group ends before the next begins: whoever writes ends before what it writes to."""


def names_of(only: Iterable[str] | None, settings: Settings) -> list[str]:
    """The parts to start; `airflow` stands for its parts.

    Raises:
        SettingInvalid: there is no part of that name.
    """
    wanted: set[str] = set()
    for name in only if only is not None else ("postgres", "kafka", "airflow", *services.SERVICES):
        if name == "airflow":
            wanted.update(part for part in AIRFLOW if part != "triggerer" or settings.airflow_triggerer)
        elif name in NAMES:
            wanted.add(name)
        else:
            raise SettingInvalid(f"there is no part {name!r}.", hint=f"parts: airflow, {', '.join(NAMES)}")
    if settings.database_url:
        wanted.discard("postgres")
    if settings.kafka_bootstrap:
        wanted.discard("kafka")
    if settings.airflow_url:
        wanted.difference_update(AIRFLOW)
    return [name for name in NAMES if name in wanted]


def parts_of(context: Context, names: list[str]) -> list[Part]:
    """The parts and the steps between them, in an order in which each comes after what it needs."""
    settings = context.settings
    _choose_ports(context, names)
    own = [name for name in names if name in services.SERVICES]
    of_airflow = [name for name in names if name in AIRFLOW]
    parts: list[Part] = []
    if "postgres" in names:
        parts.append(postgres.part(context))
    elif settings.database_url:
        parts.append(_own_postgres(context, with_airflow=bool(of_airflow)))
    if "kafka" in names:
        parts.append(kafka.part(context))
    elif settings.kafka_bootstrap:
        parts.append(_own_kafka(settings))
    if context.address("database_url"):
        parts.append(services.database_step(context))
    if context.address("kafka_bootstrap"):
        parts.append(services.topics_step(context))
    if of_airflow:
        parts += airflow.parts(context, of_airflow)
    elif settings.airflow_url:
        parts.append(airflow.own(settings))
    return parts + services.parts(context, own)


def _choose_ports(context: Context, names: list[str]) -> None:
    settings = context.settings
    if "relay" in names and "wake_port" not in context.addresses:
        port = settings.wake_port or context.ports.choose("wake", 0, udp=True)
        context.addresses["wake_port"] = str(port)
    if "api" in names:
        port = context.ports.choose("api", settings.api_port)
        context.addresses["api_url"] = f"http://{LOOPBACK}:{port}"


def _own_postgres(context: Context, *, with_airflow: bool) -> Part:
    address = context.settings.database_url

    def check() -> None:
        version = databases.check_own_server(address)
        if with_airflow:
            context.addresses["airflow_database_url"] = databases.ensure_sibling(address, "airflow")
        context.report(f"your PostgreSQL {version} is used")

    return Part("postgres", "your PostgreSQL", prepare=check)


def _own_kafka(settings: Settings) -> Part:
    def check() -> None:
        from tradeloop.kafka.cluster import cluster_id

        try:
            cluster_id(settings.kafka_bootstrap, timeout_s=10)
        except KafkaUnreachable as problem:
            problem.where = "read from TRADELOOP_KAFKA_BOOTSTRAP"
            raise

    return Part("kafka", "your Kafka", prepare=check)
