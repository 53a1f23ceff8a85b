"""Kafka's jars: resolved once by jgo, checked against hashes that ship with tradeloop, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from tradeloop.errors import PartFailed

KAFKA_VERSION = "4.4.0"
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
RESOLVE_WITHIN_S = 300.0


def classpath() -> str:
    """Kafka's class path; the first call on a machine fetches 46 MB.

    Raises:
        PartFailed: the jars cannot be had, or are not the ones that tradeloop was built with.
    """
    wanted = expected_hashes()
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}"
    if _differing(folder, wanted):
        _fill(folder, wanted)
    return os.pathsep.join(str(folder / name) for name in sorted(wanted))


def are_cached() -> bool:
    """Whether the jars are on this machine already."""
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}"
    return all((folder / name).exists() for name in expected_hashes())


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "tradeloop"


def expected_hashes() -> dict[str, str]:
    """SHA-256 of every jar by its file name."""
    text = (files("tradeloop.stack") / f"kafka-{KAFKA_VERSION}.sha256").read_text()
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}


def _differing(folder: Path, wanted: dict[str, str]) -> list[str]:
    return [name for name, digest in wanted.items() if _sha256(folder / name) != digest]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _fill(folder: Path, wanted: dict[str, str]) -> None:
    found = {path.name: path for path in _resolve()}
    if missing := sorted(wanted.keys() - found.keys()):
        raise PartFailed(f"Kafka {KAFKA_VERSION} cannot be had in full: {', '.join(missing)} did not come.")
    beside = folder.with_name(f"{folder.name}.{os.getpid()}")
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
    shutil.rmtree(folder, ignore_errors=True)
    try:
        beside.rename(folder)
    except OSError:
        # Another start has just put the same, checked files there.
        shutil.rmtree(beside)


def _resolve() -> list[Path]:
    try:
        result = subprocess.run(
            [sys.executable, "-m", "jgo", "info", "jars", COORDINATES],
            capture_output=True,
            text=True,
            check=False,
            timeout=RESOLVE_WITHIN_S,
        )
    except subprocess.TimeoutExpired as problem:
        raise PartFailed(f"Kafka's jars did not come within {RESOLVE_WITHIN_S:.0f} s.") from problem
    jars = [Path(line.strip()) for line in result.stdout.splitlines() if line.strip().endswith(".jar")]
    if result.returncode or not jars:
        raise PartFailed(
            "Kafka's jars could not be fetched.",
            where=(result.stderr or result.stdout).strip()[-800:],
            hint="check the network or proxy, or set TRADELOOP_KAFKA_BOOTSTRAP to a broker of your own",
        )
    return jars
