"""tradeloop db stats, tradeloop db clean: how the database does, and what is over."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final  # Any: cells of a table

import typer

from tradeloop.cli.endings import UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, note, print_json, print_rows, say, utc
from tradeloop.cli.waiting import run

STATS = epilog("tradeloop db stats", "tradeloop db stats --json", codes=(UNREACHABLE,))
CLEAN = epilog("tradeloop db clean --dry-run", "tradeloop db clean", codes=(UNREACHABLE,))
TABLES: Final = {
    "table": "TABLE",
    "rows": "ROWS (ESTIMATE)",
    "dead_rows": "DEAD ROWS",
    "size": "SIZE",
    "oldest_at": "OLDEST",
    "vacuumed_at": "VACUUMED",
}
BACKLOG: Final = {"desk": "DESK", "state": "STATE", "runs": "RUNS", "heads": "HEADS", "oldest_at": "OLDEST"}
WORKERS: Final = {
    "worker_id": "WORKER",
    "kind": "KIND",
    "state": "STATE",
    "runs": "RUNS",
    "host": "HOST",
    "pid": "PID",
    "lease_until": "LEASE UNTIL",
}
FOR_EVER_S: Final = 1e9


def register(db: typer.Typer) -> None:
    """Add the commands."""
    db.command("stats", epilog=STATS)(stats)
    db.command("clean", epilog=CLEAN)(clean)


def stats(as_json: JsonFlag = False) -> None:
    """Show rows, sizes, what waits, who holds the outbox, and what keeps the vacuum from its work."""
    found = run(_stats())
    if as_json:
        print_json(_plain(found))
        return
    print_rows(TABLES, [row | {"size": _size(row["size_bytes"])} for row in found["tables"]], empty="No table.")
    say("")
    print_rows(BACKLOG, found["backlog"], empty="No run is live.")
    say("")
    print_rows(WORKERS, found["workers"], empty="No worker is live.")
    say("")
    held = [lane for lane in found["lanes"] if lane["is_held"]]
    lag = found["outbox"]["lag_s"]
    say(
        f"outbox {found['outbox']['rows']:,} rows{f', the oldest {lag:.1f} s' if lag is not None else ''}; "
        f"{len(held)} of {len(found['lanes'])} lanes held by {len({lane['owner'] for lane in held})} relays"
    )
    horizon = found["horizon"]
    say(f"oldest snapshot {horizon['oldest_xmin_age']:,} transactions back   {horizon['held_by'] or ''}".rstrip())


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove what is older than its table's time (TRADELOOP_KEEP_…_DAYS), as the relay does every few minutes."""
    removed = run(_clean(dry_run), "PostgreSQL, in small batches")
    if as_json:
        print_json({"dry_run": dry_run, "removed": removed})
        return
    rows = [{"table": table, "rows": count} for table, count in removed.items() if count]
    print_rows({"table": "TABLE", "rows": "ROWS"}, rows, empty="Nothing is over.")
    if rows and dry_run:
        note("nothing was removed: this is a dry run (of checkpoints, threads are counted)")


async def _stats() -> dict[str, Any]:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.stats import stats_of

    async with open_database(stack_settings()) as database:
        return await stats_of(database)


async def _clean(dry_run: bool) -> dict[str, int]:
    from tradeloop.cli.context import stack_settings
    from tradeloop.engine.housekeeping import Housekeeping
    from tradeloop.store.database import Database
    from tradeloop.store.retention import LOCK_TIMEOUT_MS, PostgresRetention

    settings = stack_settings()
    settings.require("database_url")
    database = Database.of(
        settings,
        size=1,
        lock_timeout_ms=LOCK_TIMEOUT_MS,
    )
    await database.check()
    async with database:
        chore = Housekeeping(PostgresRetention(database), settings.keep_days)
        return await chore.due() if dry_run else await chore.tick(FOR_EVER_S)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return utc(value) if isinstance(value, datetime) else value


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GB"
