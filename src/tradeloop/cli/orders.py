"""tradeloop runs cancel, tradeloop runs move: what a person wants of a live run."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from tradeloop.cli.endings import CONFLICT, NOT_FOUND, epilog
from tradeloop.cli.output import JsonFlag, print_json, say, state_words
from tradeloop.cli.waiting import run as run_to_end
from tradeloop.errors import NotFound, UsageInvalid

if TYPE_CHECKING:
    from tradeloop.domain.runs import RunView
    from tradeloop.settings import Settings
    from tradeloop.store.database import Database

CANCEL = epilog(
    'tradeloop runs cancel 0b1e77aa --reason "wrong batch"',
    'tradeloop runs cancel 0b1e77aa --reason "wrong batch" --json',
    codes={NOT_FOUND: "not found", CONFLICT: "the run has ended"},
)
MOVE = epilog(
    "tradeloop runs move 0b1e77aa --to-version 4c0d19e2a7b35f68",
    "tradeloop runs move 0b1e77aa --to-version 4c0d19e2a7b35f68 --json",
    codes={NOT_FOUND: "no such run or version", CONFLICT: "the run does not wait for a version"},
)
Run = Annotated[str, typer.Argument(help="The beginning of a run's, event's or decision's id.")]
By = Annotated[str, typer.Option(help="Who wants it, for the audit; your login name when not given.")]


def register(runs: typer.Typer) -> None:
    """Add the commands."""
    runs.command("cancel", epilog=CANCEL)(cancel)
    runs.command("move", epilog=MOVE)(move)


def cancel(
    run: Run,
    reason: Annotated[str, typer.Option(help="Why; kept with the run and in the audit.")],
    by: By = "",
    as_json: JsonFlag = False,
) -> None:
    """Ask that a live run be cancelled: its worker does it at the next step, a queued one when its turn comes.

    It is refused once an effect of the run is being carried out.
    """
    if not reason.strip():
        raise UsageInvalid("a reason is required: --reason.")
    view, state = run_to_end(_cancel(run, reason.strip(), by or getpass.getuser()))
    if as_json:
        print_json({"run_id": str(view.run_id), "state": state, "cancel": reason.strip()})
    else:
        say(f"run {view.run_id} is asked to end   {state_words(state)}   next: tradeloop runs watch {view.run_id}")


def move(
    run: Run,
    to_version: Annotated[str, typer.Option("--to-version", help="A version that `graphs list` shows.")],
    by: By = "",
    as_json: JsonFlag = False,
) -> None:
    """Let a run whose graph's version is gone go on with another one. Look first: tradeloop graphs check."""
    view, former = run_to_end(_move(run, to_version, by or getpass.getuser()))
    if as_json:
        print_json({"run_id": str(view.run_id), "from_version": former, "to_version": to_version})
    else:
        say(f"run {view.run_id} goes on with {to_version}, no longer {former or 'unknown'}")


async def _cancel(prefix: str, reason: str, by: str) -> tuple[RunView, str]:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.live_runs import PostgresLiveRuns

    settings = stack_settings()
    async with open_database(settings) as database:
        view = await _find(settings, database, prefix)
        return view, (await PostgresLiveRuns(database).cancel(view.run_id, by=by, reason=reason)).value


async def _move(prefix: str, version: str, by: str) -> tuple[RunView, str]:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.live_runs import PostgresLiveRuns
    from tradeloop.workflow import load_workflows

    settings = stack_settings()
    async with open_database(settings) as database:
        view = await _find(settings, database, prefix)
        store = PostgresLiveRuns(database)
        here = load_workflows(settings.workflows).get(view.event_type)
        known = await store.served() | ({here.version} if here else set())
        if version not in known:
            raise NotFound(
                f"no worker and no code here has version {version!r}; known: {', '.join(sorted(known)) or 'none'}.",
                hint="tradeloop graphs list",
            )
        return view, await store.move(view.run_id, version, by=by)


async def _find(settings: Settings, database: Database, prefix: str) -> RunView:
    from tradeloop.store.history import RunHistory

    return await RunHistory(database, settings.instance).find(prefix)
