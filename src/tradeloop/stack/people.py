"""The people of a local stack: two who can check one another, a service for its DAGs, and their keys in the home."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tradeloop.domain.keys import key_id_of
from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.errors import Settled
from tradeloop.ports import People

BY: Final = "tradeloop up"
GOOD_FOR: Final = timedelta(days=90)
RENEW_BEFORE: Final = timedelta(days=7)
ALL: Final = frozenset({Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ADMINISTRATOR})
PEOPLE: Final = (
    Principal(name="anna.k", roles=ALL, delegations=(Delegation(),)),
    Principal(name="ben.o", roles=ALL, delegations=(Delegation(),)),
    Principal(name="dags", kind="service", roles=frozenset({Role.SERVICE})),
)
"""For development alone: they are made only in the database of the stack itself."""


def folder_of(home: Path) -> Path:
    """Where their keys are, a file each, for the owner of the home alone."""
    return home / "keys"


def make_people(database_url: str, home: Path) -> None:
    """Make those who are missing, and a key for each that has none that holds; whoever was changed stays so."""
    asyncio.run(_make(database_url, folder_of(home)))


async def _make(database_url: str, folder: Path) -> None:
    from tradeloop.store.database import Database
    from tradeloop.store.people import PostgresPeople

    folder.mkdir(mode=0o700, exist_ok=True)
    async with Database(database_url, size=1) as database:
        people = PostgresPeople(database)
        for principal in PEOPLE:
            if await people.principal(principal.name) is None:
                await people.add(principal, by=BY)
            path = folder / f"{principal.name}.key"
            try:
                await _renew(people, principal.name, path)
            except Settled:
                path.unlink(missing_ok=True)  # somebody made them inactive, and meant it


async def _renew(people: People, name: str, path: Path) -> None:
    kept = key_id_of(path.read_text().strip()) if path.exists() else ""
    now = datetime.now(UTC)
    known = [key for key in await people.keys(name) if key.key_id == kept and key.state_at(now) == "live"]
    if known and (known[0].expires_at is None or known[0].expires_at - RENEW_BEFORE > now):
        return
    made = await people.new_key(name, label=f"development, {path.name}", expires_at=now + GOOD_FOR, by=BY)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(made.text + "\n")
    beside.replace(path)
