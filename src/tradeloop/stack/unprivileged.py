"""PostgreSQL refuses to run as root: how it is started when root starts the stack."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tradeloop.errors import PrerequisiteMissing

USUAL_USER = 1000
"""The first ordinary user of most machines; initdb wants an id that has a name."""
SHARED = Path("/var/lib/tradeloop")
"""Where data and programs go when they must belong to another account, which cannot enter root's home."""


@dataclass(frozen=True)
class Way:
    """How a program runs without seeing itself as root."""

    words: tuple[str, ...] = ()
    """To be put before its command."""
    account: pwd.struct_passwd | None = None
    """Whom it runs as when that is a real account: its files must be that account's."""


@cache
def way() -> Way:
    """The best way on this machine.

    An ordinary user needs none. For root a user namespace is best: no account is involved, no permission changes, and
    folders below a home of mode 0700 stay reachable, because outside the namespace the process still is root's. Where
    namespaces are blocked, as in most containers, an account without rights is used.

    Raises:
        PrerequisiteMissing: neither is to be had.
    """
    if os.geteuid() != 0:
        return Way()
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    if users:
        inside = next((user for user in users if user.pw_uid == USUAL_USER), users[0])
        words = ("unshare", "--user", f"--map-user={inside.pw_uid}", f"--map-group={inside.pw_uid}")
        if _works(words):
            return Way(words)
    for account in [user for name in ("postgres", "nobody") for user in users if user.pw_name == name]:
        words = ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
        if _works(words):
            return Way(words, account)
    raise PrerequisiteMissing(
        "PostgreSQL does not run as root, and this machine allows root neither a user namespace nor another account.",
        hint="run as an ordinary user, or set TRADELOOP_DATABASE_URL to a PostgreSQL server of your own",
    )


def _works(words: tuple[str, ...]) -> bool:
    return (
        bool(shutil.which(words[0]))
        and subprocess.run([*words, "true"], check=False, capture_output=True).returncode == 0
    )


def data_folder(home: Path) -> Path:
    """Where this home's PostgreSQL has its data; made a link in the home when another account must own it."""
    inside, account = home / "postgres", way().account
    if account is None or (inside.is_dir() and not inside.is_symlink()):
        return inside.resolve()
    place = SHARED / hashlib.sha256(str(home).encode()).hexdigest()[:16] / "postgres"
    _open(place.parent)
    place.mkdir(mode=0o700, exist_ok=True)
    give(place)
    if not inside.is_symlink():
        inside.symlink_to(place)
    return place


def _open(folder: Path) -> None:
    """Make a folder that every account may enter, whatever the umask."""
    for path in (SHARED, folder):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)


def give(path: Path) -> None:
    """Let the account that PostgreSQL runs as own a file or folder; changes nothing where it runs as the caller."""
    if account := way().account:
        os.chown(path, account.pw_uid, account.pw_gid)


def runnable(folder: Path) -> Path:
    """A folder of programs, or a copy that the account can enter; its libraries are in folders beside its parents."""
    chosen = way()
    if chosen.account is None or _works((*chosen.words, str(folder / "initdb"), "--version")):
        return folder
    package = folder.parent.parent
    target = SHARED / f"programs-{hashlib.sha256(str(package).encode()).hexdigest()[:16]}"
    if not (target / "complete").exists():
        shutil.rmtree(target, ignore_errors=True)
        _open(target)
        for source in (package, package.with_name(f"{package.name}.libs")):
            if source.is_dir():
                shutil.copytree(source, target / source.name)
        (target / "complete").touch()
    return target / package.name / folder.relative_to(package)
