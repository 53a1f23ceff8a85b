"""schemathesis over the whole OpenAPI document, with and without credentials.

SCHEMATHESIS_EXAMPLES: examples of an operation in the fuzzing phase; more of them find more, and take longer.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from api_house import DESK, EVENT_TYPE, House, workflow

from tradeloop.api.app import create_app
from tradeloop.api.services import services
from tradeloop.domain.people import Delegation, Principal, Role
from tradeloop.settings import Settings
from tradeloop.store.database import Database

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "6")
PHASES = "examples,coverage,fuzzing"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,ignored_auth,missing_required_header,negative_data_rejection"
)


@dataclass
class Served:
    url: str
    key: str


@pytest.fixture(scope="module")
def served(api_database_url: str) -> Iterator[Served]:
    """The application behind a real HTTP server, in a thread with a loop of its own."""
    ready = threading.Event()
    made: dict[str, object] = {}

    async def run() -> None:
        settings = Settings(database_url=api_database_url, instance="tests", api_rate=0, _env_file=None)
        async with Database(api_database_url, size=4) as database:
            parts = services(settings, database, {EVENT_TYPE: workflow()})
            everything = frozenset(Role) - {Role.SERVICE}
            person = Principal(name="fuzz.f", roles=everything, delegations=(Delegation(),))
            if await parts.people.principal(person.name) is None:
                await parts.people.add(person, by="tests")
            key = await parts.people.new_key(person.name, label="", expires_at=None, by="tests")
            server = uvicorn.Server(uvicorn.Config(create_app(parts), port=0, log_config=None, access_log=False))
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.02)
            port = server.servers[0].sockets[0].getsockname()[1]
            made.update(url=f"http://127.0.0.1:{port}", key=key.text, server=server)
            ready.set()
            await serving

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield Served(str(made["url"]), str(made["key"]))
    made["server"].should_exit = True  # type: ignore[attr-defined]
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
async def existing(house: House) -> dict[str, str]:
    """Ids of things that are there, so that more than 404 is met."""
    (claim,) = await house.take_in()
    decision_id = await house.finish(claim)
    return {
        "run_id": str(claim.run_id),
        "event_id": str(claim.event_id),
        "decision_id": str(decision_id),
        "approval_id": str((await house.ask()).approval_id),
        "letter_id": str(await house.bury(b"rubbish")),
        "key": await house.unknown_effect(),
        "event_type": EVENT_TYPE,
        "desk": DESK,
    }


@pytest.mark.parametrize("with_key", [True, False], ids=["with a key", "without credentials"])
def test_no_server_error_and_no_violation_of_the_document(
    served: Served, with_key: bool, tmp_path: Path, existing: dict[str, str]
) -> None:
    if with_key:
        lines = [
            f'"path.{name}" = {value if name == "letter_id" else json.dumps(value)}' for name, value in existing.items()
        ]
        (tmp_path / "schemathesis.toml").write_text("[parameters]\n" + "\n".join(lines) + "\n")
    words = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{served.url}/api/v1/openapi.json"),
        *("--phases", PHASES if with_key else "examples,coverage", "--checks", CHECKS, "--max-examples", EXAMPLES),
        *("--exclude-path", "/api/v1/events/stream", "--seed", "7", "--no-color", "--request-timeout", "30"),
        *(("--header", f"Authorization: Bearer {served.key}") if with_key else ()),
    ]
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False)
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
