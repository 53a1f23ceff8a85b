"""tradeloop graphs: the workflows of this installation, and what their code would make of stored states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final  # Any: JSON for stdout
from uuid import UUID

import typer

from tradeloop.cli.endings import FOUND, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, note, print_json, print_rows, printable, say
from tradeloop.cli.runs import period
from tradeloop.cli.waiting import run

if TYPE_CHECKING:
    from tradeloop.engine.graph_check import Finding
    from tradeloop.store.live_runs import StoredRun

LIST = epilog("tradeloop graphs list", "tradeloop graphs list --json", codes=(UNREACHABLE,))
CHECK = epilog(
    "tradeloop graphs check",
    "tradeloop graphs check --since 7d --json",
    codes={FOUND: "the code at hand would break a run", UNREACHABLE: "PostgreSQL is away"},
)
COLUMNS: Final = {
    "event_type": "EVENT TYPE",
    "desk": "DESK",
    "version": "VERSION",
    "here": "HERE",
    "workers": "ON WORKERS",
    "live": "LIVE RUNS",
}
PAGE: Final = 200
FIRST: Final = UUID(int=0)
VERDICTS: Final = ("goes on", "can be moved", "breaks")
NOT_BEGUN: Final = "(not begun)"


@dataclass(frozen=True, slots=True)
class Checked:
    """One run and what was found."""

    run: StoredRun
    finding: Finding
    here: str
    """Version of the code at hand."""

    @property
    def verdict(self) -> str:
        """goes on, can be moved, or breaks."""
        if self.finding.problems:
            return "breaks"
        stamped = self.run.version or self.finding.stamped
        return "goes on" if stamped in ("", self.here) else "can be moved"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    graphs = typer.Typer(help="Graphs: their versions, and what a new one would break.", no_args_is_help=True)
    graphs.command("list", epilog=LIST)(list_graphs)
    graphs.command("check", epilog=CHECK)(check)
    app.add_typer(graphs, name="graphs")


def list_graphs(as_json: JsonFlag = False) -> None:
    """List the workflows of this installation, and the versions that live runs are on."""
    rows = run(_versions())
    if as_json:
        print_json(rows)
        return
    told = [row | {"version": row["version"] or NOT_BEGUN} for row in rows]
    told = [row | {name: "yes" if row[name] else "" for name in ("here", "workers")} for row in told]
    print_rows(COLUMNS, told, empty="No workflow is installed, and no run is live.")


def check(
    since: Annotated[str, typer.Option(help="Also runs that ended within this time: 4h, 7d.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Load the stored state of every live run with the code at hand, and say what would break. Changes nothing."""
    checked = run(_check(since), "checkpoints")
    broken = [one for one in checked if one.finding.problems]
    if as_json:
        print_json([_json(one) for one in checked if one.verdict != "goes on"])
    else:
        verdicts = Counter(one.verdict for one in checked)
        say(
            f"{len(checked):,} runs: "
            + ", ".join(f"{verdicts[v]:,} {v}" for v in ("goes on", "can be moved", "breaks"))
        )
        for (event_type, problem), count in Counter(
            (one.run.event_type, problem) for one in broken for problem in one.finding.problems
        ).most_common(20):
            example = next(one for one in broken if problem in one.finding.problems)
            say(printable(f"  {count:,} {event_type}: {problem}   for example {example.run.run_id}"))
        for one in [one for one in checked if one.verdict == "can be moved"][:10]:
            note(f"tradeloop runs move {one.run.run_id} --to-version {one.here}")
    if broken:
        raise typer.Exit(FOUND)


async def _versions() -> list[dict[str, Any]]:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.live_runs import PostgresLiveRuns
    from tradeloop.workflow import load_workflows

    settings = stack_settings()
    here = {(w.event_type, w.desk, w.version) for w in load_workflows(settings.workflows).values()}
    async with open_database(settings) as database:
        store = PostgresLiveRuns(database)
        counts, served = await store.versions(), await store.served()
    live: Counter[tuple[str, str, str]] = Counter()
    states: dict[tuple[str, str, str], dict[str, int]] = {}
    for one in counts:
        key = (one.event_type, one.desk, one.version)
        live[key] += one.runs
        states.setdefault(key, {})[one.state.value] = one.runs
    return [
        {
            "event_type": key[0],
            "desk": key[1],
            "version": key[2],
            "here": key in here,
            "workers": key[2] in served,
            "live": live[key],
            "states": states.get(key, {}),
        }
        for key in sorted(here | set(live))
    ]


async def _check(since: str) -> list[Checked]:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.engine.graph_check import check_run
    from tradeloop.store.checkpoints import CheckpointStore
    from tradeloop.store.live_runs import PostgresLiveRuns
    from tradeloop.workflow import load_workflows

    settings = stack_settings()
    workflows = load_workflows(settings.workflows)
    versions = {name: workflow.version for name, workflow in workflows.items()}
    after = datetime.now(UTC) - period(since) if since else None
    found: list[Checked] = []
    async with open_database(settings, size=2) as database:
        store, saver = PostgresLiveRuns(database), CheckpointStore(database)
        runs = await _all(store.live)
        if after is not None:
            runs += await _all(lambda last, limit: store.ended(after, last, limit))
        for one in runs:
            finding = await check_run(workflows.get(one.event_type), one.event_type, saver, one.run_id)
            found.append(Checked(one, finding, versions.get(one.event_type, "")))
    return found


async def _all(read: Callable[[UUID, int], Awaitable[list[StoredRun]]]) -> list[StoredRun]:
    found: list[StoredRun] = []
    while page := await read(found[-1].run_id if found else FIRST, PAGE):
        found += page
    return found


def _json(one: Checked) -> dict[str, Any]:
    return {
        "run_id": str(one.run.run_id),
        "event_type": one.run.event_type,
        "state": one.run.state,
        "verdict": one.verdict,
        "version": one.run.version or one.finding.stamped,
        "version_here": one.here,
        "next_steps": list(one.finding.next_steps),
        "problems": one.finding.problems,
    }
