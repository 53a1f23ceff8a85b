"""tradeloop up, down, status: everything on one machine."""

from __future__ import annotations

import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import CONFLICT, FAILED, INTERRUPTED, NOT_FOUND, epilog
from tradeloop.cli.output import OUTPUT, JsonFlag, agreed, moment, note, print_json, say, state_words, utc

if TYPE_CHECKING:
    from tradeloop.settings import Settings

OnlyOption = Annotated[str, typer.Option(help="Parts, separated by commas, such as postgres,kafka,airflow.")]
UP = epilog(
    "tradeloop up --detach",
    "tradeloop up --only postgres,kafka",
    codes={FAILED: "a part did not start; its log is named", CONFLICT: "a stack runs here already"},
)
DOWN = epilog(
    "tradeloop down",
    "tradeloop down --wipe --yes",
    codes={CONFLICT: "a program that is no supervisor runs this stack for itself"},
)
STATUS = epilog(
    "tradeloop status",
    "tradeloop status --watch --json",
    codes={0: "up", NOT_FOUND: "no stack is up here"},
)
WATCH_EVERY_S = 0.5


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=UP)(up)
    app.command(epilog=DOWN)(down)
    app.command(epilog=STATUS)(status)


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return when all is ready; the stack goes on.")] = False,
    only: OnlyOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Start everything on this machine.

    PostgreSQL, Kafka, Airflow, relay, worker and API; a later start goes on with the data. With --json the addresses
    are one document on stdout, as `tradeloop status --json` prints them.
    """
    from tradeloop.settings import load_settings
    from tradeloop.stack.screen import Screen
    from tradeloop.stack.supervisor import launch, run_in_foreground

    settings = load_settings()
    parts = [part.strip() for part in only.split(",") if part.strip()] or None
    with Screen(quiet=OUTPUT.quiet) as screen:
        if detach:
            launch(settings, parts, screen)
            _tell_addresses(settings, as_json=as_json)
            return

        def progress(part: str, state: str, detail: str, elapsed_s: float) -> None:
            if state == "up":
                _tell_addresses(settings, as_json=as_json)
                typer.echo("Ctrl-C stops everything.", err=True)
            else:
                screen(part, state, detail, elapsed_s)

        if run_in_foreground(settings, parts, progress) == signal.SIGINT:
            raise typer.Exit(INTERRUPTED)


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Remove its data, secrets and logs, too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Stop everything that runs here.

    Also what a killed start left. --wipe asks at a terminal; --yes answers.
    """
    from tradeloop.settings import load_settings
    from tradeloop.stack.screen import Screen
    from tradeloop.stack.supervisor import halt

    settings = load_settings()
    if wipe and sys.stdin.isatty():
        agreed(f"Remove all data, secrets and logs in {settings.home}?")
    with Screen(quiet=OUTPUT.quiet) as screen:
        found = halt(settings.home, screen, wipe=wipe)
    if as_json:
        print_json({"stopped": found, "wiped": wipe})
        return
    ended = "stopped" if found else "nothing ran here"
    note(f"{ended}; data, secrets and logs were removed" if wipe else ended)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Then a line for each change, until Ctrl-C.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show each part: state, process, port, memory, log; with --watch --json an object a line."""
    from tradeloop.settings import load_settings
    from tradeloop.stack.lookup import describe

    home = load_settings().home
    found = describe(home)
    _tell_status(found, as_json=as_json)
    if watch:
        _watch(home, found, as_json=as_json)
    if found["state"] != "up":
        raise typer.Exit(NOT_FOUND)


def _tell_status(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        say(f"{state_words(found['state'])}  {found['home']}")
        for part in found["parts"]:
            port = f":{part['port']}" if part["port"] else ""
            pid = f"pid {part['pid']}" if part["pid"] else ""
            memory = f"{part['memory_mb']} MB" if part["memory_mb"] else ""
            again = f"restarted {part['restarts']} times" if part["restarts"] else ""
            state = state_words(part["state"])
            columns = f"  {part['name']:<16} {state:<12} {port:<7} {pid:<12} {memory:>8}  {again} {part['detail']}"
            say(columns.rstrip())
        for name, value in found["addresses"].items():
            typer.echo(f"  {name:<16} {value}")


def _watch(home: Path, found: dict[str, Any], *, as_json: bool) -> None:
    """Tell what changes: a state, a process; not the memory, which always does."""
    from tradeloop.stack.lookup import describe

    OUTPUT.after_ctrl_c = "nothing was changed"
    known = _places(found)
    while True:
        time.sleep(WATCH_EVERY_S)
        found = describe(home)
        for name, (state, pid) in _places(found).items():
            was, was_pid = known.get(name, ("", 0))
            if (state, pid) == (was, was_pid):
                continue
            at = datetime.now(UTC)
            if as_json:
                print_json({"at": utc(at), "name": name, "state": state, "was": was, "pid": pid})
            else:
                process = f"pid {pid}" if pid else ""
                words = f"{moment(at)}  {name:<16} {state_words(state):<12} {process:<12} was {was or 'not there'}"
                say(words + (f", pid {was_pid}" if was_pid and was_pid != pid else ""))
        known = _places(found)


def _places(found: dict[str, Any]) -> dict[str, tuple[str, int]]:
    parts = {part["name"]: (part["state"], part["pid"]) for part in found["parts"]}
    return {"stack": (found["state"], 0), **parts}


def _tell_addresses(settings: Settings, *, as_json: bool) -> None:
    from tradeloop.stack.lookup import describe

    found = describe(settings.home)
    if as_json:
        print_json(found)
        return
    for name, value in found["addresses"].items():
        typer.echo(f"  {name:<16} {value}", err=True)
    if "airflow_url" in found["addresses"]:
        typer.echo(f"  sign in as admin; its password is in {_short(Path(found['airflow_passwords']))}", err=True)
    if "api_url" in found["addresses"] and (keys := Path(found["home"]) / "keys").is_dir():
        names = " and ".join(sorted(path.stem for path in keys.glob("*.key")))
        typer.echo(f"  keys for the API, of {names}, are in {_short(keys)}", err=True)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
