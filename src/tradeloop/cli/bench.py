"""tradeloop bench: measurements on the real stack."""

from __future__ import annotations

from typing import Annotated

import typer

from tradeloop.cli.endings import FOUND, epilog

QuickFlag = Annotated[bool, typer.Option("--quick", help="Fewer repeats: for trying it out, not for figures.")]
JsonAlone = Annotated[bool, typer.Option("--json", help="Print the last line alone, the JSON object.")]
CODES = {
    0: "measured, whatever the times",
    1: "a leg broke off",
    FOUND: "an event was missing, phantom or doubled",
}
CAPTURE = epilog("tradeloop bench capture --quick", "tradeloop bench capture --only hook,call --json", codes=CODES)
ALL = epilog("tradeloop bench all --quick", "tradeloop bench all --json", codes=CODES)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = typer.Typer(
        help="Measurements: each on a real stack of its own, in a scratch folder, on free ports.", no_args_is_help=True
    )
    bench.command("capture", epilog=CAPTURE)(capture)
    bench.command("all", epilog=ALL)(everything)
    app.add_typer(bench, name="bench")


def capture(
    only: Annotated[str, typer.Option(help="Legs, by commas: hook, call, runs, missing, latency.")] = "",
    quick: QuickFlag = False,
    as_json: JsonAlone = False,
) -> None:
    """What capture costs a task, what is missing after a failure, how long an event takes.

    About 20 minutes, --quick 8. Progress is on stderr; the last line of stdout is one JSON object with its figures.
    """
    from tradeloop.bench.capture import run

    legs = run([leg.strip() for leg in only.split(",") if leg.strip()], quick=quick, json_alone=as_json)
    if any(leg.broke_off for leg in legs):
        raise typer.Exit(1)
    if any(leg.name == "missing" and not target.met for leg in legs for target in leg.targets):
        raise typer.Exit(FOUND)


def everything(quick: QuickFlag = False, as_json: JsonAlone = False) -> None:
    """Run every benchmark there is."""
    capture(quick=quick, as_json=as_json)
