"""Addresses of a running stack, for the other commands."""

from __future__ import annotations

from pathlib import Path

from tradeloop.stack.credentials import load_credentials
from tradeloop.stack.home import Home
from tradeloop.stack.record import load_record


def settings_of(path: Path) -> dict[str, str]:
    """Settings fields by name; empty unless a stack is up and whoever runs it lives."""
    home = Home(path.expanduser().resolve())
    record = load_record(home)
    if record.state != "up" or not record.owner.lives():
        return {}
    found = dict(record.addresses)
    keys = load_credentials(home)
    if "postgres" in record.parts and (port := record.parts["postgres"].port):
        from tradeloop.stack.databases import url

        found["database_url"] = url("tradeloop", keys.tradeloop_database_password, port, "tradeloop")
    if "airflow_url" in found:
        found["airflow_password"] = keys.airflow_service_password
    return found
