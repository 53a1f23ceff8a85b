"""tradeloop decisions: what was decided, as evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tradeloop.cli import waiting
from tradeloop.cli.endings import MEANINGS, NOT_FOUND, STILL_WAITING, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, note, print_json

if TYPE_CHECKING:
    from uuid import UUID

BUNDLE = epilog(
    "tradeloop decisions bundle 0b1e77aa -o evidence.zip",
    "tradeloop decisions bundle 0b1e77aa --json",
    codes={
        NOT_FOUND: MEANINGS[NOT_FOUND],
        UNREACHABLE: MEANINGS[UNREACHABLE],
        STILL_WAITING: "a record has no seal yet: again in some seconds",
    },
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    decisions = typer.Typer(help="Decisions: the evidence of each.", no_args_is_help=True)
    decisions.callback()(lambda: None)
    decisions.command("bundle", epilog=BUNDLE)(bundle)
    app.add_typer(decisions, name="decisions")


def bundle(
    decision: Annotated[str, typer.Argument(help="The beginning of a decision's or a run's id.")],
    out: Annotated[str, typer.Option("--out", "-o", help="The file; tradeloop-ID.zip when not given.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Write the evidence of one decision into a ZIP that anybody can read, print and verify with the public key."""
    from tradeloop.audit.keys import accepted_keys
    from tradeloop.cli.context import stack_settings

    settings = stack_settings()
    keys = accepted_keys(settings.audit_key_file, settings.audit_public_keys, settings.home)
    run_id, data = waiting.run(_made(decision))
    file = Path(out or f"tradeloop-{run_id!s}.zip")
    file.write_bytes(data)
    if as_json:
        print_json({"run_id": str(run_id), "file": str(file), "bytes": len(data), "keys": sorted(keys)})
        return
    typer.echo(f"{file}  {len(data):,} bytes")
    note(f"next: tradeloop audit verify {file} --key FIRM.pub, on any machine")


async def _made(decision: str) -> tuple[UUID, bytes]:
    from tradeloop.audit.keys import accepted_keys
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.audit_evidence import make_bundle

    settings = stack_settings()
    keys = accepted_keys(settings.audit_key_file, settings.audit_public_keys, settings.home)
    async with open_database(settings) as database:
        return await make_bundle(database, decision, keys)
