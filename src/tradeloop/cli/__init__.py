"""The command line: the composition root. Every command imports its own needs, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from tradeloop.cli.endings import INTERRUPTED, MEANINGS, epilog
from tradeloop.errors import TradeloopError

EPILOG = epilog("tradeloop up --detach", "tradeloop runs list --since 1d --json", codes=MEANINGS).replace(
    "\b\nExit codes:", "These options are accepted anywhere on the line, and so is --json.\n\n\b\nExit codes:"
)

COMMANDS = (
    "stack",
    "demo",
    "processes",
    "api",
    "runs",
    "approvals",
    "events",
    "decisions",
    "audit",
    "effects",
    "switch",
    "gate",
    "people",
    "keys",
    "dlq",
    "hindsight",
    "report",
    "graphs",
    "db",
    "topics",
    "doctor",
    "models",
    "tools",
    "new",
    "schema",
    "bench",
    "model",
)
"""Modules of commands, in the order of the help."""


def build_app() -> typer.Typer:
    """All commands; a module a noun."""
    from importlib import import_module

    app = typer.Typer(
        name="tradeloop",
        help="Airflow events in, guarded decisions back, proved.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=EPILOG,
    )
    app.callback()(_globals)
    for name in COMMANDS:
        import_module(f"tradeloop.cli.{name}").register(app)
    return app


def main() -> None:
    """Run a command; whatever ends it is told in words, with the exit code of its kind. Never a traceback."""
    words = sys.argv[1:]
    sys.exit(_run(words))


def _run(words: list[str]) -> int:
    from tradeloop.cli.line import arranged, wants_json
    from tradeloop.cli.output import OUTPUT, Output
    from tradeloop.cli.problems import tell, tell_defect, tell_usage

    vars(OUTPUT).update(vars(Output(as_json=wants_json(words))))
    try:
        code = build_app()(arranged(words), prog_name="tradeloop", standalone_mode=False)
    except TradeloopError as problem:
        return tell(problem)
    except typer.TyperException as problem:
        return tell_usage(problem)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as problem:  # noqa: BLE001 - the last net: a defect is told as one, with a report
        if not (OUTPUT.saw_ctrl_c or _began_with_ctrl_c(problem)):
            return tell_defect(problem, words)
        code = INTERRUPTED
    if code == INTERRUPTED:
        _tell_interrupted()
    return code if isinstance(code, int) else 0


def _began_with_ctrl_c(problem: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: one that comes while a client's C code runs ends as an error of that."""
    while problem is not None:
        if isinstance(problem, KeyboardInterrupt):
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def _tell_interrupted() -> None:
    from tradeloop.cli.output import OUTPUT, note

    note(f"interrupted{f': {OUTPUT.after_ctrl_c}' if OUTPUT.after_ctrl_c else ''}")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tradeloop {version('tradeloop')}")
        raise typer.Exit


def _globals(
    fields: Annotated[str, typer.Option(metavar="A,B", help="Only these columns or keys.")] = "",
    color: Annotated[
        str, typer.Option(metavar="WHEN", help="auto, always or never; also NO_COLOR, FORCE_COLOR.")
    ] = "auto",
    time: Annotated[str, typer.Option(metavar="HOW", help="local, utc or relative, in tables; JSON is UTC.")] = "local",
    profile: Annotated[
        str,
        typer.Option(metavar="NAME", help="Settings of .env.NAME or ~/.config/tradeloop/NAME.env, before all others."),
    ] = "",
    api: Annotated[
        str, typer.Option("--api", metavar="URL", help="The API that commands speak to, before TRADELOOP_API_URL.")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no progress.")] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="What lay beneath an error; -vv: all of it.",
        ),
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Answer questions with yes.")] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print it, end.")
    ] = False,
) -> None:
    """Airflow events in, guarded decisions back, proved."""
    from tradeloop.cli.output import OUTPUT

    for name, value, known in (
        ("--color", color, ("auto", "always", "never")),
        ("--time", time, ("local", "utc", "relative")),
    ):
        if value not in known:
            raise typer.BadParameter(f"{name} is {value!r}; {', '.join(known)} is expected")
    OUTPUT.fields = [part.strip() for part in fields.split(",") if part.strip()]
    OUTPUT.color, OUTPUT.time, OUTPUT.quiet = color, time, quiet
    OUTPUT.verbose, OUTPUT.is_agreed = verbose, yes
    if profile:
        os.environ["TRADELOOP_PROFILE"] = profile
    OUTPUT.api = api
