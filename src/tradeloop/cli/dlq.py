"""tradeloop dlq: what could not be read or decided."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import NOT_FOUND, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, moment, print_json, print_rows, utc
from tradeloop.cli.runs import period
from tradeloop.cli.waiting import run

if TYPE_CHECKING:
    from tradeloop.store.letters import Letters, LetterView

T = TypeVar("T")
LIST = epilog("tradeloop dlq list --since 1d", "tradeloop dlq list --group", codes=(UNREACHABLE,))
SHOW = epilog("tradeloop dlq show 12", "tradeloop dlq show 12 --raw letter.bin", codes=(NOT_FOUND, UNREACHABLE))
COLUMNS = {"id": "ID", "cause": "CAUSE", "source": "SOURCE", "place": "PLACE", "state": "STATE", "created_at": "AT"}
GROUPS = {
    "error_class": "KIND",
    "count": "COUNT",
    "source": "SOURCE",
    "example": "EXAMPLE",
    "first_at": "FIRST",
    "last_at": "LAST",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    dlq = typer.Typer(help="Dead letters: what could not be read or decided.", no_args_is_help=True)
    dlq.command("list", epilog=LIST)(list_letters)
    dlq.command("show", epilog=SHOW)(show)
    app.add_typer(dlq, name="dlq")


def list_letters(
    group: Annotated[bool, typer.Option("--group", help="One line a kind, with an example.")] = False,
    state: Annotated[str, typer.Option(help="open, replayed, discarded or all.")] = "open",
    since: Annotated[str, typer.Option(help="Only those of this time: 30m, 4h, 1d.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List dead letters, the newest first."""
    if group:
        groups = [asdict(found) for found in run(_with_letters(lambda letters: letters.groups()))]
        if as_json:
            print_json([row | {"first_at": utc(row["first_at"]), "last_at": utc(row["last_at"])} for row in groups])
        else:
            print_rows(GROUPS, groups, empty="No dead letter is open.")
        return
    after = datetime.now(UTC) - period(since) if since else None
    views = run(_with_letters(lambda letters: letters.recent(limit=limit, state=state, since=after)))
    if as_json:
        print_json([_json(view) for view in views])
        return
    rows = [_json(view) | {"cause": view.cause[:100], "created_at": view.created_at} for view in views]
    print_rows(COLUMNS, rows, empty=f"No dead letter is {state}.")


def show(
    letter: Annotated[int, typer.Argument(help="The letter's number, as `dlq list` prints it.")],
    raw: Annotated[Path | None, typer.Option("--raw", help="Write the original bytes into this file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show one dead letter: cause, place, and its original bytes."""
    view = run(_with_letters(lambda letters: letters.find(letter)))
    if raw is not None:
        raw.write_bytes(view.raw)
        typer.echo(f"{len(view.raw):,} bytes written to {raw}", err=True)
    if as_json:
        print_json(_json(view) | {"raw_base64": base64.b64encode(view.raw).decode()})
        return
    typer.echo(f"dead letter {view.dl_id}   {view.state}   {moment(view.created_at)}")
    typer.echo(f"  cause     {view.cause}")
    typer.echo(f"  kind      {view.error_class}   source {view.source}   attempts {view.attempts}")
    for name, value in (
        ("place", view.place),
        ("event", view.event_id),
        ("run", view.run_id),
        ("graph", view.graph_version),
    ):
        if value:
            typer.echo(f"  {name:<9} {value}")
    typer.echo(f"  bytes     {len(view.raw):,}\n{dump(view.raw)}")


def dump(raw: bytes, limit: int = 512) -> str:
    """The bytes as text when they are some, else as hexadecimal digits with ASCII beside."""
    head = raw[:limit]
    try:
        text = head.decode()
    except UnicodeDecodeError:
        text = "\x00"
    if text.isprintable():
        return f"    {text}{' …' if len(raw) > limit else ''}"
    lines = []
    for start in range(0, len(head), 16):
        part = head[start : start + 16]
        ascii_ = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"    {start:06x}  {part.hex(' '):<47}  {ascii_}")
    return "\n".join(lines)


def _json(view: LetterView) -> dict[str, Any]:
    return {
        "id": view.dl_id,
        "state": view.state,
        "source": view.source,
        "cause": view.cause,
        "error_class": view.error_class,
        "stack_hash": view.stack_hash,
        "place": view.place,
        "topic": view.topic,
        "partition": view.partition,
        "offset": view.offset,
        "event_id": str(view.event_id) if view.event_id else None,
        "run_id": str(view.run_id) if view.run_id else None,
        "attempts": view.attempts,
        "graph_version": view.graph_version,
        "size_bytes": len(view.raw),
        "created_at": utc(view.created_at),
    }


async def _with_letters(ask: Callable[[Letters], Awaitable[T]]) -> T:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.letters import Letters

    settings = stack_settings()
    async with open_database(settings) as database:
        return await ask(Letters(database))
