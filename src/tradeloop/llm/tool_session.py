"""One MCP server's session: opened when it is needed, and anew when it was lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar  # Any: JSON Schema, and arguments of a foreign call

from tradeloop.domain.canonical import canonical_json, sha256_hex
from tradeloop.errors import ToolUnavailable
from tradeloop.llm.tool_file import ToolServer, token_of

if TYPE_CHECKING:
    import httpx
    from langchain_mcp_adapters.sessions import Connection
    from mcp import ClientSession
    from mcp.types import CallToolResult, Tool

T = TypeVar("T")
PAGES: Final = 50
"""Of a list of tools; more would be a server that never ends."""
PROOF_S: Final = 1.0
"""In which a server that let a call time out must answer a ping, or its session is given up."""
REST_S: Final = 10.0
"""After an attempt to open a session failed; shorter makes every case wait for a server that is gone."""
LEAVE_S: Final = 8.0
"""For a server to end by itself, by SIGTERM and by SIGKILL, of 2 s each, and some more."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool as its server describes it, untrusted."""

    name: str
    description: str
    input_schema: dict[str, Any]
    digest: str
    """sha256 of the three; empty when they have no canonical JSON."""
    writes: bool
    """Whether the server itself says that it changes something."""


@dataclass(frozen=True, slots=True)
class _Held:
    task: asyncio.Task[None]
    opened: asyncio.Future[ClientSession]
    stop: asyncio.Event


@dataclass
class ToolSession:
    """Asks one server. The session lives in a task of its own, as whoever opens one must also close it."""

    name: str
    server: ToolServer
    rest_s: float = REST_S
    _held: _Held | None = None
    _leaving: set[asyncio.Task[None]] = field(default_factory=set)
    _rests_until: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def offered(self) -> dict[str, Offered]:
        """Every tool of the server, as it describes it at this moment; a session that was lost is opened anew.

        Raises:
            ToolUnavailable: the server cannot be reached, or does not answer in time.
        """
        held, is_new = await self._open()
        try:
            return await self._within(held, self._listed(held))
        except ToolUnavailable:
            if is_new or self._held is held:
                raise
        held, _ = await self._open()
        return await self._within(held, self._listed(held))

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """The tool's answer; asked once, as nobody knows what a second call would do.

        Raises:
            ToolUnavailable: no answer, or not in time.
        """
        held, _ = await self._open()
        return await self._within(held, held.opened.result().call_tool(tool, arguments))

    async def close(self) -> None:
        """End the session, and the server when it is a program."""
        if self._held is not None:
            self._drop(self._held)
        if self._leaving:
            _, late = await asyncio.wait(self._leaving, timeout=LEAVE_S)
            for task in late:
                task.cancel()

    async def _open(self) -> tuple[_Held, bool]:
        async with self._turn:
            held = self._held
            is_new = held is None or held.task.done()
            if held is None or held.task.done():
                held = self._held = self._begun()
            ends: list[asyncio.Future[Any]] = [held.task, held.opened]
            await asyncio.wait(ends, timeout=self.server.open_s, return_when="FIRST_COMPLETED")
            if held.opened.done() and not held.task.done():
                return held, is_new
            self._rests_until = time.monotonic() + self.rest_s
            self._drop(held)
            raise self._unanswered("no session can be opened", held.task)

    def _begun(self) -> _Held:
        if time.monotonic() < self._rests_until:
            raise ToolUnavailable(f"the MCP server {self.name} did not answer a moment ago")
        opened: asyncio.Future[ClientSession] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        return _Held(asyncio.create_task(self._hold(opened, stop)), opened, stop)

    async def _hold(self, opened: asyncio.Future[ClientSession], stop: asyncio.Event) -> None:
        from langchain_mcp_adapters.sessions import create_session

        logging.getLogger("mcp").setLevel(logging.CRITICAL)  # it logs what servers send
        async with create_session(self._connection()) as session:
            await session.initialize()
            opened.set_result(session)
            await stop.wait()

    async def _listed(self, held: _Held) -> dict[str, Offered]:
        session, cursor = held.opened.result(), None
        found: dict[str, Offered] = {}
        for _ in range(PAGES):
            page = await session.list_tools(cursor=cursor)
            for tool in page.tools:
                if tool.name in found:
                    raise ToolUnavailable(f"the MCP server {self.name} lists a tool twice")
                found[tool.name] = offered_of(tool)
            cursor = page.nextCursor
            if not cursor:
                return found
        raise ToolUnavailable(f"the MCP server {self.name} lists tools without end")

    async def _within(self, held: _Held, work: Coroutine[Any, Any, T]) -> T:
        """The work's result, unless the session ends or the time is over before it."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, held.task}, timeout=self.server.timeout_s, return_when="FIRST_COMPLETED")
            if not task.done() and not held.task.done():
                await self._prove(held)
                raise ToolUnavailable(f"the MCP server {self.name} did not answer in {self.server.timeout_s:g} s")
            if not task.done() or task.exception() is not None:
                if not (task.done() and isinstance(task.exception(), ToolUnavailable)):
                    await self._prove(held)
                raise self._unanswered("it gave no answer", task if task.done() else held.task)
            return task.result()
        finally:
            task.cancel()

    async def _prove(self, held: _Held) -> None:
        """Give the session up unless it answers a ping."""
        if not held.task.done():
            ping = asyncio.ensure_future(_quiet(held.opened.result().send_ping()))
            await asyncio.wait({ping, held.task}, timeout=PROOF_S, return_when="FIRST_COMPLETED")
            if ping.done() and ping.result():
                return
            ping.cancel()
        self._drop(held)

    def _drop(self, held: _Held) -> None:
        if self._held is held:
            self._held = None
        held.stop.set()
        if not held.opened.done():
            held.task.cancel()
        self._leaving.add(held.task)
        held.task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()  # heard: asyncio complains about those that nobody asked for

    def _unanswered(self, what: str, task: asyncio.Task[Any]) -> ToolUnavailable:
        problem = task.exception() if task.done() and not task.cancelled() else None
        while isinstance(problem, BaseExceptionGroup):
            problem = problem.exceptions[0]
        if isinstance(problem, ToolUnavailable):
            return problem
        over = "the session ended" if task.done() else f"not within {self.server.open_s:g} s"
        kind = type(problem).__name__ if problem else over
        return ToolUnavailable(f"the MCP server {self.name}: {what}: {kind}")

    def _connection(self) -> Connection:
        from datetime import timedelta

        if not self.server.url:
            program, *words = self.server.command
            return {"transport": "stdio", "command": program, "args": words, "env": self.server.env}
        token = token_of(self.name, self.server)
        limit = timedelta(seconds=self.server.timeout_s)
        return {
            "transport": "streamable_http",
            "url": self.server.url,
            "headers": {"Authorization": f"Bearer {token}"} if token else {},
            "timeout": limit,
            "sse_read_timeout": limit,
            "httpx_client_factory": _client,
        }


def offered_of(tool: Tool) -> Offered:
    """The tool as its server describes it, with its digest."""
    described = {"name": tool.name, "description": tool.description or "", "input_schema": tool.inputSchema}
    try:
        digest = sha256_hex(canonical_json(described))
    except (ValueError, RecursionError):  # NaN, a lone surrogate, a nesting without end
        digest = ""
    hints = tool.annotations
    writes = hints is not None and (hints.readOnlyHint is False or hints.destructiveHint is True)
    return Offered(tool.name, tool.description or "", tool.inputSchema, digest, writes)


def _client(
    headers: dict[str, str] | None = None, timeout: httpx.Timeout | None = None, auth: httpx.Auth | None = None
) -> httpx.AsyncClient:
    import httpx

    # MCP's client itself follows a redirect within the address's origin; no other: the token is for that host alone.
    return httpx.AsyncClient(headers=headers, timeout=timeout, auth=auth, follow_redirects=False)


async def _quiet(work: Awaitable[Any]) -> bool:
    """Whether it ended without an error."""
    return not isinstance((await asyncio.gather(work, return_exceptions=True))[0], BaseException)
