"""Airflow's history against the inbox: "nothing lost" as a figure."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final  # Any: JSON for people's tools

from tradeloop.airflow.candidates import candidates
from tradeloop.airflow.history import AssetHistory
from tradeloop.ports import AirflowApi, CaptureHistory

PENDING: Final = timedelta(seconds=5)
"""Rows younger than this may still be on their way."""
LATE: Final = timedelta(seconds=30)
MARGIN: Final = timedelta(hours=1)
"""Airflow is read this much further at both ends: an inbox row near the edge is no phantom."""


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
    airflow: AirflowApi, store: CaptureHistory, instance: str, since: datetime, until: datetime
) -> CaptureReport:
    """Compare the two histories over since <= time < until."""
    history = AssetHistory(airflow)
    rows = await history.rows(since - MARGIN, until + MARGIN)
    told = {c.event_id: c for row in rows for c in candidates(row, instance, "", "")}
    asked = {event_id: c for event_id, c in told.items() if since <= c.row.timestamp < until}
    found = {known.event_id: known for known in await store.accepted(list(asked))}
    buried = await store.buried(list(asked))
    absent = [event_id for event_id in asked if event_id not in found and event_id not in buried]
    pending = {event_id for event_id in absent if asked[event_id].row.timestamp > until - PENDING}
    delays = {e: (known.received_at - asked[e].row.timestamp).total_seconds() for e, known in found.items()}
    captured = await store.captured_between(since, until)
    return CaptureReport(
        since=since,
        until=until,
        in_airflow=len(asked),
        accepted=len(found),
        dead_lettered=len(buried),
        pending=len(pending),
        missing=[str(event_id) for event_id in absent if event_id not in pending],
        doubled=[str(known.event_id) for known in found.values() if known.runs > 1],
        phantom=[str(known.event_id) for known in captured if known.event_id not in told],
        late=sum(delay > LATE.total_seconds() for delay in delays.values()),
        worst_delay_s=round(max(delays.values(), default=0.0), 3),
        by_lane=dict(Counter(known.lane or "unknown" for known in found.values())),
        seen_by_both=await store.dropped_doubles(since, until),
        unreadable_rows=sum(history.unreadable.values()),
    )
