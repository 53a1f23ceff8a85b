"""tradeloop bench: measurements on the real stack."""

from __future__ import annotations

from typing import Annotated

import typer

from tradeloop.cli.audit import FOUND

QuickFlag = Annotated[bool, typer.Option("--quick", help="Fewer repeats: for trying it out, not for figures.")]
JsonAlone = Annotated[bool, typer.Option("--json", help="Print the last line alone, the JSON object.")]
EPILOG = (
    "Example: tradeloop bench capture --only hook,call. Takes about 20 minutes, with --quick 8. Progress is on stderr; "
    "the last line of stdout is one JSON object with every figure. Exit codes: 0 measured, whatever the times; "
    "1 a leg broke off; 6 an event was missing, phantom or doubled; 130 Ctrl-C."
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = typer.Typer(
        help="Measurements: each on a real stack of its own, in a scratch folder, on free ports.", no_args_is_help=True
    )
    bench.command("capture", epilog=EPILOG)(capture)
    bench.command("all", epilog="Example: tradeloop bench all --quick.")(everything)
    app.add_typer(bench, name="bench")


def capture(
    only: Annotated[str, typer.Option(help="Legs, by commas: hook, call, runs, missing, latency.")] = "",
    quick: QuickFlag = False,
    as_json: JsonAlone = False,
) -> None:
    """What capture costs a task, what is missing after a failure, how long an event takes."""
    from tradeloop.bench.capture import run

    legs = run([leg.strip() for leg in only.split(",") if leg.strip()], quick=quick, json_alone=as_json)
    if any(leg.broke_off for leg in legs):
        raise typer.Exit(1)
    if any(leg.name == "missing" and not target.met for leg in legs for target in leg.targets):
        raise typer.Exit(FOUND)


def everything(quick: QuickFlag = False, as_json: JsonAlone = False) -> None:
    """Run every benchmark there is."""
    capture(quick=quick, as_json=as_json)
