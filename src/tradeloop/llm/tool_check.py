"""What MCP servers offer, beside what is allowed of it: for a firm that pins."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from tradeloop.errors import ToolUnavailable
from tradeloop.llm.tool_file import AllowedTool, ToolFile, ToolServer
from tradeloop.llm.tool_session import Offered, ToolSession
from tradeloop.llm.tools import checked_file

State = Literal["allowed", "changed", "writes", "missing", "unknown", "failed"]


@dataclass(frozen=True, slots=True)
class ToolSeen:
    """One tool of one server, or a server that did not answer."""

    server: str
    tool: str
    state: State
    """allowed; changed: another digest than the one that is pinned; writes: allowed, but it says that it changes
    something; missing: allowed, and not offered; unknown: offered, and not allowed; failed: no answer."""
    offered: Offered | None = None
    uses: tuple[AllowedTool, ...] = ()
    problem: str = ""


async def see_tools(file: ToolFile) -> list[ToolSeen]:
    """Ask every server for its list; no tool is called.

    Raises:
        SettingInvalid: a token cannot be read.
        PrerequisiteMissing: the packages are not installed.
    """
    servers = checked_file(file).servers
    found = await asyncio.gather(*(_of_server(name, server) for name, server in servers.items()))
    return [one for seen in found for one in seen]


async def _of_server(name: str, server: ToolServer) -> list[ToolSeen]:
    session = ToolSession(name, server)
    try:
        offered = await session.offered()
    except ToolUnavailable as problem:
        return [ToolSeen(name, "", "failed", problem=problem.message)]
    finally:
        await session.close()
    names = sorted({*offered, *(use.name for use in server.tools)})
    return [_seen(name, tool, offered.get(tool), tuple(u for u in server.tools if u.name == tool)) for tool in names]


def _seen(server: str, tool: str, offered: Offered | None, uses: tuple[AllowedTool, ...]) -> ToolSeen:
    state: State
    if offered is None:
        state = "missing"
    elif not uses:
        state = "unknown"
    elif any(use.digest != offered.digest for use in uses):
        state = "changed"
    else:
        state = "writes" if offered.writes else "allowed"
    return ToolSeen(server, tool, state, offered, uses)
