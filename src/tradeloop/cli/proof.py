"""tradeloop audit verify, export, heads, erase, key: the chain, checked and carried away."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any  # Any: JSON for stdout

import typer

from tradeloop.cli import waiting
from tradeloop.cli.endings import FOUND, MEANINGS, NOT_FOUND, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, agreed, moment, note, print_json, print_rows, printable, styled, utc
from tradeloop.errors import NotFound, UsageInvalid

if TYPE_CHECKING:
    from tradeloop.audit.findings import Report
    from tradeloop.audit.keys import PublicKey
    from tradeloop.settings import Settings
    from tradeloop.store.audit_chain import ClearText, Heads

VERIFY = epilog(
    "tradeloop audit verify",
    "tradeloop audit verify evidence.zip --key firm.pub",
    codes={
        0: "whole: nothing was changed",
        FOUND: "something was changed, is missing, or is signed by nobody who may",
        UNREACHABLE: MEANINGS[UNREACHABLE],
    },
)
EXPORT = epilog("tradeloop audit export --since 30d -o audit.jsonl", codes=(UNREACHABLE,))
HEADS = epilog("tradeloop audit heads", "tradeloop audit heads --json", codes=(UNREACHABLE,))
ERASE = epilog(
    "tradeloop audit erase 0b1e77aa --dry-run",
    'tradeloop audit erase 0b1e77aa --part reason --by anna.k --reason "request 17" --yes',
    codes=(NOT_FOUND, UNREACHABLE),
)
NEW = epilog("tradeloop audit key new firm.key")
TEXTS = {"n": "N", "kind": "RECORD", "key": "PART", "chars": "CHARACTERS", "at": "RECORDED"}
SHOWN = 100
HEX = frozenset("0123456789abcdef")

Keys = Annotated[list[str] | None, typer.Option("--key", help="A public key file; several times for several keys.")]


def register(audit: typer.Typer) -> None:
    """Add the commands."""
    audit.command("verify", epilog=VERIFY)(verify)
    audit.command("export", epilog=EXPORT)(export)
    audit.command("heads", epilog=HEADS)(heads)
    audit.command("erase", epilog=ERASE)(erase)
    key = typer.Typer(help="Keys that the seals are signed with.", no_args_is_help=True)
    key.callback()(lambda: None)
    key.command("new", epilog=NEW)(new_key)
    audit.add_typer(key, name="key")


def verify(
    file: Annotated[str, typer.Argument(help="An evidence bundle or an export; the database when not given.")] = "",
    key: Keys = None,
    since: Annotated[str, typer.Option(help="Records of this time alone: 12h, 7d. The seals are all checked.")] = "",
    head: Annotated[str, typer.Option(metavar="HEX", help="A head that is known: finds what was cut off since.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Check that nothing was changed, removed, inserted or put in another order: the database, or a file by itself."""
    if head and (len(head) != 64 or set(head.lower()) - HEX):
        raise UsageInvalid("--head is the 64 hexadecimal digits that verify printed.")
    report = _verified_file(Path(file), key or [], since, head) if file else _verified_database(key or [], since, head)
    print_json(report.as_json()) if as_json else _tell(report)
    if not report.is_whole:
        raise typer.Exit(FOUND)


def export(
    out: Annotated[str, typer.Option("--out", "-o", help="The file.")],
    since: Annotated[
        str, typer.Option(help="From the seals of this time on: 12h, 30d; everything when not given.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Write seals and records as JSON lines that verify without the database: tradeloop audit verify FILE --key PUB."""
    from tradeloop.cli.context import stack_settings
    from tradeloop.store.audit_export import exported
    from tradeloop.store.audit_reading import reading

    settings = stack_settings()
    settings.require("database_url")
    keys, moment_ = _keys(settings, []), _since(since)

    def write() -> dict[str, int]:
        with reading(settings.database_url) as reader, Path(out).open("w", encoding="utf-8") as file:
            return exported(reader, file, keys, instance=settings.instance, since=moment_)

    counts = waiting.call(write, "the audit")
    if as_json:
        print_json({"file": out, **counts})
        return
    typer.echo(f"{out}  {counts['seals']:,} seals, {counts['records']:,} records")
    if counts["unsealed"]:
        note(f"{counts['unsealed']:,} records wait for their seal and are not in the file")


def heads(as_json: JsonFlag = False) -> None:
    """Show the newest seal, what waits for the next one, and what the last verification said."""
    found = waiting.run(_heads())
    last = found.last_verification
    if as_json:
        print_json(_heads_json(found))
        return
    signed = f"signed by {found.key_id}" if found.key_id else "not signed"
    typer.echo(f"seal {found.seal:,}  {moment(found.sealed_at)}  {signed}\nhead {found.head}")
    oldest = f", the oldest of {moment(found.oldest_unsealed_at)}" if found.oldest_unsealed_at else ""
    typer.echo(f"{found.unsealed:,} records wait for a seal{oldest}")
    if last is None:
        typer.echo("never verified: tradeloop audit verify")
    else:
        typer.echo(f"verified {moment(last.verified_at)}: {last.records:,} records, {last.findings:,} findings")


def erase(
    run: Annotated[str, typer.Argument(help="The beginning of a decision's or a run's id, or a whole stream id.")],
    number: Annotated[int | None, typer.Option("--n", min=1, help="One record of it; all when not given.")] = None,
    part: Annotated[list[str] | None, typer.Option("--part", help="Only texts of this name, such as reason.")] = None,
    by: Annotated[str, typer.Option(help="Your name, for the audit.")] = "",
    reason: Annotated[str, typer.Option(help="Why; itself erasable.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Erase texts of audit records for good; their salted hashes stay, so the chain still verifies."""
    if not dry_run and (not by.strip() or not reason.strip()):
        raise UsageInvalid("--by and --reason are needed: the audit keeps who erased and why.")
    numbers = (number, number) if number else (1, 2**31 - 1)
    stream, found = waiting.run(_clear_texts(run, numbers, part or []))
    if not dry_run and found:
        agreed(f"{len(found)} texts of {stream} are erased, and cannot be brought back. Erase them?")
        gone = waiting.run(_erased(stream, numbers, part or [], by.strip(), reason.strip()))
        found = [one for one in found if (one.n, one.key) in set(gone)]
    if as_json:
        texts = [
            {"n": one.n, "kind": one.kind, "part": one.key, "chars": one.chars, "at": utc(one.at)} for one in found
        ]
        print_json({"stream_id": stream, "dry_run": dry_run, "texts": texts})
        return
    rows = [{"n": one.n, "kind": one.kind, "key": one.key, "chars": one.chars, "at": one.at} for one in found]
    print_rows(TEXTS, rows, empty="No text of these records is left.")
    if rows:
        note("nothing was erased: this is a dry run" if dry_run else "erased; the audit says so, and by whom")
        note("copies stand elsewhere until their retention: inbox, runs, effects, checkpoints, dead letters")


def new_key(
    file: Annotated[str, typer.Argument(help="The private key's file; the public one is FILE.pub.")],
    as_json: JsonFlag = False,
) -> None:
    """Make an Ed25519 key pair: FILE for the relay alone (TRADELOOP_AUDIT_KEY_FILE), FILE.pub for whoever verifies."""
    from tradeloop.audit.keys import new_key, public_file

    made = new_key(Path(file))
    public = public_file(Path(file))
    if as_json:
        print_json({"key_id": made.public.id, "private": file, "public": str(public)})
        return
    typer.echo(f"key {made.public.id}: {file} (private), {public}")


def _verified_file(file: Path, given: list[str], since: str, head: str) -> Report:
    from tradeloop.audit.archive import verify_archive
    from tradeloop.audit.bundle import is_bundle, verify_bundle
    from tradeloop.audit.keys import load_public_keys

    if since:
        raise UsageInvalid("--since is of the database: a file is checked as a whole.")
    if not file.is_file():
        raise NotFound(f"there is no file {file}.")
    keys = load_public_keys(*map(Path, given))
    with file.open("rb") as opened:
        begins = opened.read(4)
    if is_bundle(begins):
        if head:
            raise UsageInvalid("--head is of the database or an export: a bundle has a few seals alone.")
        return waiting.call(lambda: verify_bundle(file.read_bytes(), keys), "the bundle")
    return waiting.call(lambda: verify_archive(file, keys, head=head), "the export")


def _verified_database(given: list[str], since: str, head: str) -> Report:
    from tradeloop.cli.context import stack_settings
    from tradeloop.store.audit_reading import reading
    from tradeloop.store.audit_verify import verify as verified

    settings = stack_settings()
    settings.require("database_url")
    keys, start = _keys(settings, given), _since(since)
    with reading(settings.database_url) as reader:
        about = max(1, reader.counts()[0])
        with waiting.Waiting("records", total=about if not since else None) as shown:
            report = verified(reader, keys, since=start, head=head, progress=lambda done: shown.count(min(done, about)))
    if not since:
        waiting.run(_kept(settings, report))
    return report


def _keys(settings: Settings, given: list[str]) -> dict[str, PublicKey]:
    from tradeloop.audit.keys import accepted_keys, load_public_keys

    if given:
        return load_public_keys(*map(Path, given))
    return accepted_keys(settings.audit_key_file, settings.audit_public_keys, settings.home)


def _since(text: str) -> datetime | None:
    from tradeloop.cli.runs import period

    return datetime.now(UTC) - period(text) if text else None


def _tell(report: Report) -> None:
    signed = f"{report.signed:,} signed" if report.signed or report.unsigned else "signatures not checked"
    typer.echo(f"{report.records:,} records, {report.seals:,} seals ({signed})")
    for finding in report.findings[:SHOWN]:
        typer.echo(printable(f"  {finding.kind.value:<16}  {finding.place}  {finding.words}"))
    if report.found > SHOWN:
        typer.echo(f"  … and {report.found - SHOWN:,} more: --json lists the first 1,000")
    for words in report.notes:
        note(words)
    word = styled("whole", "green") if report.is_whole else styled(f"{report.found:,} findings", "red")
    typer.echo(f"{word}   head {report.head or 'none'} (seal {report.head_seal:,})")
    if report.is_whole and report.head:
        note("keep the head elsewhere: --head finds whether anything was cut off since")


def _heads_json(found: Heads) -> dict[str, Any]:
    last = found.last_verification
    return {
        "seal": found.seal,
        "head": found.head,
        "root": found.root,
        "sealed_at": utc(found.sealed_at),
        "key_id": found.key_id,
        "signature": found.signature,
        "unsealed": found.unsealed,
        "oldest_unsealed_at": utc(found.oldest_unsealed_at),
        "last_verification": last
        and {
            "verified_at": utc(last.verified_at),
            "records": last.records,
            "seals": last.seals,
            "findings": last.findings,
            "head": last.head,
        },
    }


async def _heads() -> Heads:
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.audit_chain import PostgresAuditChain

    async with open_database(stack_settings()) as database:
        return await PostgresAuditChain(database).heads()


async def _kept(settings: Settings, report: Report) -> None:
    from tradeloop.cli.context import open_database
    from tradeloop.store.audit_chain import PostgresAuditChain

    async with open_database(settings) as database:
        await PostgresAuditChain(database).keep_verification(report)


async def _clear_texts(run: str, numbers: tuple[int, int], parts: list[str]) -> tuple[str, list[ClearText]]:
    from uuid import UUID

    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.audit_chain import PostgresAuditChain
    from tradeloop.store.audit_evidence import find_run

    async with open_database(stack_settings()) as database:
        chain = PostgresAuditChain(database)
        try:
            stream = await find_run(database, run)
        except NotFound:
            if len(run.replace("-", "")) != 32:
                raise
            stream = UUID(run)
        return str(stream), await chain.clear_texts(stream, numbers, parts)


async def _erased(
    stream: str, numbers: tuple[int, int], parts: list[str], by: str, reason: str
) -> list[tuple[int, str]]:
    from uuid import UUID

    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.audit_chain import PostgresAuditChain

    async with open_database(stack_settings()) as database:
        return await PostgresAuditChain(database).erase(UUID(stream), numbers, parts, by=by, reason=reason)
