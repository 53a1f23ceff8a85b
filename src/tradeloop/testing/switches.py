"""The kill switch in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from tradeloop.domain.switches import GLOBAL, AskedRelease, Switch
from tradeloop.store.switches import asked_already, confirmed, needs_two, nobody_asked
from tradeloop.testing.people import MemoryPeople


@dataclass
class _Ended:
    """What became of a release that was asked for."""

    told: str
    by: str
    at: datetime


@dataclass
class MemorySwitches:
    """ports.Switches in memory."""

    switches: dict[str, Switch] = field(default_factory=dict)
    people: MemoryPeople | None = None
    """Who is configured; none: one person releases."""
    _asked: dict[UUID, AskedRelease] = field(default_factory=dict)
    _ended: dict[UUID, _Ended] = field(default_factory=dict)

    async def all(self) -> list[Switch]:
        """Every switch that was ever turned."""
        now = datetime.now(UTC)
        asked = {one.scope: one for one in self._open() if one.stands(now)}
        return [
            self.switches[scope].model_copy(update={"asked": asked.get(scope)})
            for scope in sorted(self.switches, reverse=True)
        ]

    async def turn(self, scope: str, *, stopped: bool, by: str, reason: str) -> bool:
        """Stop or release."""
        was = self.switches.get(scope)
        if not stopped and await self._has_people():
            if was is not None and was.stopped:
                raise needs_two()
            return False
        was_asked = self._end(scope, by)
        if was is not None and was.stopped == stopped and not was_asked:
            return False
        self._turn(scope, stopped, by, reason)
        if stopped and scope == GLOBAL:
            for one in self._open():
                self._end(one.scope, by)
        return True

    async def ask_release(self, scope: str, *, by: str, reason: str, valid_s: float) -> AskedRelease | None:
        """Ask that a switch be released."""
        now = datetime.now(UTC)
        was = self.switches.get(scope)
        if was is None or not was.stopped:
            return None
        for one in self._open():
            if one.scope == scope and one.stands(now) and one.asked_by.lower() != by.lower():
                raise asked_already(one)
        self._end(scope, by)
        until = now + timedelta(seconds=valid_s)
        made = AskedRelease(
            release_id=uuid4(), scope=scope, asked_by=by, reason=reason, asked_at=now, valid_until=until
        )
        self._asked[made.release_id] = made
        return made

    async def asked_release(self, release_id: UUID) -> AskedRelease:
        """What was asked."""
        if release_id not in self._asked:
            raise nobody_asked(release_id)
        return self._asked[release_id]

    async def confirm_release(self, release_id: UUID, *, by: str) -> bool:
        """Release what another asked for."""
        asked, now = await self.asked_release(release_id), datetime.now(UTC)
        if release_id not in self._ended and not asked.stands(now):
            self._end(asked.scope, by)
        if ended := self._ended.get(release_id):
            return confirmed(ended.told, ended.by, ended.at, by)
        if asked.asked_by.lower() == by.lower():
            return confirmed("same", "", now, by)
        self._ended[release_id] = _Ended("confirmed", by, now)
        self._turn(asked.scope, False, f"{asked.asked_by} and {by}", asked.reason)
        return True

    async def _has_people(self) -> bool:
        known = await self.people.all() if self.people else []
        return any(one.kind == "person" and one.is_active for one in known)

    def _open(self) -> list[AskedRelease]:
        return [one for one in self._asked.values() if one.release_id not in self._ended]

    def _end(self, scope: str, by: str) -> bool:
        now = datetime.now(UTC)
        for one in self._open():
            if one.scope == scope:
                stood = one.stands(now)
                self._ended[one.release_id] = _Ended("cancelled", by, now) if stood else _Ended("expired", "", now)
                return stood
        return False

    def _turn(self, scope: str, stopped: bool, by: str, reason: str) -> None:
        self.switches[scope] = Switch(
            scope=scope, stopped=stopped, changed_by=by, reason=reason, changed_at=datetime.now(UTC)
        )
        if not stopped:
            self.wake_released()

    def wake_released(self) -> None:
        """The runs that rested because of a stop go on at once; for the store that has runs."""
