"""Settings as a command sees them: its environment, completed by the stack that runs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradeloop.settings import Settings


def stack_settings() -> Settings:
    """The settings; addresses that nobody set are those of the local stack that runs, if one does.

    Raises:
        SettingInvalid: a variable is malformed.
    """
    from pydantic import SecretStr

    from tradeloop.settings import load_settings
    from tradeloop.stack import addresses

    settings = load_settings()
    missing: dict[str, object] = {}
    for name, value in addresses(settings.home).items():
        given = getattr(settings, name)
        if not (given.get_secret_value() if isinstance(given, SecretStr) else given) or name == "airflow_username":
            missing[name] = SecretStr(value) if isinstance(given, SecretStr) else type(given)(value)
    if settings.airflow_url:
        missing = {name: value for name, value in missing.items() if not name.startswith("airflow_")}
    return settings.model_copy(update=missing)
