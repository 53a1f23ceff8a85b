"""tradeloop people: who may act. Whoever reaches the database is an administrator of the platform."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar  # Any: JSON for stdout

import typer

from tradeloop.cli.endings import CONFLICT, NOT_FOUND, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, agreed, note, print_json, print_rows
from tradeloop.cli.waiting import run
from tradeloop.errors import UsageInvalid

if TYPE_CHECKING:
    from tradeloop.domain.people import Delegation, Principal, Role
    from tradeloop.store.people import PostgresPeople

T = TypeVar("T")
LIST = epilog("tradeloop people list", "tradeloop people list --json", codes=(UNREACHABLE,))
ADD = epilog(
    "tradeloop people add anna.k --role viewer --role approver --release settlement:1000000:EUR",
    "tradeloop people add nightly --service --role service",
    codes={CONFLICT: "the name is taken", UNREACHABLE: "PostgreSQL is away"},
)
CHANGE = epilog(
    'tradeloop people change anna.k --role approver --release "*"',
    "tradeloop people change anna.k --inactive",
    codes=(NOT_FOUND, UNREACHABLE),
)
REMOVE = epilog("tradeloop people remove anna.k --yes", codes=(NOT_FOUND, UNREACHABLE))
COLUMNS = {"name": "NAME", "kind": "KIND", "roles": "ROLES", "delegations": "MAY RELEASE", "is_active": "ACTIVE"}
Name = Annotated[str, typer.Argument(help="The login name: what every record names.")]
Roles = Annotated[
    list[str] | None, typer.Option("--role", help="viewer, operator, approver, administrator or service; several.")
]
Releases = Annotated[
    list[str] | None,
    typer.Option("--release", metavar="DESK[:UP_TO[:CURRENCY]]", help="What an approver may release; * is every desk."),
]
By = Annotated[str, typer.Option(help="Who does it, for the audit; your login name when not given.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    people = typer.Typer(help="People and services: who may act, and what they may release.", no_args_is_help=True)
    people.command("list", epilog=LIST)(list_people)
    people.command("add", epilog=ADD)(add)
    people.command("change", epilog=CHANGE)(change)
    people.command("remove", epilog=REMOVE)(remove)
    app.add_typer(people, name="people")


def list_people(as_json: JsonFlag = False) -> None:
    """List everybody with roles and delegations; who was removed stays, inactive."""
    found = run(with_people(lambda people: people.all()))
    if as_json:
        print_json([one.model_dump(mode="json") | {"roles": sorted(one.roles)} for one in found])
        return
    rows = [
        {
            "name": one.name,
            "kind": one.kind,
            "roles": " ".join(sorted(one.roles)),
            "delegations": " ".join(_words(delegation) for delegation in one.delegations),
            "is_active": "yes" if one.is_active else "no",
        }
        for one in found
    ]
    print_rows(COLUMNS, rows, empty="There is nobody: tradeloop people add --help")


def add(
    name: Name,
    role: Roles = None,
    release: Releases = None,
    service: Annotated[bool, typer.Option("--service", help="A program, not a person.")] = False,
    by: By = "",
    as_json: JsonFlag = False,
) -> None:
    """Add a person or a service. Names are never given twice."""
    from tradeloop.domain.people import Principal

    principal = Principal(
        name=name,
        kind="service" if service else "person",
        roles=_roles(role or []),
        delegations=tuple(_delegation(text) for text in release or []),
    )
    run(with_people(lambda people: people.add(principal, by=login(by))))
    _tell(principal, as_json=as_json)
    note(f"tradeloop keys new {name} makes a key")


def change(
    name: Name,
    role: Roles = None,
    release: Releases = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive", help="Whether they may act at all.")] = None,
    by: By = "",
    as_json: JsonFlag = False,
) -> None:
    """Put other roles or delegations in place of all former ones; what is not named stays."""

    async def put(people: PostgresPeople) -> Principal:
        principal = await people.find(name)
        update: dict[str, Any] = {}
        if role:
            update["roles"] = _roles(role)
        if release is not None:
            update["delegations"] = tuple(_delegation(text) for text in release if text)
        if active is not None:
            update["is_active"] = active
        if not update:
            raise UsageInvalid("nothing to change: give --role, --release, --active or --inactive.")
        changed = principal.model_copy(update=update)
        await people.change(changed, by=login(by))
        return changed

    _tell(run(with_people(put)), as_json=as_json)


def remove(name: Name, by: By = "", as_json: JsonFlag = False) -> None:
    """Make somebody inactive, revoke all keys, end all sessions. The name stays theirs, as records name it."""
    agreed(f"Remove {name} and all their keys?")
    count = run(with_people(lambda people: people.remove(name, by=login(by))))
    if as_json:
        print_json({"name": name, "removed": True, "keys_revoked": count})
    else:
        typer.echo(f"{name} is inactive; {count} keys revoked")


async def with_people(ask: Callable[[PostgresPeople], Awaitable[T]]) -> T:
    """Ask the store of people."""
    from tradeloop.cli.context import open_database, stack_settings
    from tradeloop.store.people import PostgresPeople

    async with open_database(stack_settings()) as database:
        return await ask(PostgresPeople(database))


def login(given: str) -> str:
    """Who does it: the given name, or that of the login."""
    import getpass

    return given.strip() or getpass.getuser()


def _tell(principal: Principal, *, as_json: bool) -> None:
    if as_json:
        print_json(principal.model_dump(mode="json") | {"roles": sorted(principal.roles)})
        return
    releases = ", ".join(_words(one) for one in principal.delegations)
    typer.echo(
        f"{principal.name}: {principal.kind}, {', '.join(sorted(principal.roles)) or 'no role'}"
        f"{f', may release {releases}' if releases else ''}{'' if principal.is_active else ', inactive'}"
    )


def _roles(words: list[str]) -> frozenset[Role]:
    from tradeloop.domain.people import Role

    wanted = [part for word in words for part in word.split(",") if part]
    if unknown := [word for word in wanted if word not in set(Role)]:
        raise UsageInvalid(f"there is no role {unknown[0]!r}; known: {', '.join(role.value for role in Role)}")
    return frozenset(Role(word) for word in wanted)


def _delegation(text: str) -> Delegation:
    from pydantic import ValidationError

    from tradeloop.domain.people import Delegation

    desk, _, rest = text.partition(":")
    amount, _, currency = rest.partition(":")
    try:
        return Delegation.model_validate({"desk": desk, "up_to": amount or None, "currency": currency})
    except ValidationError as problem:
        raise UsageInvalid(
            f"{text!r} is no delegation: DESK, DESK:UP_TO or DESK:UP_TO:CUR is expected, for example fx:1000000:EUR."
        ) from problem


def _words(one: Delegation) -> str:
    amount = "" if one.up_to is None else f":{one.up_to:f}"
    return f"{one.desk}{amount or (':' if one.currency else '')}{f':{one.currency}' if one.currency else ''}"
