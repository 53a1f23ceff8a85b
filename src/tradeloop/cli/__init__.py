"""The command line: the composition root. Every command imports its own needs, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from tradeloop.errors import TradeloopError

COMMANDS = ("stack", "demo", "processes", "runs", "events", "audit", "dlq", "db", "doctor", "schema", "bench")
"""Modules of commands, in the order of the help."""


def build_app() -> typer.Typer:
    """All commands; a module a noun."""
    from importlib import import_module

    app = typer.Typer(
        name="tradeloop",
        help="Airflow events in, guarded decisions back, proved.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode=None,
    )
    app.callback()(_globals)
    for name in COMMANDS:
        import_module(f"tradeloop.cli.{name}").register(app)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tradeloop {version('tradeloop')}")
        raise typer.Exit


def main() -> None:
    """Run a command; an error of ours is told in words, with the exit code of its kind."""
    from tradeloop.cli.output import hoist

    try:
        build_app()(hoist(sys.argv[1:]))
    except TradeloopError as problem:
        tell(problem)
        sys.exit(problem.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _globals(
    fields: Annotated[str, typer.Option(help="Only these columns or keys: a,b,c.")] = "",
    color: Annotated[str, typer.Option(help="auto, always or never (NO_COLOR and FORCE_COLOR count, too).")] = "auto",
    time: Annotated[str, typer.Option(help="Times in tables: local, utc or relative; JSON is always UTC.")] = "local",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no progress.")] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print it, end.")
    ] = False,
) -> None:
    """Airflow events in, guarded decisions back, proved. These options are accepted anywhere on the line."""
    from tradeloop.cli.output import OUTPUT

    for name, value, known in (
        ("--color", color, ("auto", "always", "never")),
        ("--time", time, ("local", "utc", "relative")),
    ):
        if value not in known:
            raise typer.BadParameter(f"{name} is {value!r}; {', '.join(known)} is expected")
    OUTPUT.fields = [part.strip() for part in fields.split(",") if part.strip()]
    OUTPUT.color, OUTPUT.time, OUTPUT.quiet = color, time, quiet


def tell(problem: TradeloopError) -> None:
    """Print an error: what, where, what to do next."""
    print(f"error: {problem.message}", file=sys.stderr)
    if problem.where:
        print(f"  {problem.where}", file=sys.stderr)
    if problem.hint:
        print(f"  next: {problem.hint}", file=sys.stderr)
    if os.environ.get("TRADELOOP_TRACEBACK"):
        raise problem
