"""tradeloop audit: nothing lost, as a figure; nothing changed, as a proof."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from tradeloop.cli import proof, waiting
from tradeloop.cli.endings import FOUND, MEANINGS, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, note, utc
from tradeloop.cli.runs import period

if TYPE_CHECKING:
    from tradeloop.airflow.capture_audit import CaptureReport
    from tradeloop.airflow.lifecycle_audit import LifecycleReport

EPILOG = epilog(
    "tradeloop audit capture --since 1d",
    "tradeloop audit capture --since 4h --json",
    codes={
        0: "complete",
        FOUND: "an event is missing, doubled, phantom or pending",
        UNREACHABLE: MEANINGS[UNREACHABLE],
    },
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    audit = typer.Typer(help="Proof: what was captured, what was decided.", no_args_is_help=True)
    audit.callback()(lambda: None)
    audit.command("capture", epilog=EPILOG)(capture)
    proof.register(audit)
    app.add_typer(audit, name="audit")


def capture(
    since: Annotated[str, typer.Option(help="How far back: 30m, 4h, 7d.")] = "1d",
    accept_gap: Annotated[
        bool, typer.Option("--accept-gap", help="Let a sweep go on that stopped because rows were deleted unread.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Compare Airflow's history with the inbox: missing, doubled, phantom and late events, and their lanes."""
    if accept_gap:
        _tell_gap(waiting.run(_accept_gap(), "Airflow's history"))
    report, runs = waiting.run(_capture(since), "Airflow's history and the inbox")
    if as_json:
        typer.echo(json.dumps(report.as_json() | {"lifecycle": runs.as_json()}))
    else:
        typer.echo(words(report))
        for name in ("missing", "doubled", "phantom"):
            for event_id in getattr(report, name):
                typer.echo(f"  {name}  {event_id}")
        typer.echo(
            f"{runs.ended:,} runs ended   {runs.told:,} told   missing {len(runs.missing)}   pending {runs.pending}"
        )
        for run in runs.missing:
            typer.echo(f"  missing  {run}")
    raise typer.Exit(0 if report.is_complete and runs.is_complete else FOUND)


def words(report: CaptureReport) -> str:
    """The report in one line."""
    lanes = ", ".join(f"{count} {lane}" for lane, count in sorted(report.by_lane.items())) or "none"
    return (
        f"{report.in_airflow:,} in Airflow   {report.accepted:,} in the inbox ({lanes})   "
        f"missing {len(report.missing)}   doubled {len(report.doubled)} "
        f"({report.seen_by_both} seen by both lanes, dropped)   phantom {len(report.phantom)}   "
        f"late {report.late} (worst {report.worst_delay_s:.1f} s)   "
        f"pending {report.pending}   dead letters {report.dead_lettered + report.unreadable_rows}"
    )


def _tell_gap(gap: tuple[datetime, datetime] | None) -> None:
    if gap is None:
        note("There is no gap: the sweep can go on by itself.")
    else:
        note(f"accepted: events between {utc(gap[0])} and {utc(gap[1])} were deleted in Airflow before they were read")


async def _accept_gap() -> tuple[datetime, datetime] | None:
    import structlog

    from tradeloop.airflow.client import AirflowClient
    from tradeloop.airflow.sweep import accept_gap
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.captures import PostgresCaptures

    settings = stack_settings()
    settings.require("airflow_url")
    async with open_database(settings) as database, AirflowClient.from_settings(settings) as airflow:
        gap = await accept_gap(airflow, PostgresCaptures(database), datetime.now(UTC))
    if gap:
        structlog.get_logger().warning("capture_gap_accepted", since=utc(gap[0]), until=utc(gap[1]))
    return gap


async def _capture(since: str) -> tuple[CaptureReport, LifecycleReport]:
    from tradeloop.airflow.capture_audit import audit_capture
    from tradeloop.airflow.client import AirflowClient
    from tradeloop.airflow.lifecycle import BEGAN
    from tradeloop.airflow.lifecycle_audit import audit_lifecycle
    from tradeloop.airflow.run_history import AirflowRunHistory
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.captures import PostgresCaptureHistory, PostgresCaptures

    settings = stack_settings()
    settings.require("airflow_url")
    now = datetime.now(UTC)
    start = now - period(since)
    async with open_database(settings, size=2) as database, AirflowClient.from_settings(settings) as airflow:
        store = PostgresCaptureHistory(database)
        began = await PostgresCaptures(database).cursor(BEGAN) or now
        runs = await audit_lifecycle(AirflowRunHistory(airflow), store, settings, max(start, began), now)
        return await audit_capture(airflow, store, settings.instance, start, now), runs
