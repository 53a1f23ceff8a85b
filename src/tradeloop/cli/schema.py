"""tradeloop schema: the contracts as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tradeloop.cli.endings import epilog
from tradeloop.cli.output import JsonFlag

EPILOG = epilog("tradeloop schema events", "tradeloop schema asyncapi -o docs/schema")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(schema)


def schema(
    name: Annotated[str, typer.Argument(help="events, decisions, asyncapi, or all.")] = "all",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write files into this folder.")] = None,
    as_json: JsonFlag = False,  # noqa: ARG001 - it always is
) -> None:
    """Print JSON Schema of events and decisions, and AsyncAPI of the topics."""
    from tradeloop.contracts import SCHEMAS

    if name != "all" and name not in SCHEMAS:
        raise typer.BadParameter(f"{name!r} is unknown; {', '.join(SCHEMAS)} or all is expected")
    made = {key: make() for key, make in SCHEMAS.items() if name in (key, "all")}
    if output is None:
        typer.echo(json.dumps(made if name == "all" else made[name], indent=2))
        return
    output.mkdir(parents=True, exist_ok=True)
    for key, found in made.items():
        path = output / f"{key}.json"
        path.write_text(json.dumps(found, indent=2) + "\n")
        typer.echo(str(path))
