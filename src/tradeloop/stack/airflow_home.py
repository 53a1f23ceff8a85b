"""What Airflow needs on disk and in its database before its first process: users, folders, tables."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

from tradeloop.errors import PrerequisiteMissing
from tradeloop.stack.databases import stored_head
from tradeloop.stack.home import Home, write_private
from tradeloop.stack.part import Context

SERVICE_ACCOUNT = "tradeloop"
ADMINISTRATOR = "admin"
MIGRATE_WITHIN_S = 300.0


def airflow_home(home: Home) -> Path:
    return home.root / "airflow"


def passwords_file(home: Home) -> Path:
    """Names and passwords of Airflow's users, for people to look into."""
    return airflow_home(home) / "passwords.json"


def migrate(context: Context, variables: dict[str, str]) -> None:
    """Bring Airflow's tables to the installed version; returns at once when they are there.

    Raises:
        PartFailed: Airflow could not make them; the end of its log is in the message.
    """
    address = context.address("airflow_database_url")
    if not address:
        raise PrerequisiteMissing(
            "Airflow needs PostgreSQL, and this stack has none.",
            hint="add postgres to --only, or set TRADELOOP_DATABASE_URL",
        )
    folder = airflow_home(context.home)
    folder.mkdir(mode=0o700, exist_ok=True)
    keys = context.credentials
    write_private(
        passwords_file(context.home),
        {ADMINISTRATOR: keys.airflow_admin_password, SERVICE_ACCOUNT: keys.airflow_service_password},
    )
    # The stamp says that a whole migration ended; the row says that it was this database.
    head, stamp = current_head(), folder / "migrated"
    if head and stamp.exists() and stamp.read_text() == head and stored_head(address) == head:
        return
    context.report("Airflow makes its tables")
    argv = [sys.executable, "-m", "airflow", "db", "migrate"]
    context.run("airflow-migrate", argv, variables, within_s=MIGRATE_WITHIN_S)
    stamp.write_text(head)


def current_head() -> str:
    """The newest revision in the installed Airflow's migrations; empty when it is not clear.

    It is read from the files, because importing Airflow takes seconds.
    """
    spec = find_spec("airflow")
    roots = (spec.submodule_search_locations if spec else None) or []
    texts = [path.read_text() for root in roots for path in Path(root, "migrations", "versions").glob("*.py")]
    heads = _values("revision", texts) - _values("down_revision", texts)
    return heads.pop() if len(heads) == 1 else ""


def _values(name: str, texts: list[str]) -> set[str]:
    pattern = re.compile(rf"""^{name}\s*(?::[^=]+)?=\s*["'](\w+)["']""", re.MULTILINE)
    return {match[1] for text in texts if (match := pattern.search(text))}
