"""The audit verified at a person's wish: by a process of its own, one at a time, so that no page waits for it."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tradeloop.settings import PREFIX, Settings

PATIENCE_S: Final = 3.0
"""So long the answer to the wish waits: a small audit is verified by then."""
FRESH: Final = timedelta(seconds=60)
"""Within this time after its end the same result is shown, and nothing is verified again."""
WHOLE, FOUND = 0, 6


@dataclass(frozen=True, slots=True)
class Verifying:
    """How the last wish stands."""

    by: str
    begun_at: datetime
    ended_at: datetime | None = None
    code: int = WHOLE
    """Exit code of `tradeloop audit verify`."""
    trouble: str = ""

    @property
    def words(self) -> str:
        """In a sentence."""
        if self.ended_at is None:
            return f"Verification runs since {self.begun_at:%H:%M:%SZ}, asked for by {self.by}."
        at = f"{self.ended_at:%H:%M:%SZ}"
        if self.code == WHOLE:
            return f"Verified at {at}: every seal and every record is whole."
        if self.code == FOUND:
            return f"Verified at {at}: it is NOT whole. tradeloop audit verify says where."
        return f"It could not be verified at {at}: {self.trouble or 'its process says nothing'}"

    @property
    def is_bad(self) -> bool:
        """Whether somebody must look."""
        return self.ended_at is not None and self.code != WHOLE


class Verifier:
    """Of one server process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self.last: Verifying | None = None

    async def ask(self, by: str) -> None:
        """Begin, unless one runs or has just ended; waits for a small audit's result."""
        now = datetime.now(UTC)
        last = self.last
        if last is None or (last.ended_at is not None and (last.is_bad or now - last.ended_at > FRESH)):
            self.last = Verifying(by, now)
            self._task = asyncio.create_task(self._run(self.last), name="verify")
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=PATIENCE_S)

    async def _run(self, wish: Verifying) -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tradeloop", "audit", "verify", "--quiet",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
        )  # fmt: skip
        try:
            _, told = await child.communicate()
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.kill()
        trouble = told.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
        code = child.returncode if child.returncode is not None else 1
        self.last = Verifying(wish.by, wish.begun_at, datetime.now(UTC), code, trouble)

    def _environment(self) -> dict[str, str]:
        settings = self._settings
        given = {
            "DATABASE_URL": settings.database_url,
            "HOME": str(settings.home),
            "AUDIT_KEY_FILE": str(settings.audit_key_file or ""),
            "AUDIT_PUBLIC_KEYS": ",".join(map(str, settings.audit_public_keys)),
        }
        return {**os.environ, **{f"{PREFIX}{name}": value for name, value in given.items() if value}}
