"""A server that answers as it is told: what stands before Airflow, and Airflow on a bad day."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = tuple[int, object] | None
"""Status and body; None breaks the connection off."""


@dataclass
class Asked:
    """What the server was asked, in order, and where."""

    url: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path with query, token."""
    connections: int = 0

    def paths(self) -> list[str]:
        """Method and path of the requests that are no sign-in."""
        return [f"{method} {path.partition('?')[0]}" for method, path, _ in self.requests if path != "/auth/token"]

    def sign_ins(self) -> int:
        """How often somebody signed in."""
        return sum(path == "/auth/token" for _, path, _ in self.requests)


def token(number: int, life_s: float = 86_400) -> str:
    """A token as Airflow's: three parts, the end of its life in the second."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + life_s, "n": number}).encode()).decode()
    return f"h.{claims.rstrip('=')}.s{number}"


@asynccontextmanager
async def server(answer: Callable[[str, str, str, int], Answer]) -> AsyncIterator[Asked]:
    """Serve on loopback; `answer` gets method, path, token and the number of the request."""
    asked = Asked()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.connections += 1
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split()
                headers = {}
                while (header := (await reader.readline()).decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                await reader.readexactly(int(headers.get("content-length", 0)))
                bearer = headers.get("authorization", "").removeprefix("Bearer ")
                asked.requests.append((method, path, bearer))
                given = answer(method, path, bearer, len(asked.requests))
                if given is None:
                    break
                status, body = given
                content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content)
                await writer.drain()
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    asked.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield asked
    finally:
        listening.close()
