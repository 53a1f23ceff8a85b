"""The folder of one local stack: where its data, secrets and logs are, and who holds it."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOG_LIMIT_BYTES = 16 * 1024 * 1024
"""A log that grew beyond this is set aside at the next start; one older copy is kept."""


@dataclass(frozen=True)
class Home:
    """Paths below one absolute folder of mode 0700."""

    root: Path

    @classmethod
    def open(cls, path: Path) -> Home:
        """Make the folder where it is missing, readable by its owner alone."""
        root = path.expanduser().resolve()
        for folder in (root, root / "logs"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.chmod(0o700)
        return cls(root)

    @property
    def record_file(self) -> Path:
        return self.root / "stack.json"

    @property
    def credentials_file(self) -> Path:
        return self.root / "secrets.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def supervisor_log(self) -> Path:
        return self.root / "logs" / "supervisor.log"

    def log(self, name: str) -> Path:
        """The log of a part, ready to be appended to."""
        path = self.root / "logs" / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that its owner alone can read; a reader sees the old content or the new, never half."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123
        json.dump(content, file, indent=2)
        file.write("\n")
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """What the file holds; empty when it is missing or broken."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


class HomeLock:
    """Held by the one process that starts and stops parts in a home; the kernel drops it with the process."""

    def __init__(self, home: Home) -> None:
        self._path = home.lock_file
        self._descriptor = -1

    def acquire(self) -> bool:
        """Take the lock; False when another process holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
