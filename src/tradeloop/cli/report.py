"""tradeloop report: a desk's day as a page and a picture."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import NOT_FOUND, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, note, print_json, printable, say, utc
from tradeloop.cli.waiting import run as run_to_end
from tradeloop.errors import NotFound, UsageInvalid

if TYPE_CHECKING:
    from tradeloop.domain.runs import RunView
    from tradeloop.report.day import Case, Day, Picture
    from tradeloop.settings import Settings
    from tradeloop.store.database import Database
    from tradeloop.store.desk_day import DeskDays

REPORT = epilog(
    "tradeloop report marketdata --date 2026-11-23",
    "tradeloop report settlement --date yesterday --out fails.html --png --json",
    codes={NOT_FOUND: "nothing of that desk on that day", UNREACHABLE: "PostgreSQL is unreachable"},
)
ENDS = (".html", ".png")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report", epilog=REPORT)(report)


def report(
    desk: Annotated[str, typer.Argument(help="The desk, for example marketdata.")],
    day: Annotated[str, typer.Option("--date", help="A day of UTC: 2026-11-23, today or yesterday.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file: .html, or .png for the picture alone.")
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="The picture beside the page, too.")] = False,
    pictures: Annotated[int, typer.Option(min=0, max=1000, help="Pictures in the page, the weightiest first.")] = 40,
    runs: Annotated[int, typer.Option(min=1, max=10_000, help="Runs in the page, the newest first.")] = 500,
    as_json: JsonFlag = False,
) -> None:
    """Write a desk's day as one HTML file that can be forwarded: coverage, decisions, pictures with their findings.

    Without --out the file is report-DESK-DATE.html, here. Days and times are those of UTC.
    """
    wanted = _day(day)
    page_file, png_file = _files(out or Path(f"report-{_plain_name(desk)}-{wanted.isoformat()}.html"), png=png)
    found, drawn, left_out = run_to_end(_read(desk, wanted, runs, pictures), f"the runs of {wanted.isoformat()}")
    written = _written(found, drawn, left_out, page_file, png_file)
    if as_json:
        print_json(_json(found, drawn, written))
        return
    counts = found.coverage
    say(
        f"{printable(desk)} {wanted.isoformat()} (UTC): {counts.received:,} taken in, {counts.decided:,} decided, "
        f"{sum(counts.ended.values()):,} ended undecided, {sum(counts.open.values()):,} open now"
    )
    for file in written:
        say(printable(f"  {file}"))
    if len(found.cases) < found.runs:
        note(f"the newest {len(found.cases):,} of {found.runs:,} runs; --runs takes more")


def _day(text: str) -> date:
    today = datetime.now(UTC).date()
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    if text in named:
        return named[text]
    try:
        found = date.fromisoformat(text)
    except ValueError as problem:
        raise UsageInvalid(f"--date is {text!r}: a day 2026-11-23, today or yesterday is expected") from problem
    if found > today:
        raise UsageInvalid(f"--date is {text}, which is still to come: in UTC today is {today.isoformat()}")
    if found.year < 1900:
        raise UsageInvalid(f"--date is {text}: no run is that old")
    return found


def _plain_name(desk: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in desk)[:60]


def _files(out: Path, *, png: bool) -> tuple[Path | None, Path | None]:
    if out.suffix not in ENDS:
        raise UsageInvalid(f"--out is {str(out)!r}: a file that ends with {' or '.join(ENDS)} is expected")
    if not os.path.isdir(out.parent) or os.path.isdir(out):  # noqa: PTH112 - of a name that can be none: no, not an error
        raise UsageInvalid(f"--out is {str(out)!r}: a file in a folder that exists is expected")
    if out.suffix == ".png":
        return None, out
    return out, out.with_suffix(".png") if png else None


async def _read(desk: str, day: date, runs: int, most: int) -> tuple[Day, list[Picture], int]:
    from importlib.metadata import version

    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.report.day import Day
    from tradeloop.report.desks import pictures
    from tradeloop.store.desk_day import DeskDays

    settings = stack_settings()
    async with open_database(settings, size=2) as database:
        days = DeskDays(database, settings.instance)
        views, total = await days.runs(desk, day, limit=runs)
        if not views:
            raise await _nothing(days, settings, desk, day)
        coverage = await days.coverage(desk, day)
        cases = await _cases(database, days, views, settings.reference_root)
    made = Day(desk, day, coverage, tuple(cases), total, datetime.now(UTC), version("tradeloop"))
    return made, *pictures(desk, cases, settings.reference_root, most)


async def _cases(database: Database, days: DeskDays, views: list[RunView], root: Path) -> list[Case]:
    from tradeloop.report.cases import case_of
    from tradeloop.store.checkpoints import CheckpointStore

    found = []
    async with CheckpointStore(database) as checkpoints:
        for view in views:
            held = await checkpoints.aget_tuple({"configurable": {"thread_id": str(view.run_id), "checkpoint_ns": ""}})
            state = dict(held.checkpoint["channel_values"]) if held else {}
            found.append(case_of(view, await days.payload(view.run_id), state, root))
    return found


async def _nothing(days: DeskDays, settings: Settings, desk: str, day: date) -> NotFound:
    from tradeloop.domain.desk_days import bounds

    where = f"desk {desk!r} on {day.isoformat()} (UTC)"
    if not await days.is_known(desk):
        from tradeloop.workflow import load_workflows

        known = sorted({workflow.desk for workflow in load_workflows(settings.workflows).values()})
        return NotFound(f"nothing of {where}: nothing ever came to it.", hint=f"desks here: {', '.join(known)}")
    before = await days.last_before(desk, bounds(day)[0])
    hint = f"tradeloop report {desk} --date {before.isoformat()}" if before else f"tradeloop runs list --desk {desk}"
    return NotFound(f"nothing of {where}: no event came, no run ended, none stood open.", hint=hint)


def _written(
    day: Day, pictures: list[Picture], left_out: int, page_file: Path | None, png_file: Path | None
) -> list[str]:
    from tradeloop.report.page import page
    from tradeloop.report.png import png
    from tradeloop.report.sheet import sheet
    from tradeloop.report.style import LIGHT, picture_style

    contents: dict[Path, bytes] = {}
    if png_file:
        contents[png_file] = png(sheet(day, pictures), picture_style(LIGHT), LIGHT["ground"])
    if page_file:
        contents[page_file] = page(day, pictures, left_out=left_out).encode()
    for file, content in contents.items():
        unfinished = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(content)
            unfinished.replace(file)
        except OSError as problem:
            with suppress(OSError):
                unfinished.unlink()
            raise UsageInvalid(
                f"{file} cannot be written: {problem.strerror}", hint="--out names another file"
            ) from problem
    return sorted(str(file) for file in contents)


def _json(day: Day, pictures: list[Picture], files: list[str]) -> dict[str, Any]:
    return {
        "desk": day.desk,
        "date": day.day.isoformat(),
        "zone": "UTC",
        "made_at": utc(day.made_at),
        "files": files,
        "coverage": asdict(day.coverage),
        "runs": [_run(case) for case in day.cases],
        "runs_in_all": day.runs,
        "pictures": [
            {
                "run_id": str(one.case.run.run_id) if one.case else None,
                "title": one.chart.title,
                "words": one.chart.words,
                "remarks": list(one.remarks),
                "table": {"columns": list(one.table.columns), "rows": [list(row) for row in one.table.rows]},
            }
            for one in pictures
        ],
    }


def _run(case: Case) -> dict[str, Any]:
    view = case.run
    return {
        "run_id": str(view.run_id),
        "decision_id": str(view.decision_id),
        "subject": view.subject,
        "state": view.state.value,
        "received_at": utc(view.received_at),
        "finished_at": utc(view.finished_at),
        "decision": view.decision.plain if view.decision else None,
        "effect": view.effect or None,
        "error": view.error,
        "facts_from": case.source.name.lower(),
    }
