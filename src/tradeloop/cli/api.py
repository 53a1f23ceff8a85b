"""tradeloop api: the HTTP API; login, logout, whoami: how commands reach it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any  # Any: JSON

import typer

from tradeloop.cli.endings import CONFLICT, NOT_ALLOWED, UNREACHABLE, epilog
from tradeloop.cli.output import JsonFlag, note, print_json
from tradeloop.errors import UsageInvalid

if TYPE_CHECKING:
    from tradeloop.settings import Settings

API = epilog(
    "tradeloop api",
    "TRADELOOP_API_PORT=0 TRADELOOP_LOG_FORMAT=json tradeloop api",
    codes={0: "ended by SIGTERM or Ctrl-C, after the drain", CONFLICT: "its port is taken"},
)
LOGIN = epilog(
    "tradeloop login --api http://127.0.0.1:8088 < anna.key",
    codes={NOT_ALLOWED: "the API does not take the key", UNREACHABLE: "the API is away"},
)
LOGOUT = epilog("tradeloop logout", codes=())
WHOAMI = epilog("tradeloop whoami", "tradeloop whoami --json", codes=(NOT_ALLOWED, UNREACHABLE))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=API)(api)
    app.command(epilog=LOGIN)(login)
    app.command(epilog=LOGOUT)(logout)
    app.command(epilog=WHOAMI)(whoami)


def api() -> None:
    """Serve the HTTP API; until SIGTERM, which drains."""
    from tradeloop.cli.context import stack_settings
    from tradeloop.cli.processes import serve

    settings = stack_settings()
    settings.require("database_url")
    serve(settings, lambda stop: _api(settings, stop))


def login(as_json: JsonFlag = False) -> None:
    """Keep a key for commands with `--api`: read from stdin, tried, stored for its owner alone.

    In ~/.config/tradeloop, mode 600, by the API's address.
    """
    from tradeloop.cli.remote import Remote, keep, url_of

    url = url_of()
    given = typer.prompt("Key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    key = str(given).strip()
    if not key:
        raise UsageInvalid("no key was given: tradeloop login < FILE")
    with Remote(url, key) as remote:
        found = remote.get("me")
    path = keep(url, key)
    _tell(found, as_json=as_json)
    note(f"the key is kept in {path}")


def logout(as_json: JsonFlag = False) -> None:
    """Forget the key that `login` kept. It stays good: `tradeloop keys revoke` ends it."""
    from tradeloop.cli.remote import forget, url_of

    url = url_of()
    gone = forget(url)
    if as_json:
        print_json({"api": url, "forgotten": gone})
    else:
        typer.echo(f"the key for {url} is forgotten" if gone else f"no key was kept for {url}")


def whoami(as_json: JsonFlag = False) -> None:
    """Show who the API takes you for, and what you may."""
    from tradeloop.cli.remote import open_remote

    with open_remote() as remote:
        _tell(remote.get("me"), as_json=as_json)


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    releases = ", ".join(
        one["desk"] + (f" up to {one['up_to']} {one['currency']}".rstrip() if one["up_to"] else "")
        for one in found["delegations"]
    )
    typer.echo(f"{found['name']}: {found['kind']}, {', '.join(found['roles']) or 'no role'}")
    if releases:
        typer.echo(f"  may release: {releases}")


async def _api(settings: Settings, stop: Any) -> None:
    from tradeloop.api.serving import serve
    from tradeloop.cli.processes import collect_seldom

    await serve(settings, stop, collect_seldom)
