"""tradeloop keys: the keys that people and services reach the API with."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import CONFLICT, NOT_FOUND, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, note, print_json, print_rows, utc
from tradeloop.cli.people import By, login, with_people
from tradeloop.cli.waiting import run
from tradeloop.errors import Settled, UsageInvalid

if TYPE_CHECKING:
    from tradeloop.domain.keys import ApiKey

NEW = epilog(
    "tradeloop keys new anna.k --label laptop --out anna.key",
    "tradeloop keys new nightly --days 365 --json",
    codes={
        NOT_FOUND: "nobody of that name",
        CONFLICT: "inactive, or the file exists",
        UNREACHABLE: "PostgreSQL is away",
    },
)
LIST = epilog("tradeloop keys list", "tradeloop keys list --of anna.k --json", codes=(UNREACHABLE,))
REVOKE = epilog(
    "tradeloop keys revoke 5f1c9f0e7a52",
    codes={NOT_FOUND: "no such key", CONFLICT: "revoked before", UNREACHABLE: "PostgreSQL is away"},
)
COLUMNS = {
    "id": "ID",
    "principal": "OF",
    "state": "STATE",
    "label": "LABEL",
    "expires_at": "EXPIRES",
    "last_used_at": "LAST USED",
    "created_at": "MADE",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    keys = typer.Typer(help="Keys for the API. Kept as hashes; shown once.", no_args_is_help=True)
    keys.command("new", epilog=NEW)(new)
    keys.command("list", epilog=LIST)(list_keys)
    keys.command("revoke", epilog=REVOKE)(revoke)
    app.add_typer(keys, name="keys")


def new(
    name: Annotated[str, typer.Argument(help="Whose key: a name of `tradeloop people list`.")],
    label: Annotated[str, typer.Option(help="What it is for, or where it lies.")] = "",
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is good for.")] = 90,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write it into this new file, mode 600.")] = None,
    by: By = "",
    as_json: JsonFlag = False,
) -> None:
    """Make a key. It is shown now and never again: only its hash is kept."""
    from tradeloop.domain.keys import MAX_LABEL

    if len(label) > MAX_LABEL:
        raise UsageInvalid(f"the label has {len(label)} characters; at most {MAX_LABEL} are taken.")
    descriptor = _new_file(out) if out else -1
    expires_at = datetime.now(UTC) + timedelta(days=days)
    try:
        made = run(with_people(lambda p: p.new_key(name, label=label, expires_at=expires_at, by=login(by))))
    except BaseException:
        if out:
            os.close(descriptor)
            out.unlink()
        raise
    if out:
        with os.fdopen(descriptor, "w") as file:
            file.write(made.text + "\n")
    shown = {} if out else {"key": made.text}
    if as_json:
        print_json(_json(made.key) | shown | ({"file": str(out)} if out else {}))
        return
    typer.echo(str(out) if out else made.text)
    note(f"key {made.key.key_id} of {name}, good for {days} days" + ("" if out else "; it is never shown again"))


def list_keys(
    of: Annotated[str, typer.Option(help="Only those of this name.")] = "", as_json: JsonFlag = False
) -> None:
    """List keys, the newest first: whose, how they stand, when they were last used."""
    found = run(with_people(lambda people: people.keys(of)))
    if as_json:
        print_json([_json(key) for key in found])
        return
    times = ("expires_at", "last_used_at", "created_at")
    rows = [_json(key) | {name: getattr(key, name) for name in times} for key in found]
    print_rows(COLUMNS, rows, empty="There is no key: tradeloop keys new --help")


def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it: 12 digits.")],
    by: By = "",
    as_json: JsonFlag = False,
) -> None:
    """End a key at once, and the browser sessions that were opened with it."""
    from tradeloop.domain.keys import key_id_of

    key_id = key_id_of(key) or key
    run(with_people(lambda people: people.revoke_key(key_id, by=login(by))))
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        typer.echo(f"key {key_id} is revoked")


def _new_file(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as problem:
        raise Settled(f"{path} exists already.", hint="give the name of a new file") from problem
    except OSError as problem:
        raise UsageInvalid(f"{path} cannot be written: {problem.strerror}.") from problem


def _json(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "principal": key.principal,
        "state": key.state_at(datetime.now(UTC)),
        "label": key.label,
        "created_by": key.created_by,
        "created_at": utc(key.created_at),
        "expires_at": utc(key.expires_at),
        "revoked_at": utc(key.revoked_at),
        "revoked_by": key.revoked_by,
        "last_used_at": utc(key.last_used_at),
    }
