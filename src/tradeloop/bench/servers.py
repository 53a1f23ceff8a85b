"""More API servers of one Airflow, and the way between them and its tasks."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, Self

import httpx
import psutil

from tradeloop.bench.stage import Stage, wait_for
from tradeloop.stack.ports import LOOPBACK
from tradeloop.stack.processes import end_group, spawn, wait_until_ended

CHUNK: Final = 65_536


@contextmanager
def api_server(stage: Stage, *, on: bool) -> Iterator[str]:
    """One more API server beside the stack's, with capture on or off; its address."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    process = psutil.Process(stage.stack.part("api-server").pid)
    variables = {
        **process.environ(),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__TRADELOOP__ENABLED": str(on),
    }
    name = "api-server-on" if on else "api-server-off"
    home = stage.stack.home
    child = spawn([sys.executable, "-m", "airflow", "api-server"], variables, home.log(name), home.root)
    try:
        wait_for(lambda: True if _answers(url) else None, 90, f"the start of {name}")
        yield url
    finally:
        child.signal(signal.SIGTERM)
        wait_until_ended([child], 8)
        end_group(child, home.root)


class Switch:
    """An address that leads to one API server or to another, changed at once and without a restart.

    Tasks open a connection each, so a task talks to the server that was chosen when it began.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.target = ""
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="switch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        start = asyncio.start_server(self._lead, LOOPBACK, self.port)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = httpx.URL(self.target)
        try:
            there, back = await asyncio.open_connection(address.host, address.port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v2/monitor/health", timeout=5, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
