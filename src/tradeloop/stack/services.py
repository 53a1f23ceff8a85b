"""tradeloop's own processes, and what must be laid before them: tables and topics."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from tradeloop.settings import PREFIX, PROFILE, Settings
from tradeloop.stack.part import Context, Part
from tradeloop.stack.processes import Child, python_environment

ASSUMED_READY_S = 45.0
"""A process that has said nothing for so long and has not fallen is taken as running, and shown as such."""

SERVICES: dict[str, tuple[str, ...]] = {
    # The relay checks its permissions in Airflow at its start; the worker needs Airflow only for its first effect.
    "relay": ("database", "topics", "api-server"),
    "worker": ("database", "topics"),
    "api": ("database",),
}
"""Commands of tradeloop that run as parts, and what each needs first. Each logs `<name>_started` when it is ready."""


def parts(context: Context, names: list[str]) -> list[Part]:
    """The named processes of tradeloop."""
    return [_service(context, name) for name in names]


def database_step(context: Context) -> Part:
    """Bring tradeloop's own tables to this version."""

    def migrate() -> None:
        from tradeloop.store import migrations

        migrations.migrate(context.address("database_url"))

    return Part("database", "tradeloop's tables", ("postgres",), prepare=migrate)


def topics_step(context: Context) -> Part:
    """Make the topics that are missing."""

    def create() -> None:
        from tradeloop.kafka import topics

        topics.create_topics(context.address("kafka_bootstrap"), context.settings)

    return Part("topics", "topics", ("kafka",), prepare=create)


def settings_in_use(context: Context) -> Settings:
    """The settings with the addresses of the parts that this stack runs, and absolute paths."""
    update: dict[str, object] = {n: v for n, v in context.addresses.items() if n in Settings.model_fields}
    if "airflow_password" in update:
        update["airflow_password"] = SecretStr(str(update["airflow_password"]))
    if "wake_port" in update:
        update["wake_port"] = int(str(update["wake_port"]))
    if "api_url" in update:
        update["api_port"] = urlsplit(str(update["api_url"])).port
    update["home"] = context.home.root
    update["audit_key_file"] = _audit_key(context)
    for name in ("dags_folder", "reference_root"):
        update[name] = Path(getattr(context.settings, name)).expanduser().resolve()
    return context.settings.model_copy(update=update)


def _audit_key(context: Context) -> Path:
    """The key that was set, or one for development in the stack's home, made at its first start."""
    from tradeloop.audit.keys import HOME_KEY, new_key

    if context.settings.audit_key_file is not None:
        return Path(context.settings.audit_key_file).expanduser().resolve()
    file = context.home.root / HOME_KEY
    if not file.exists():
        new_key(file)
    return file


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables from which a child process reads exactly these settings, whatever its `.env` says."""
    return {PROFILE: ""} | {PREFIX + name.upper(): _text(getattr(settings, name)) for name in Settings.model_fields}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _service(context: Context, name: str) -> Part:
    port = urlsplit(context.address("api_url")).port or 0 if name == "api" else 0

    def prepare() -> None:
        if name == "api" and not context.settings.database_url:  # the stack's own: another one has people of its own
            from tradeloop.stack.people import make_people

            make_people(context.address("database_url"), context.home.root)

    return Part(
        name=name,
        label=name,
        needs=SERVICES[name],
        prepare=prepare,
        command=lambda: [sys.executable, "-m", "tradeloop", name],
        environment=lambda: {
            **python_environment(),
            **as_environment(settings_in_use(context)),
            f"{PREFIX}LOG_FORMAT": "json",
        },
        ready=_says(f"{name}_started"),
        port=port,
        ready_within_s=60.0,
        stop_within_s=8.0,
    )


def _says(phrase: str) -> Callable[[Child], str | None]:
    def ready(child: Child) -> str | None:
        with child.log.open("rb") as log:
            log.seek(child.log_offset)
            if phrase.encode() in log.read(1_048_576):
                return ""
        return "runs" if child.age_s() > ASSUMED_READY_S else None

    return ready
