"""The command line: the composition root. Every command imports its own needs, so that `--help` is quick."""

from __future__ import annotations

import os
import sys

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
    for name in COMMANDS:
        import_module(f"tradeloop.cli.{name}").register(app)
    return app


def main() -> None:
    """Run a command; an error of ours is told in words, with the exit code of its kind."""
    try:
        build_app()()
    except TradeloopError as problem:
        tell(problem)
        sys.exit(problem.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def tell(problem: TradeloopError) -> None:
    """Print an error: what, where, what to do next."""
    print(f"error: {problem.message}", file=sys.stderr)
    if problem.where:
        print(f"  {problem.where}", file=sys.stderr)
    if problem.hint:
        print(f"  next: {problem.hint}", file=sys.stderr)
    if os.environ.get("TRADELOOP_TRACEBACK"):
        raise problem
