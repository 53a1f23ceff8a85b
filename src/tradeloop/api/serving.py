"""The API's process: listens, serves, and drains when it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Final

import structlog
import uvicorn

from tradeloop.api.app import create_app
from tradeloop.api.services import open_services
from tradeloop.errors import StackConflict
from tradeloop.settings import Settings

log = structlog.get_logger()
BACKLOG: Final = 512
KEEP_ALIVE_S: Final = 30
MOST_CONNECTIONS: Final = 2_000
"""Above the event streams of one process; beyond, a request is answered 503 at once."""
STARTED_POLL_S: Final = 0.02


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the process has one way to be told to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


async def serve(settings: Settings, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until `stop`; then take no new connection, end the streams, and finish what was begun.

    `ready` is called once, when all is loaded and before the first request is taken.

    Raises:
        StackConflict: the port is taken.
        SettingInvalid, WorkflowInvalid: see `services`.
    """
    listener = _listener(settings.api_host, settings.api_port)
    with contextlib.closing(listener):
        async with open_services(settings) as parts:
            config = uvicorn.Config(
                create_app(parts),
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, int(settings.drain_s)),
                limit_concurrency=MOST_CONNECTIONS,
            )
            server = _Server(config)
            ready()
            serving = asyncio.create_task(server.serve([listener]))
            while not server.started and not serving.done():
                await asyncio.sleep(STARTED_POLL_S)
            log.info("api_started", host=settings.api_host, port=listener.getsockname()[1])
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            parts.changes.end()
            server.should_exit = True
            await serving
            log.info("api_stopped")


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as problem:
        raise StackConflict(
            f"the API cannot listen on {host}:{port}: {problem.strerror or problem}.",
            hint="TRADELOOP_API_PORT names another port; 0 takes any free one",
        ) from problem
