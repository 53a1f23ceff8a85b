"""A webhook's target: a real HTTP server on loopback that counts every call it acted on, and misbehaves when told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Target:
    """What reached it, and how it answers."""

    url: str = ""
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    """Headers (lower case) and body of each call."""
    done: list[str] = field(default_factory=list)
    """Keys it acted on, once each when it honours them."""
    honours_key: bool = False
    status: int = 200
    body: bytes = b'{"hold": 7}'
    headers: str = ""
    dies: bool = False
    """Acts, then breaks the connection off."""
    is_slow: bool = False
    """Acts, then answers only when `answers` is set."""
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            headers = {}
            while line := (await reader.readline()).decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.calls.append((headers, body))
            key = headers["idempotency-key"]
            if not (self.honours_key and key in self.done):
                self.done.append(key)
            if self.is_slow:
                await self.answers.wait()
            if not self.dies:
                head = f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(self.body)}\r\n{self.headers}\r\n"
                writer.write(head.encode() + self.body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller had enough
        finally:
            writer.close()


@asynccontextmanager
async def listening() -> AsyncIterator[Target]:
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    target.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/holds"
    try:
        yield target
    finally:
        target.answers.set()
        server.close()
