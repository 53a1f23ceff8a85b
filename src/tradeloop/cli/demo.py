"""tradeloop demo: the road from an Airflow task to the DAG run that it causes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tradeloop.cli.endings import epilog
from tradeloop.cli.output import JsonFlag

if TYPE_CHECKING:
    from tradeloop.demo.screen import DemoScreen
    from tradeloop.settings import Settings

EPILOG = epilog(
    "tradeloop demo",
    "tradeloop demo --desks",
    "tradeloop demo --stop --json",
    codes={0: "all the way round for each batch", 1: "a leg broke off"},
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(demo)


def demo(
    stop: Annotated[bool, typer.Option("--stop", help="Take the stack down at the end.")] = False,
    desks: Annotated[
        bool, typer.Option("--desks", help="Then the examples of reconciliation, risk limits and settlement, too.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Start everything and follow three batches of real prices: event, decision, and exactly one DAG run each."""
    from tradeloop.demo.screen import DemoScreen
    from tradeloop.settings import load_settings

    settings = load_settings()
    screen = DemoScreen(as_json=as_json)
    screen.title()
    is_round = False
    try:
        _start(settings, screen)
        is_round = _show(screen, desks=desks)
    except KeyboardInterrupt:
        stop = True
        raise
    finally:
        if stop:
            _stop(settings, quiet=as_json)
    raise typer.Exit(0 if is_round else 1)


def _start(settings: Settings, screen: DemoScreen) -> None:
    from tradeloop.errors import PrerequisiteMissing
    from tradeloop.stack import addresses
    from tradeloop.stack.screen import Screen
    from tradeloop.stack.supervisor import launch

    screen.section("start")
    if not (settings.dags_folder / "example_etl_dag.py").is_file():
        raise PrerequisiteMissing(
            f"there is no example_etl_dag.py in {settings.dags_folder}.",
            hint="run the demo in the project's folder, or set TRADELOOP_DAGS_FOLDER to its dags",
        )
    if addresses(settings.home):
        screen.line("  ✓ the stack is up already")
        return
    with Screen(sys.stderr) as progress:
        launch(settings, None, progress)


def _show(screen: DemoScreen, *, desks: bool) -> bool:
    from tradeloop.cli.context import stack_settings
    from tradeloop.demo.legs import BATCHES, OTHER_DESKS
    from tradeloop.demo.show import show

    settings = stack_settings()
    settings.require("database_url", "kafka_bootstrap", "airflow_url")
    import asyncio

    return asyncio.run(show(settings, screen, (*BATCHES, *(OTHER_DESKS if desks else ()))))


def _stop(settings: Settings, *, quiet: bool) -> None:
    from tradeloop.stack.screen import Screen
    from tradeloop.stack.supervisor import halt

    with Screen(sys.stderr, quiet=quiet) as progress:
        halt(settings.home, progress)
