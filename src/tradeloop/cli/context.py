"""Settings as a command sees them: its environment, completed by the stack that runs here."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradeloop.settings import Settings
    from tradeloop.store.database import Database


def stack_settings() -> Settings:
    """The settings; addresses that nobody set are those of the local stack that runs, if one does.

    Raises:
        SettingInvalid: a variable is malformed.
    """
    from pydantic import SecretStr

    from tradeloop.settings import PROFILE, load_settings
    from tradeloop.stack import addresses

    quiet_logs()
    settings = load_settings()
    if os.environ.get(PROFILE) and (settings.database_url or settings.kafka_bootstrap or settings.airflow_url):
        return settings  # a profile that names a part of its own system is not completed by this machine's
    missing: dict[str, object] = {}
    for name, value in addresses(settings.home).items():
        given = getattr(settings, name)
        if not (given.get_secret_value() if isinstance(given, SecretStr) else given) or name == "airflow_username":
            missing[name] = SecretStr(value) if isinstance(given, SecretStr) else type(given)(value)
    if settings.airflow_url:
        missing = {name: value for name, value in missing.items() if not name.startswith("airflow_")}
    return settings.model_copy(update=missing)


def with_model(settings: Settings, model: str) -> Settings:
    """The settings with the models of an option `--model`, which are written as in TRADELOOP_MODEL; empty: none."""
    return settings.model_copy(update={"model": [part.strip() for part in model.split(",") if part.strip()]})


def quiet_logs() -> None:
    """Send log lines to stderr, never among the data: warnings, or everything with `-vv`."""
    import logging

    from tradeloop.cli.output import OUTPUT
    from tradeloop.observability import configure_logging

    configure_logging(level=logging.DEBUG if OUTPUT.verbose >= 2 else logging.WARNING)
    # The pool writes a line for every try; what it means is in the error that the command ends with.
    logging.getLogger("psycopg.pool").setLevel(logging.DEBUG if OUTPUT.verbose >= 2 else logging.CRITICAL)


@asynccontextmanager
async def open_database(settings: Settings, *, size: int = 1) -> AsyncIterator[Database]:
    """The database of a command, which ends at once, and in words, when it does not answer.

    Raises:
        SettingInvalid: no database is set.
        DatabaseUnreachable: it does not answer.
    """
    from tradeloop.store.database import Database

    settings.require("database_url")
    database = Database.of(settings, size=size)
    await database.check()
    async with database:
        yield database
