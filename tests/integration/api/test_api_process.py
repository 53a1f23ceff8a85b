"""The process `tradeloop api`: killed, ended, without its database, on a taken port; and commands that call it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_house import DESK, House

from tradeloop import cli
from tradeloop.cli.remote import Remote, idempotency_key
from tradeloop.errors import (
    AnswerInvalid,
    AnswerStale,
    Forbidden,
    NotFound,
    PartUnreachable,
    Unauthenticated,
    UsageInvalid,
)
from tradeloop.settings import load_settings

WORKFLOW = """
from tradeloop import Decision, Workflow

def decide(state):
    return {"decision": Decision(outcome="ACCEPT")}

workflow = Workflow.chain("prices.loaded", decide, desk="prices")
"""


@dataclass
class Process:
    url: str
    pid: int
    log: Path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start `tradeloop api` on a database; what a test leaves is killed."""
    (tmp_path / "own.py").write_text(WORKFLOW)
    children: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def one(database_url: str, **more: str) -> Iterator[tuple[Process, subprocess.Popen[bytes]]]:
        log = tmp_path / f"{len(children)}.log"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRADELOOP_")},
            "TRADELOOP_DATABASE_URL": database_url,
            "TRADELOOP_API_PORT": "0",
            "TRADELOOP_LOG_FORMAT": "json",
            "TRADELOOP_INSTANCE": "tests",
            "TRADELOOP_WORKFLOWS": "own.py:workflow",
            "TRADELOOP_HOME": str(tmp_path / "home"),
            **more,
        }
        with log.open("wb") as file:
            child = subprocess.Popen(
                [sys.executable, "-m", "tradeloop", "api"], env=environment, cwd=tmp_path, stderr=file
            )
        children.append(child)
        yield Process(_url(child, log), child.pid, log), child

    yield one
    for child in children:
        child.kill()
        child.wait()


def _url(child: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end and child.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("{") and json.loads(line)["event"] == "api_started":
                return f"http://127.0.0.1:{json.loads(line)['port']}"
        time.sleep(0.1)
    raise AssertionError(log.read_text())


async def order(url: str, key: str, number: int) -> tuple[str, int, str]:
    """Trigger once, whatever becomes of it: idempotency key, status (0: no answer), event id."""
    name = f"killed-{number}"
    try:
        async with httpx.AsyncClient() as client:
            told = await client.post(
                f"{url}/api/v1/workflows/trigger",
                headers={"Authorization": f"Bearer {key}", "Idempotency-Key": name},
                json={"event_type": "prices.loaded", "subject": f"k{number}"},
                timeout=10,
            )
    except httpx.HTTPError:
        return name, 0, ""
    return name, told.status_code, told.json().get("event_id", "")


async def test_a_kill_leaves_whole_events_alone_and_the_same_order_again_is_one(
    house: House, api_database_url: str, start: Callable[..., Any]
) -> None:
    key = house.keys["nightly"]
    with start(api_database_url) as (first, child):
        tasks = [asyncio.create_task(order(first.url, key, number)) for number in range(60)]
        await asyncio.sleep(0.15)
        child.kill()
        told = await asyncio.gather(*tasks)
    with start(api_database_url) as (second, child):
        again = [await order(second.url, key, number) for number in range(60)]
        child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, 20) == 0

    assert {status for _, status, _ in again} == {202}
    accepted = {name: event_id for name, status, event_id in told if status == 202}
    assert accepted.items() <= {name: event_id for name, _, event_id in again}.items()
    rows = await house.services.database.rows(
        "SELECT count(*) AS n, count(DISTINCT convert_from(key, 'UTF8')) AS keys FROM outbox WHERE key LIKE %s",
        (b"k%",),
    )
    assert rows == [{"n": 60, "keys": 60}]


async def test_sigterm_finishes_what_was_begun_and_lets_streams_and_long_polls_go(
    house: House, api_database_url: str, start: Callable[..., Any]
) -> None:
    (claim,) = await house.take_in()
    headers = {"Authorization": f"Bearer {house.keys['vera.v']}"}
    with start(api_database_url) as (served, child):
        async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=40) as client:
            poll = asyncio.create_task(client.get(f"/api/v1/events/{claim.event_id}/decision?wait_s=30"))

            async def read() -> str:
                return (await client.get("/api/v1/events/stream")).text

            stream = asyncio.create_task(read())
            await asyncio.sleep(1.5)
            begun = time.monotonic()
            child.send_signal(signal.SIGTERM)
            told, text = await asyncio.gather(poll, stream)
        assert await asyncio.to_thread(child.wait, 20) == 0
        assert time.monotonic() - begun < 12
    assert (told.status_code, told.json()["state"]) == (200, "running")
    assert "event: bye" in text
    log = served.log.read_text()
    assert "api_stopped" in log
    assert house.keys["vera.v"] not in log
    assert "Traceback" not in log
    await house.finish(claim)


class Wall:
    """A TCP proxy before the database that can be closed: then connections break, and none is to be had."""

    def __init__(self) -> None:
        self.is_open = True
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, host: str, port: int) -> asyncio.Server:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not self.is_open:
                writer.transport.abort()
                return
            inner_reader, inner_writer = await asyncio.open_connection(host, port)
            self.writers |= {writer, inner_writer}
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

        return await asyncio.start_server(handle, "127.0.0.1", 0)

    def close(self) -> None:
        self.is_open = False
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def wall(api_database_url: str) -> AsyncIterator[tuple[Wall, str]]:
    from urllib.parse import urlsplit

    address = urlsplit(api_database_url)
    built = Wall()
    server = await built.serve(str(address.hostname), int(address.port or 5432))
    port = server.sockets[0].getsockname()[1]
    yield built, api_database_url.replace(f":{address.port}/", f":{port}/")
    built.close()
    server.close()


async def test_without_the_database_every_route_says_503_and_goes_on_afterwards(
    house: House, wall: tuple[Wall, str], start: Callable[..., Any]
) -> None:
    built, url = wall
    headers = {"Authorization": f"Bearer {house.keys['all.of'] if 'all.of' in house.keys else house.keys['otto.o']}"}
    with start(url) as (served, child):
        async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=30) as client:
            assert (await client.get("/readyz")).status_code == 200
            built.close()
            told = await asyncio.gather(
                client.get("/livez"),
                client.get("/readyz"),
                client.get("/api/v1/runs"),
                client.get("/api/v1/desks"),
                client.post(
                    "/api/v1/workflows/trigger",
                    headers={"Idempotency-Key": "away"},
                    json={"event_type": "prices.loaded"},
                ),
                client.post("/api/v1/switches/stop", json={"desk": "away", "reason": "x"}),
            )
            assert [one.status_code for one in told] == [200, 503, 503, 503, 503, 503]
            for one in told[2:]:
                assert one.json()["code"] == "unreachable"
                assert one.headers["retry-after"]
                assert "127.0.0.1" not in one.text
            built.is_open = True
            end = time.monotonic() + 30
            while (await client.get("/readyz")).status_code != 200:
                assert time.monotonic() < end
                await asyncio.sleep(0.2)
            told_again = await client.get("/api/v1/runs")
            assert told_again.status_code == 200
        child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, 20) == 0


def test_a_port_that_is_taken_is_told_in_words(tmp_path: Path, api_database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = subprocess.run(
            [sys.executable, "-m", "tradeloop", "api"],
            env=os.environ | {"TRADELOOP_DATABASE_URL": api_database_url, "TRADELOOP_API_PORT": str(port)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert found.returncode == 5
    assert f"cannot listen on 127.0.0.1:{port}" in found.stderr
    assert "TRADELOOP_API_PORT" in found.stderr


async def test_commands_reach_the_api_with_a_key(
    house: House,
    api_database_url: str,
    start: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TRADELOOP_HOME", str(tmp_path / "home"))

    def call(*words: str, stdin: str = "") -> tuple[int, str, str]:
        load_settings.cache_clear()
        monkeypatch.setattr(sys, "argv", ["tradeloop", *words])
        (tmp_path / "in").write_text(stdin)
        with (tmp_path / "in").open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            with pytest.raises(SystemExit) as end:
                cli.main()
        output = capsys.readouterr()
        return int(end.value.code or 0), output.out, output.err

    with start(api_database_url) as (served, _):
        assert "no address of the API is set" in call("whoami")[2]
        assert call("whoami", "--api", "ftp://x")[0] == 2
        assert call("whoami", "--api", served.url)[0] == 4
        assert call("login", "--api", served.url, stdin="")[0] == 2
        assert call("login", "--api", served.url, stdin="tlk_wrong\n")[0] == 4
        code, out, err = call("login", "--api", served.url, stdin=house.keys["anna.k"] + "\n")
        assert (code, out) == (0, "anna.k: person, approver\n  may release: *\n")
        kept = tmp_path / "config" / "tradeloop" / "keys.json"
        assert (kept.stat().st_mode & 0o777, str(kept) in err) == (0o600, True)
        assert json.loads(call("whoami", "--api", served.url, "--json")[1])["name"] == "anna.k"
        assert call("doctor", "api")[1].strip().startswith("✓ api")
        monkeypatch.setenv("TRADELOOP_API_URL", served.url)
        assert "database ok" in call("doctor", "api")[1]
        key_file = tmp_path / "otto.key"
        key_file.write_text(house.keys["otto.o"])
        monkeypatch.setenv("TRADELOOP_API_KEY_FILE", str(key_file))
        assert call("whoami")[1] == "otto.o: person, operator\n"
        _release_by_two(call, key_file, house)
        key_file.write_text("ü")
        assert call("whoami")[0] == 2
        monkeypatch.delenv("TRADELOOP_API_KEY_FILE")
        assert json.loads(call("logout", "--json")[1]) == {"api": served.url, "forgotten": True}
        assert "no key was kept" in call("logout")[1]
        await asyncio.to_thread(_calls, served.url, house)
    monkeypatch.setenv("TRADELOOP_API_URL", "http://127.0.0.1:9")
    assert call("doctor", "api")[0] == 7
    load_settings.cache_clear()


def _release_by_two(call: Callable[..., tuple[int, str, str]], key_file: Path, house: House) -> None:
    reason, confirm = ("--desk", "by-command", "--reason", "a test of releases"), ("switch", "release", "--confirm")
    assert call("switch", "stop", *reason)[1] == "desk:by-command stopped\n"
    assert call("switch", "release", *reason)[0] == 4
    key_file.write_text(house.keys["adam.a"])
    void = json.loads(call("switch", "release", *reason, "--json")[1])["asked"]["release_id"]
    assert "stays stopped: release" in call("switch", "release", *reason)[1]
    asked = json.loads(call("switch", "release", *reason, "--json")[1])["asked"]["release_id"]
    assert call(*confirm, asked)[0] == 4
    key_file.write_text(house.keys["anna.k"])
    assert call("switch", "release", *reason)[0] == 5
    assert call(*confirm, void)[0] == 5
    assert call(*confirm, asked)[1] == "desk:by-command released\n"
    assert "was released already" in call(*confirm, asked)[1]
    assert [call(*confirm, word)[0] for word in ("rubbish", "0b1e77aa-0000-4000-8000-000000000000")] == [2, 3]
    assert call(*confirm, asked, "--reason", "x")[0] == 2


def _calls(url: str, house: House) -> None:
    with Remote(url, house.keys["otto.o"]) as remote:
        assert remote.get("runs", desk="none", state=None)["items"] == []
        assert len(remote.every("audit", 5)) == 5
        assert len(remote.every("audit", 3, kind="key_made")) == 3
        key = idempotency_key("a", "b")
        body = {"event_type": "prices.loaded", "subject": "remote"}
        first, second = [remote.post("workflows/trigger", body, idempotency_key=key) for _ in range(2)]
        assert first == second
        with pytest.raises(UsageInvalid, match="another body"):
            remote.post("workflows/trigger", body | {"subject": "other"}, idempotency_key=key)
        with pytest.raises(NotFound):
            remote.get(f"runs/{first['event_id']}")
        with pytest.raises(Forbidden):
            remote.post("switches/release", {"desk": DESK, "reason": "x"})
        with pytest.raises(UsageInvalid):
            remote.get("runs", state="lost")
    with Remote(url, "tlk_wrong") as remote, pytest.raises(Unauthenticated):
        remote.get("me")
    with Remote("http://127.0.0.1:9", "k") as remote, pytest.raises(PartUnreachable):
        remote.get("me")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, text="<html>"), PartUnreachable),
        (httpx.Response(502, text="bad gateway"), PartUnreachable),
        (httpx.Response(503, json={"code": "gate_full", "detail": "d"}), PartUnreachable),
        (httpx.Response(412, json={"code": "changed", "detail": "d", "allowed": ["x"]}), AnswerStale),
        (httpx.Response(422, json={"code": "answer_invalid", "detail": "d", "field": "reason"}), AnswerInvalid),
        (httpx.Response(400, json=["rubbish"]), PartUnreachable),
    ],
)
def test_what_a_server_says_becomes_an_error_of_ours(answer: httpx.Response, kind: type[Exception]) -> None:
    with Remote("http://x", "k", transport=httpx.MockTransport(lambda _: answer)) as remote, pytest.raises(kind):
        remote.get("me")
