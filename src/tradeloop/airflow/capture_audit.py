"""Airflow's history against the inbox: "nothing lost" as a figure."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final  # Any: JSON for people's tools
from uuid import UUID

from tradeloop.airflow.candidates import candidates
from tradeloop.airflow.history import AssetHistory
from tradeloop.ports import AirflowApi, CaptureHistory

PENDING: Final = timedelta(seconds=5)
"""Rows younger than this may still be on their way."""
LATE: Final = timedelta(seconds=30)
MARGIN: Final = timedelta(hours=1)
"""Airflow is read this much further at both ends: an inbox row near the edge is no phantom."""
LOOK_BACK: Final = (timedelta(hours=6), timedelta(hours=48), timedelta(days=8))
"""How far a row is looked for before its event is called a phantom: a relay that was down may bring it days late."""


@dataclass(frozen=True)
class CaptureReport:
    """The comparison; `is_complete` when nothing is missing, doubled or phantom."""

    since: datetime
    until: datetime
    in_airflow: int = 0
    accepted: int = 0
    dead_lettered: int = 0
    pending: int = 0
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    late: int = 0
    worst_delay_s: float = 0.0
    by_lane: dict[str, int] = field(default_factory=dict)
    seen_by_both: int = 0
    unreadable_rows: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every event arrived once."""
        return not (self.missing or self.doubled or self.phantom)

    def as_json(self) -> dict[str, Any]:
        """For stdout and for the audit's record."""
        return asdict(self) | {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "is_complete": self.is_complete,
        }


async def audit_capture(
    airflow: AirflowApi,
    store: CaptureHistory,
    instance: str,
    since: datetime,
    until: datetime,
    *,
    now: datetime | None = None,
) -> CaptureReport:
    """Compare the two histories over since <= time < until."""
    fresh = (now or max(until, datetime.now(UTC))) - PENDING
    history = AssetHistory(airflow)
    told = await _told(history, instance, since - MARGIN, until + MARGIN)
    asked = {event_id: at for event_id, at in told.items() if since <= at < until}
    found = {known.event_id: known for known in await store.accepted(list(asked))}
    buried = await store.buried(list(asked)) - found.keys()
    absent = [event_id for event_id in asked if event_id not in found and event_id not in buried]
    pending = {event_id for event_id in absent if asked[event_id] > fresh}
    delays = [(known.received_at - asked[event_id]).total_seconds() for event_id, known in found.items()]
    captured = {known.event_id for known in await store.captured_between(since, until)}
    return CaptureReport(
        since=since,
        until=until,
        in_airflow=len(asked),
        accepted=len(found),
        dead_lettered=len(buried),
        pending=len(pending),
        missing=[str(event_id) for event_id in absent if event_id not in pending],
        doubled=[str(known.event_id) for known in found.values() if known.runs > 1],
        phantom=[str(event_id) for event_id in await _strangers(history, instance, captured - told.keys(), since)],
        late=sum(delay > LATE.total_seconds() for delay in delays),
        worst_delay_s=round(max(delays, default=0.0), 3),
        by_lane=dict(Counter(known.lane or "unknown" for known in found.values())),
        seen_by_both=await store.dropped_doubles(since, until),
        unreadable_rows=sum(count for at, count in history.unreadable.items() if since <= at < until),
    )


async def _told(history: AssetHistory, instance: str, since: datetime, until: datetime) -> dict[UUID, datetime]:
    """Ids and times of the events that Airflow's history holds."""
    return {
        candidate.event_id: row.timestamp
        async for _, rows in history.parts(since, until)
        for row in rows
        for candidate in candidates(row, instance, "", "")
    }


async def _strangers(history: AssetHistory, instance: str, suspects: set[UUID], since: datetime) -> list[UUID]:
    """Those that Airflow does not know: an event that arrived hours late has an older row, so look further back."""
    until = since - MARGIN
    for reach in LOOK_BACK:
        if not suspects:
            break
        suspects = suspects - (await _told(history, instance, since - reach, until)).keys()
        until = since - reach
    return sorted(suspects)
