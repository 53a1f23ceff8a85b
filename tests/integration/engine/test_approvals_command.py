"""`tradeloop approvals` as an operator types it: a real API process, a real key, a real question."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gated import PLAIN, House, gated_workflow, wish
from real_parts import until

from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.store.database import Database
from tradeloop.store.people import PostgresPeople

REASON = "the second source agrees"


@dataclass
class Command:
    environment: dict[str, str]
    folder: Path

    async def __call__(self, *words: str, key: str = "anna.k", stdin: str = "") -> tuple[int, str, str]:
        environment = self.environment | {"TRADELOOP_API_KEY_FILE": str(self.folder / key)}
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tradeloop", "approvals", *words],
            env=environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    async def json(self, *words: str, key: str = "anna.k") -> Any:
        code, out, err = await self(*words, "--json", key=key)
        assert code == 0, out + err
        return json.loads(out)


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with Database(database_url, size=4) as database:
        found = House(database_url, database, tmp_path / "gate.yaml")
        found.says(PLAIN + "asked: {pattern: maker_checker, tier: 2}\n")
        yield found


@pytest.fixture
async def command(house: House, tmp_path: Path) -> AsyncIterator[Command]:
    people = PostgresPeople(house.database)
    for name in ("anna.k", "ben.o"):
        roles = frozenset({Role.APPROVER, Role.VIEWER})
        await people.add(Principal(name=name, roles=roles, delegations=(Delegation(),)), by="tests")
        made = await people.new_key(name, label="tests", expires_at=None, by="tests")
        (tmp_path / name).write_text(made.text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRADELOOP_")} | {
        "TRADELOOP_DATABASE_URL": house.database_url,
        "TRADELOOP_GATE_POLICY": str(house.policy),
        "TRADELOOP_API_PORT": str(port),
        "TRADELOOP_API_URL": f"http://127.0.0.1:{port}",
        "TRADELOOP_HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    process = subprocess.Popen([sys.executable, "-m", "tradeloop", "api"], env=environment, cwd=tmp_path)

    async def ready() -> bool:
        def asked() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                    return int(answer.status) == 200
            except OSError:
                return False

        return await asyncio.to_thread(asked)

    try:
        await until(ready, limit_s=60)
        yield Command(environment, tmp_path)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


async def test_a_question_is_found_read_and_answered_from_the_command_line(house: House, command: Command) -> None:
    async with house.working(gated_workflow()):
        house.arrivals.put(wish("SPX", params={"rows": 3}), wish("SPY", params={"rows": 4}), wish("NDX"))
        await house.asked(3)
        listed = await command.json("list", "--mine")
        by_subject = {one["subject"]: one for one in listed}
        spx = by_subject["SPX"]["approval_id"]
        code, out, err = await command("list")
        assert (code, spx[:8] in out, "3 wait for you, 0 for others" in err) == (0, True, True)
        code, out, _ = await command("show", spx[:13])
        assert (code, "rows  3" in out, "F-01" in out, "rule asked" in out) == (0, True, True, True)
        code, _, err = await command("approve", spx)
        assert (code, "--digest is needed" in err) == (2, True)
        code, _, err = await command("approve", spx, "--digest", "0" * 8, "--reason", REASON, "--relied-on", "F-01")
        assert (code, "another one" in err) == (5, True)
        code, _, err = await command("approve", spx, "--digest", by_subject["SPX"]["digest"][:8], "--reason", REASON)
        assert (code, "fact" in err) == (2, True)
        answer = ("--digest", by_subject["SPX"]["digest"][:8], "--reason", REASON, "--relied-on", "F-01")
        told = await command.json("approve", spx[:13], *answer)
        assert (told["state"], told["approvals"], told["votes"][0]["channel"]) == (
            "approved",
            {"have": 1, "need": 1},
            "cli",
        )
        code, _, err = await command("reject", spx, "--reason", REASON, key="ben.o")
        assert (code, "approved by anna.k" in err) == (5, True)

        spy = by_subject["SPY"]
        changed = await command.json("modify", spy["approval_id"], "--set", "rows=1", "--reason", REASON)
        assert (changed["version"], changed["action"]["params"]) == (2, {"rows": 1})
        answer = ("--digest", changed["digest"][:8], "--reason", REASON, "--relied-on", "F-01")
        code, _, err = await command("approve", changed["approval_id"], *answer)
        assert (code, "you asked for this action" in err) == (4, True)
        assert (await command.json("approve", changed["approval_id"], *answer, key="ben.o"))["state"] == "approved"

        ndx = by_subject["NDX"]["approval_id"]
        raised = await command.json("escalate", ndx, "--reason", REASON)
        assert (raised["requirement"]["tier"], raised["approvals"]["need"]) == (3, 2)
        assert (await command.json("next"))["approval_id"] == ndx
        code, out, _ = await command("reject", ndx, "ffffffff", "--reason", REASON)
        assert (code, "is rejected" in out) == (3, True)
        await house.ended(3)
    assert sorted(params.get("rows", 0) for _, params in house.target.calls) == [1, 3]
    code, out, err = await command("list")
    assert (code, out, "Nothing waits." in err) == (0, "", True)
