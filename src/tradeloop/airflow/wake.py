"""The relay's ear: datagrams from Airflow's scheduler set an event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

LOOPBACK: Final = "127.0.0.1"


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - asyncio's signature
        self._wake.set()


@asynccontextmanager
async def listen(port: int, wake: asyncio.Event) -> AsyncIterator[None]:
    """Set `wake` at each datagram to this port of loopback; many at once are one wake-up."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Ear(wake), local_addr=(LOOPBACK, port)
    )
    try:
        yield
    finally:
        transport.close()
