"""How commands print: tables for terminals, clean JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final  # Any: cells of a table

import typer

from tradeloop.errors import UsageInvalid

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on stdout (JSON lines for streams).")]

MARKS: Final = {
    "done": ("✓", typer.colors.GREEN),
    "ready": ("✓", typer.colors.GREEN),
    "up": ("✓", typer.colors.GREEN),
    "executed": ("✓", typer.colors.GREEN),
    "replayed": ("↻", typer.colors.GREEN),
    "allowed": ("✓", typer.colors.GREEN),
    "running": ("▸", typer.colors.CYAN),
    "starting": ("▸", typer.colors.CYAN),
    "queued": ("…", typer.colors.CYAN),
    "retrying": ("↻", typer.colors.YELLOW),
    "restarting": ("↻", typer.colors.YELLOW),
    "parked": ("◷", typer.colors.YELLOW),
    "waiting": ("◷", typer.colors.YELLOW),
    "outcome_unknown": ("?", typer.colors.YELLOW),
    "version_unavailable": ("?", typer.colors.YELLOW),
    "changed": ("✗", typer.colors.RED),
    "missing": ("✗", typer.colors.RED),
    "writes": ("✗", typer.colors.RED),
    "unknown": ("·", ""),
    "open": ("●", typer.colors.YELLOW),
    "failed": ("✗", typer.colors.RED),
    "abandoned": ("✗", typer.colors.RED),
    "cancelled": ("⊘", ""),
    "discarded": ("⊘", ""),
    "unhandled": ("○", ""),
    "stopped": ("·", ""),
    "down": ("·", ""),
}
"""Icon and colour of a state. The word always stands beside: neither icon nor colour says anything alone."""


@dataclass
class Output:
    """What the person wants to see."""

    fields: list[str] = field(default_factory=list)
    color: str = "auto"
    time: str = "local"
    quiet: bool = False
    as_json: bool = False
    verbose: int = 0
    is_agreed: bool = False
    """`--yes`: questions are answered so."""
    api: str = ""
    """`--api`: the API's address; empty: that of the settings."""
    saw_ctrl_c: bool = False
    """Whether Ctrl-C came, though what it ended may look like another error."""
    after_ctrl_c: str = ""
    """What the command says it finished or undid when Ctrl-C ends it."""


OUTPUT = Output()
"""Set once by the root command, before any command runs."""


def print_json(document: Any) -> None:
    """One JSON document on stdout, reduced to `--fields` when given."""
    typer.echo(json.dumps(_reduced(document)))


def print_rows(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], *, empty: str) -> None:
    """A table: `columns` maps keys to headings, the most important first; the last ones go when it is narrow.

    Ids are never cut. Without a terminal every column is printed in full. A column `state` gets its icon.
    """
    if not rows:
        note(empty)
        return
    _check_fields({name for row in rows for name in row} | set(columns))
    shown = {key: columns.get(key, key.upper()) for key in OUTPUT.fields} or dict(columns)
    cells = [[_cell(key, row.get(key)) for key in shown] for row in rows]
    headings = list(shown.values())
    widths = [max(_columns_of(line[i]) for line in [headings, *cells]) for i in range(len(headings))]
    while len(widths) > 1 and sys.stdout.isatty() and sum(widths) + 2 * (len(widths) - 1) > _width():
        widths.pop()
    say(styled(_line(headings, widths), bold=True))
    for row, line in zip(rows, cells, strict=True):
        told = [text + " " * (width - _columns_of(text)) for text, width in zip(line, widths, strict=False)]
        if "state" in list(shown)[: len(widths)]:
            place = list(shown).index("state")
            told[place] = styled(told[place], MARKS.get(str(row.get("state")), ("", ""))[1])
        say("  ".join(told).rstrip())
    if len(widths) < len(headings):
        note(f"too narrow for {', '.join(headings[len(widths) :])}: a wider terminal, --fields or a pipe shows them")


def say(text: str) -> None:
    """A line of data for a person, on stdout; styles stay in it where colours are wanted."""
    typer.echo(text, color=_is_colored())


def note(words: str) -> None:
    """A word to the person, on stderr; nothing with `--quiet`."""
    if not OUTPUT.quiet:
        sys.stdout.flush()
        typer.echo(words, err=True)


def agreed(question: str) -> None:
    """Ask before something that cannot be undone; `--yes` answers. Without a terminal it is refused.

    Raises:
        UsageInvalid: the answer was no, or nobody is there to give one.
    """
    if OUTPUT.is_agreed:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageInvalid("this asks a question, and there is no terminal to ask it on.", hint="add --yes")
    if not typer.confirm(question, err=True):
        raise UsageInvalid("not done: the answer was no.")


def state_words(state: str) -> str:
    """A state with its icon."""
    icon = MARKS.get(state, ("", ""))[0]
    return f"{icon} {state}".strip()


def styled(text: str, color: str = "", *, bold: bool = False) -> str:
    """The text in colour where colours are wanted; a colour only ever repeats what a word says."""
    return typer.style(text, fg=color or None, bold=bold or None) if _is_colored() and (color or bold) else text


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
        _check_fields({name for one in document if isinstance(one, dict) for name in one} or OUTPUT.fields)
        return [{key: one.get(key) for key in OUTPUT.fields} if isinstance(one, dict) else one for one in document]
    if not isinstance(document, dict):
        return document
    _check_fields(document)
    return {key: document[key] for key in OUTPUT.fields}


def _check_fields(known: Iterable[str]) -> None:
    unknown = [name for name in OUTPUT.fields if name not in set(known)]
    if unknown:
        raise UsageInvalid(f"--fields: there is no {unknown[0]!r}; known: {', '.join(known)}.")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        cell + " " * (width - _columns_of(cell)) for cell, width in zip(cells, widths, strict=False)
    ).rstrip()


def _cell(key: str, value: Any) -> str:
    if value is None or value == "":
        return "—"
    if isinstance(value, datetime):
        return moment(value)
    return printable(state_words(str(value)) if key == "state" else str(value))


def _columns_of(text: str) -> int:
    """How many columns of a terminal the text takes: some characters take two, marks none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(2 if east_asian_width(c) in "WF" else 0 if combining(c) else 1 for c in text)


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _is_colored() -> bool:
    if OUTPUT.color != "auto":
        return OUTPUT.color == "always"
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
