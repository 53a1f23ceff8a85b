"""tradeloop tools: what MCP servers offer to agents, and what of it is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import FOUND, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, note, print_json, print_rows, say
from tradeloop.cli.waiting import run

if TYPE_CHECKING:
    from tradeloop.llm.tool_check import ToolSeen

LIST = epilog(
    "tradeloop tools list",
    "tradeloop tools list --server tools.yaml --json",
    codes={FOUND: "an allowed tool changed, writes or is missing", UNREACHABLE: "a server did not answer"},
)
COLUMNS: Final = {
    "state": "STATE",
    "tool": "TOOL",
    "digest": "DIGEST",
    "used": "USED BY",
    "said": "WHAT IT SAYS OF ITSELF",
}
SAID_CHARS: Final = 80


def register(app: typer.Typer) -> None:
    """Add the commands."""
    tools = typer.Typer(help="The tools from outside that agents may have.", no_args_is_help=True)
    tools.command("list", epilog=LIST)(list_tools)
    app.add_typer(tools, name="tools")


def list_tools(
    server: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML file of servers, instead of that of TRADELOOP_TOOLS.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask each MCP server for its tools: digest, and whether allowed, changed, missing or unknown. None is called.

    Copy a digest into the file when you have read what the tool says of itself and its schema (`--json`).
    """
    found = run(_seen(server), "the servers' lists of tools")
    if found is None:
        if as_json:
            print_json([])
        else:
            say("no tools are configured: specialists have those of their desks alone")
            note("next: write a file of servers and set TRADELOOP_TOOLS to it; docs/tools.md")
        return
    if as_json:
        print_json([_plain(one) for one in found])
    else:
        print_rows(COLUMNS, [_row(one) for one in found], empty="the servers have no tools")
    states = {one.state for one in found}
    if "failed" in states:
        raise typer.Exit(UNREACHABLE)
    if states & {"changed", "missing", "writes"}:
        raise typer.Exit(FOUND)


async def _seen(file: Path | None) -> list[ToolSeen] | None:
    from tradeloop.cli.context import quiet_logs
    from tradeloop.llm.tool_check import see_tools
    from tradeloop.llm.tool_file import load_tool_file
    from tradeloop.settings import load_settings

    quiet_logs()
    named = file or load_settings().tools
    return await see_tools(load_tool_file(named)) if named else None


def _row(one: ToolSeen) -> dict[str, Any]:
    said = " ".join(one.offered.description.split()) if one.offered else one.problem
    return {
        "state": one.state,
        "tool": f"{one.server}/{one.tool}" if one.tool else one.server,
        "digest": one.offered.digest if one.offered else "",
        "used": ", ".join(f"{use.desk} {use.role}" for use in one.uses),
        "said": said if len(said) <= SAID_CHARS else said[: SAID_CHARS - 1] + "…",
    }


def _plain(one: ToolSeen) -> dict[str, Any]:
    return {
        "server": one.server,
        "tool": one.tool,
        "state": one.state,
        "digest": one.offered.digest if one.offered else None,
        "description": one.offered.description if one.offered else None,
        "input_schema": one.offered.input_schema if one.offered else None,
        "uses": [use.model_dump(mode="json", include={"desk", "role", "digest", "arguments"}) for use in one.uses],
        "problem": one.problem,
    }
