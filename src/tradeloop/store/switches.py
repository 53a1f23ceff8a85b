"""The kill switch on PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Final, LiteralString
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from tradeloop.domain.switches import AskedRelease, Switch
from tradeloop.errors import Forbidden, NotFound, ReleaseRefused
from tradeloop.store.database import Database
from tradeloop.store.texts import storable

STREAM: Final = uuid5(NAMESPACE_URL, "tradeloop:switches")
"""The audit's stream of every switch."""
ASKED: Final[LiteralString] = "release_id, scope, asked_by, reason, asked_at, valid_until"


class PostgresSwitches:
    """ports.Switches on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Switch]:
        """Every switch that was ever turned, with the release that waits for a second person."""
        rows = await self._database.rows(
            "SELECT s.scope, s.stopped, s.changed_by, s.reason, s.changed_at, (SELECT to_jsonb(a) FROM (SELECT "
            + ASKED
            + " FROM switch_releases r WHERE r.scope = s.scope AND r.state = 'asked' "
            "AND r.valid_until > clock_timestamp()) a) AS asked FROM switches s ORDER BY s.scope DESC"
        )
        return [Switch.model_validate(row) for row in rows]

    async def turn(self, scope: str, *, stopped: bool, by: str, reason: str) -> bool:
        """Stop or release; False when it stood so already. Audited.

        Raises:
            Forbidden: a release, and people are configured: then two of them release.
        """
        row = await self._database.row(
            "SELECT * FROM turn_switch(%s, %s, %s, %s, %s)", (scope, stopped, storable(by), storable(reason), STREAM)
        )
        if row is None and not stopped and await self._is_stopped(scope):
            raise needs_two()
        return row is not None

    async def ask_release(self, scope: str, *, by: str, reason: str, valid_s: float) -> AskedRelease | None:
        """Ask that a switch be released; None when it is not stopped. Audited.

        Raises:
            ReleaseRefused: somebody else asks already.
        """
        wanted = uuid4()
        row = await self._database.row(
            "SELECT " + ASKED + " FROM ask_switch_release(%s, %s, %s, %s, %s, %s)",
            (wanted, scope, storable(by), storable(reason), valid_s, STREAM),
        )
        found = AskedRelease.model_validate(row) if row else None
        if found is not None and found.release_id != wanted:
            raise asked_already(found)
        return found

    async def asked_release(self, release_id: UUID) -> AskedRelease:
        """What was asked, whatever became of it.

        Raises:
            NotFound: nobody asked for it.
        """
        row = await self._database.row("SELECT " + ASKED + " FROM switch_releases WHERE release_id = %s", (release_id,))
        if row is None:
            raise nobody_asked(release_id)
        return AskedRelease.model_validate(row)

    async def confirm_release(self, release_id: UUID, *, by: str) -> bool:
        """Release what another asked for; False when the same person confirmed it before. Audited.

        Raises:
            Forbidden: the same person asked for it.
            NotFound: nobody asked for it.
            ReleaseRefused: too late, cancelled by a stop, or another confirmed it.
        """
        row = await self._database.row(
            "SELECT * FROM confirm_switch_release(%s, %s, %s)", (release_id, storable(by), STREAM)
        )
        told = str(row["told"]) if row else "unknown"
        if row is None or told == "unknown":
            raise nobody_asked(release_id)
        return confirmed(told, row["ended_by"] or "", row["ended_at"], by)

    async def _is_stopped(self, scope: str) -> bool:
        row = await self._database.row("SELECT 1 FROM switches s WHERE s.scope = %s AND s.stopped", (scope,))
        return row is not None


def needs_two() -> Forbidden:
    """The error for a release by one, where there are people."""
    return Forbidden(
        "people are configured here, so two of them release a switch: one asks, another one confirms.",
        hint="tradeloop switch release --reason T, without --by, with the key of each (tradeloop login)",
    )


def asked_already(asked: AskedRelease) -> ReleaseRefused:
    """The error for a second wish: what the first one asked for is to be confirmed, not asked again."""
    return ReleaseRefused(
        f"{asked.asked_by} asks for this release already, until {asked.valid_until:%H:%M:%SZ}: {asked.reason}",
        hint=f"tradeloop switch release --confirm {asked.release_id}",
    )


def nobody_asked(release_id: UUID) -> NotFound:
    """The error for an id that no release has."""
    return NotFound(f"nobody asked for a release {release_id}.", hint="tradeloop switch status")


def confirmed(told: str, ended_by: str, ended_at: datetime, by: str) -> bool:
    """What a confirmation did: `done`, or how the release stood before it.

    Raises:
        Forbidden: the same person asked for it.
        ReleaseRefused: too late, cancelled by a stop, or another confirmed it.
    """
    hint = "tradeloop switch status"
    match told:
        case "done":
            return True
        case "same":
            raise Forbidden("you asked for this release, so another person confirms it.", hint=hint)
        case "confirmed" if ended_by == by:
            return False
        case "confirmed":
            raise ReleaseRefused(f"{ended_by} confirmed it at {ended_at:%H:%M:%SZ}; it is released.", hint=hint)
        case "cancelled":
            told = f"the release is void: {ended_by} stopped or asked anew at {ended_at:%H:%M:%SZ}."
            raise ReleaseRefused(f"{told} Nothing was released.", hint=hint)
        case _:
            raise ReleaseRefused(
                f"nobody confirmed it until {ended_at:%H:%M:%SZ}. Nothing was released: ask again.", hint=hint
            )
