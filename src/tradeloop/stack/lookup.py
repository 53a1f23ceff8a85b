"""Addresses of a running stack, for the other commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil

from tradeloop.stack.airflow_home import passwords_file
from tradeloop.stack.credentials import load_credentials
from tradeloop.stack.home import Home
from tradeloop.stack.ports import LOOPBACK
from tradeloop.stack.processes import is_same, processes_of
from tradeloop.stack.record import StackRecord, load_record


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


def describe(path: Path) -> dict[str, Any]:
    """The state of a home's stack, without any password: for people and for `status --json`."""
    home = Home(path.expanduser().resolve())
    record = load_record(home)
    state: str = record.state
    if state not in ("down", "failed") and not record.owner.lives():
        state = "abandoned"
    memory = _memory_by_part(home, record) if state not in ("down", "failed") else {}
    parts = []
    for part in record.parts.values():
        entry = part.model_dump(mode="json")
        if state == "abandoned" and part.pid:
            entry["state"] = "left" if is_same(part.pid, part.created_at) else "gone"
        parts.append({**entry, "memory_mb": round(memory.get(part.name, 0) / 1e6)})
    return {
        "state": state,
        "home": str(home.root),
        "owner_pid": record.owner.pid if record.owner.lives() else 0,
        "parts": parts,
        "addresses": _without_passwords(record) if state == "up" else {},
        "airflow_passwords": str(passwords_file(home)),
        "secrets": str(home.credentials_file),
        "memory_mb": round(sum(memory.values()) / 1e6),
    }


def _without_passwords(record: StackRecord) -> dict[str, str]:
    port = record.parts["postgres"].port if "postgres" in record.parts else 0
    database = {"database_url": f"postgresql://tradeloop@{LOOPBACK}:{port}/tradeloop"} if port else {}
    return {**database, **record.addresses}


def _memory_by_part(home: Home, record: StackRecord) -> dict[str, int]:
    """Bytes by part, its children included; shared pages are divided among those who share them (PSS)."""
    leaders = {part.pid: part.name for part in record.parts.values() if part.pid}
    found: dict[str, int] = {}
    for process in processes_of(home.root):
        try:
            line = [process.pid, *(parent.pid for parent in process.parents())]
            name = next((leaders[pid] for pid in line if pid in leaders), "")
            memory = process.memory_full_info()
            found[name] = found.get(name, 0) + int(getattr(memory, "pss", memory.rss))
        except psutil.Error:
            continue
    return found
