"""Tools of MCP servers for specialists: allowed by name, pinned by digest, quoted and never believed."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final  # Any: arguments of a foreign call

import structlog
from pydantic import JsonValue

from tradeloop.domain.canonical import canonical_json
from tradeloop.errors import PrerequisiteMissing, ToolRefused, ToolUnavailable, TradeloopError
from tradeloop.llm.prompt import escaped_json
from tradeloop.llm.tool_file import AllowedTool, ToolFile, load_tool_file, token_of
from tradeloop.llm.tool_session import REST_S, Offered, ToolSession

if TYPE_CHECKING:
    from mcp.types import CallToolResult

    from tradeloop.settings import Settings

LONGEST_ARGUMENT: Final = 250
"""Characters; longer fields of a header are texts and no identifiers."""
CUT: Final = " [cut here: the answer was longer]"
log: Final[structlog.stdlib.BoundLogger] = structlog.get_logger()


class McpTools:
    """The port `Tools`. Sessions are opened when they are first needed; use it as a context, so that they end."""

    def __init__(self, file: ToolFile, *, rest_s: float = REST_S) -> None:
        self._servers = file.servers
        self._sessions = {name: ToolSession(name, server, rest_s) for name, server in file.servers.items()}

    async def __aenter__(self) -> McpTools:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(session.close() for session in self._sessions.values()))

    async def gather(self, desk: str, role: str, header: Mapping[str, JsonValue]) -> dict[str, str]:
        """What the tools of this specialist answer, by `server/tool`; those that fail are logged and left out."""
        wanted = {
            name: uses
            for name, server in self._servers.items()
            if (uses := [one for one in server.tools if (one.desk, one.role) == (desk, role)])
        }
        found = await asyncio.gather(*(self._of_server(name, uses, header) for name, uses in wanted.items()))
        return {key: text for told in found for key, text in sorted(told.items())}

    async def _of_server(self, name: str, uses: list[AllowedTool], header: Mapping[str, JsonValue]) -> dict[str, str]:
        listed = await asyncio.gather(self._sessions[name].offered(), return_exceptions=True)
        offered = listed[0]
        if isinstance(offered, BaseException):
            _log_failure(name, "", offered)
            return {}
        answers = await asyncio.gather(
            *(self._of_tool(name, use, offered.get(use.name), header) for use in uses), return_exceptions=True
        )
        told = {}
        for use, answer in zip(uses, answers, strict=True):
            if isinstance(answer, BaseException):
                _log_failure(name, use.name, answer)
            else:
                told[f"{name}/{use.name}"] = answer
        return told

    async def _of_tool(
        self, name: str, use: AllowedTool, offered: Offered | None, header: Mapping[str, JsonValue]
    ) -> str:
        check_allowed(use, offered)
        answer = await self._sessions[name].call(use.name, arguments_of(use, header))
        if answer.isError:
            raise ToolUnavailable("the tool says that it failed")
        text = _text_of(answer)
        if not text:
            raise ToolUnavailable("the tool gave no text")
        return cut(text, self._servers[name].max_chars)


@asynccontextmanager
async def open_tools(settings: Settings) -> AsyncIterator[McpTools | None]:
    """The tools of TRADELOOP_TOOLS; None without that file, or where no model is configured that could read them.

    Raises:
        SettingInvalid: the file does not fit.
        PrerequisiteMissing: the packages are not installed.
    """
    if settings.tools is None or not settings.model:
        yield None
        return
    async with McpTools(checked_file(load_tool_file(settings.tools))) as tools:
        yield tools


def checked_file(file: ToolFile) -> ToolFile:
    """The file, when what it needs is there.

    Raises:
        SettingInvalid: a token cannot be read.
        PrerequisiteMissing: the packages are not installed.
    """
    if find_spec("langchain_mcp_adapters") is None:
        raise PrerequisiteMissing(
            "Tools from MCP servers need langchain-mcp-adapters.", hint="pip install 'tradeloop[mcp]'"
        )
    for name, server in file.servers.items():
        token_of(name, server)
    return file


def check_allowed(use: AllowedTool, offered: Offered | None) -> None:
    """Hold what a server offers against what was allowed.

    Raises:
        ToolRefused: it is not there, is not the same any more, or says that it changes something.
    """
    if offered is None:
        raise ToolRefused("its server does not have the tool")
    if offered.digest != use.digest:
        raise ToolRefused(f"the tool is not the one that was allowed: its digest is now {offered.digest or 'none'}")
    if offered.writes:
        raise ToolRefused("the tool says that it changes something; agents only read")


def arguments_of(use: AllowedTool, header: Mapping[str, JsonValue]) -> dict[str, Any]:
    """The arguments of a call: fields of the header, each a number, a truth value or a short text of one line.

    Raises:
        ToolUnavailable: the header does not have such a field.
    """
    made = {}
    for argument, name in use.arguments.items():
        value = header.get(name)
        is_short = isinstance(value, str) and len(value) <= LONGEST_ARGUMENT and value.isprintable()
        if not is_short and not isinstance(value, int | float):
            raise ToolUnavailable(f"the case has no field {name} that can be the argument {argument}")
        made[argument] = value
    return made


def cut(text: str, max_chars: int) -> str:
    """The text's beginning that takes at most `max_chars` characters as the model is told it, marked where it was cut.

    Example:
        >>> cut("a" * 200, 100)[-40:]
        'aaaaaa [cut here: the answer was longer]'
    """
    text = text[: max_chars + 1]
    if len(text) <= max_chars and _told_length(text) <= max_chars:
        return text
    room = max_chars - _told_length(CUT)
    kept = bisect_right(range(1, len(text) + 1), room, key=lambda length: _told_length(text[:length]))
    return text[:kept] + CUT


def _told_length(text: str) -> int:
    return len(escaped_json(text)) - 2


def _text_of(answer: CallToolResult) -> str:
    texts = [block.text for block in answer.content if block.type == "text"]
    if not texts and answer.structuredContent:
        return canonical_json(answer.structuredContent)
    return "\n".join(texts)


def _log_failure(server: str, tool: str, problem: BaseException) -> None:
    why = problem.message if isinstance(problem, TradeloopError) else type(problem).__name__
    if isinstance(problem, ToolRefused):
        log.error("tool_refused", server=server, tool=tool, why=why)
    else:
        log.warning("tool_failed", server=server, tool=tool, why=why)
