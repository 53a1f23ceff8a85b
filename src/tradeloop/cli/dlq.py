"""tradeloop dlq: what could not be read or decided."""

from __future__ import annotations

import base64
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli import replays
from tradeloop.cli.endings import NOT_FOUND, UNREACHABLE, USAGE, epilog
from tradeloop.cli.letters import filter_of, numbers, with_letters
from tradeloop.cli.output import JsonFlag, moment, note, print_json, print_rows, printable, utc
from tradeloop.cli.waiting import run

if TYPE_CHECKING:
    from tradeloop.domain.letters import Letter
    from tradeloop.store.letters import PostgresLetters

LIST = epilog("tradeloop dlq list --since 1d", "tradeloop dlq list --group", codes=(UNREACHABLE,))
SHOW = epilog(
    "tradeloop dlq show 12",
    "tradeloop dlq show 5f1c09ab --raw letter.bin",
    codes={USAGE: "wrong usage, or several begin so", NOT_FOUND: "not found", UNREACHABLE: "PostgreSQL is away"},
)
COLUMNS = {"id": "ID", "cause": "CAUSE", "source": "SOURCE", "place": "PLACE", "state": "STATE", "created_at": "AT"}
GROUPS = {
    "error_class": "KIND",
    "count": "COUNT",
    "source": "SOURCE",
    "stack_hash": "STACK",
    "example": "EXAMPLE",
    "first_at": "FIRST",
    "last_at": "LAST",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    dlq = typer.Typer(help="Dead letters: what could not be read or decided.", no_args_is_help=True)
    dlq.command("list", epilog=LIST)(list_letters)
    dlq.command("show", epilog=SHOW)(show)
    replays.register(dlq)
    app.add_typer(dlq, name="dlq")


def list_letters(
    group: Annotated[bool, typer.Option("--group", help="Open ones, one line a kind, with an example.")] = False,
    state: Annotated[str, typer.Option(help="open, replayed, discarded or all.")] = "open",
    cause: Annotated[str, typer.Option(help="Only those whose cause has these words.")] = "",
    kind: Annotated[str, typer.Option(help="Only this kind of error, as --group prints it.")] = "",
    source: Annotated[str, typer.Option(help="kafka, airflow, run or outbox.")] = "",
    topic: Annotated[str, typer.Option(help="Only those read from this topic.")] = "",
    since: Annotated[str, typer.Option(help="Only those of this time: 30m, 4h, 1d.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List dead letters, the newest first."""
    if group:
        groups = [asdict(found) for found in run(with_letters(lambda letters: letters.groups()))]
        if as_json:
            print_json([row | {"first_at": utc(row["first_at"]), "last_at": utc(row["last_at"])} for row in groups])
        else:
            print_rows(GROUPS, groups, empty="No dead letter is open.")
        return
    wanted = filter_of(state=state, cause=cause, kind=kind, source=source, topic=topic, since=since)
    found = run(with_letters(lambda letters: letters.recent(wanted, limit)))
    if as_json:
        print_json([letter_json(letter) for letter in found])
        return
    rows = [letter_json(one) | {"cause": one.cause[:100], "created_at": one.created_at} for one in found]
    print_rows(COLUMNS, rows, empty=f"No dead letter is {state}." if state != "all" else "There is no dead letter.")


def show(
    letter: Annotated[str, typer.Argument(help="Its number, or the beginning of its event's or run's id.")],
    raw: Annotated[Path | None, typer.Option("--raw", help="Write the original bytes into this file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show one dead letter: cause, place, what was done about it, and its original bytes."""

    async def ask(letters: PostgresLetters) -> Letter:
        [number] = await numbers(letters, [letter])
        return await letters.find(number)

    found = run(with_letters(ask))
    if raw is not None:
        raw.write_bytes(found.raw)
        note(f"{len(found.raw):,} bytes written to {raw}")
    if as_json:
        print_json(letter_json(found) | {"raw_base64": base64.b64encode(found.raw).decode()})
        return
    lines = [
        f"dead letter {found.letter_id}   {found.state}   {moment(found.created_at)}",
        f"  cause     {found.cause}",
        f"  kind      {found.error_class}   source {found.source}   attempts {found.attempts}",
    ]
    facts = {"place": found.place, "event": found.event_id, "run": found.run_id, "graph": found.graph_version}
    facts |= {"stack": found.stack_hash}
    lines += [f"  {name:<9} {value}" for name, value in facts.items() if value]
    if found.decided_at:
        lines.append(f"  {found.state:<9} {moment(found.decided_at)} by {found.decided_by} {found.reason}".rstrip())
    if found.replay_run_id:
        lines.append(f"  new run   {found.replay_run_id}")
    typer.echo("\n".join(printable(line) for line in lines))
    typer.echo(f"  bytes     {len(found.raw):,}\n{dump(found.raw)}")


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


def letter_json(letter: Letter) -> dict[str, Any]:
    """A letter for programs, without its bytes."""
    return {
        "id": letter.letter_id,
        "state": letter.state.value,
        "source": letter.source,
        "cause": letter.cause,
        "error_class": letter.error_class,
        "stack_hash": letter.stack_hash,
        "place": letter.place,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "event_id": str(letter.event_id) if letter.event_id else None,
        "run_id": str(letter.run_id) if letter.run_id else None,
        "attempts": letter.attempts,
        "graph_version": letter.graph_version,
        "size_bytes": len(letter.raw),
        "created_at": utc(letter.created_at),
        "decided_by": letter.decided_by,
        "decided_at": utc(letter.decided_at),
        "reason": letter.reason,
        "replay_run_id": str(letter.replay_run_id) if letter.replay_run_id else None,
    }
