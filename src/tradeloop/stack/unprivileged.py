"""PostgreSQL refuses to run as root: how it is started when root starts the stack."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from functools import cache

from tradeloop.errors import PrerequisiteMissing

USUAL_USER = 1000
"""The first ordinary user of most machines; initdb wants an id that has a name."""


@cache
def unprivileged() -> tuple[str, ...]:
    """Words to put before a command so that it does not see itself as root; none for an ordinary user.

    A user namespace maps root to an ordinary id: no account is made, no permission changes, and folders below a home
    of mode 0700 stay reachable, because outside the namespace the process still is root's.

    Raises:
        PrerequisiteMissing: root, on a machine that allows no user namespaces.
    """
    if os.geteuid() != 0:
        return ()
    user = _ordinary_user()
    words = ("unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_uid}")
    if not shutil.which("unshare") or subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        raise PrerequisiteMissing(
            "PostgreSQL does not run as root, and this machine does not let root make a user namespace.",
            hint="run as an ordinary user, or set TRADELOOP_DATABASE_URL to a PostgreSQL server of your own",
        )
    return words


def _ordinary_user() -> pwd.struct_passwd:
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    return next((user for user in users if user.pw_uid == USUAL_USER), users[0])
