"""How commands print: tables for terminals, clean JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any  # Any: cells of a table

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on stdout (JSON lines for streams).")]
HOISTED = {"--fields": True, "--color": True, "--time": True, "-q": False, "--quiet": False}
"""Options of every command, accepted anywhere on the line, and whether they take a value."""


@dataclass
class Output:
    """What the person wants to see."""

    fields: list[str] = field(default_factory=list)
    color: str = "auto"
    time: str = "local"
    quiet: bool = False


OUTPUT = Output()
"""Set once by the root command, before any command runs."""


def hoist(words: Sequence[str]) -> list[str]:
    """Move the options of every command to the front, where the root command reads them."""
    front: list[str] = []
    rest: list[str] = []
    pending = list(words)
    while pending:
        word = pending.pop(0)
        name, equals, _ = word.partition("=")
        if word == "--":
            rest += [word, *pending]
            break
        if name in HOISTED and name.startswith("-"):
            front.append(word)
            if HOISTED[name] and not equals and pending:
                front.append(pending.pop(0))
        else:
            rest.append(word)
    return front + rest


def print_json(document: Any) -> None:
    """One JSON document on stdout, reduced to `--fields` when given."""
    typer.echo(json.dumps(_reduced(document)))


def print_rows(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], *, empty: str) -> None:
    """A table: `columns` maps keys to headings, the most important first; the last ones go when it is narrow.

    Ids are never cut. Without a terminal every column is printed in full.
    """
    if not rows:
        note(empty)
        return
    shown = {key: columns.get(key, key.upper()) for key in OUTPUT.fields} or dict(columns)
    cells = [[_cell(row.get(key)) for key in shown] for row in rows]
    headings = list(shown.values())
    widths = [max(len(line[i]) for line in [headings, *cells]) for i in range(len(headings))]
    while len(widths) > 1 and sys.stdout.isatty() and sum(widths) + 2 * len(widths) > _width():
        widths.pop()
    for number, line in enumerate([headings, *cells]):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
        typer.echo(typer.style(text, bold=True) if number == 0 and _is_colored() else text)


def note(words: str) -> None:
    """A word to the person, on stderr; nothing with `--quiet`."""
    if not OUTPUT.quiet:
        typer.echo(words, err=True)


def printable(text: str) -> str:
    """The text with everything that a terminal would obey spelled out: it may come from outside."""
    return "".join(c if c.isprintable() else f"⟨U+{ord(c):04X}⟩" for c in text)


def moment(at: datetime | None) -> str:
    """A time as `--time` wants it: local with zone, utc, or relative."""
    if at is None:
        return "—"
    if OUTPUT.time == "utc":
        return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if OUTPUT.time == "relative":
        return _ago((datetime.now(UTC) - at).total_seconds())
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def utc(at: datetime | None) -> str | None:
    """A time for JSON: RFC 3339 in UTC with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if at else None


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit} ago"
    return f"{max(0.0, seconds):.0f}s ago"


def _reduced(document: Any) -> Any:
    if not OUTPUT.fields:
        return document
    if isinstance(document, list):
        return [_reduced(one) for one in document]
    return {key: document.get(key) for key in OUTPUT.fields} if isinstance(document, dict) else document


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "—"
    if isinstance(value, datetime):
        return moment(value)
    return printable(str(value))


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _is_colored() -> bool:
    if OUTPUT.color != "auto":
        return OUTPUT.color == "always"
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
