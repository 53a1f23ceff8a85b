"""Airflow's REST API in memory, with the behaviours that make callers stumble on the real one (3.3)."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from pydantic import JsonValue

from tradeloop.errors import AirflowForbidden, AirflowRefused, AirflowUnreachable, DagUnavailable
from tradeloop.ports import AssetEventPage, AssetEventRow, DagRunView

RUN_ID: Final = re.compile(r"[A-Za-z0-9_.~:+-]+")
"""Airflow's `[scheduler] allowed_run_id_pattern`."""
LONGEST_RUN_ID: Final = 250
RESERVED: Final = ("scheduled__", "asset_triggered__", "backfill__")
PREFIX: Final = "tradeloop"
"""What Airflow looks for when it is asked for `tradeloop.`: trailing punctuation is cut off."""


@dataclass
class MemoryDag:
    """A DAG as far as the API tells of it."""

    is_paused: bool = False
    has_import_errors: bool = False
    is_stale: bool = False
    runs: dict[str, DagRunView] = field(default_factory=dict)


@dataclass
class MemoryAirflow:
    """ports.AirflowApi, and what tests do to an Airflow: add rows and DAGs, delete, break, fall ill."""

    page_limit: int = 100
    """`[api] maximum_page_limit`."""
    dags: dict[str, MemoryDag] = field(default_factory=dict)
    is_away: bool = False
    """Nothing answers."""
    is_ill: bool = False
    """Everything is answered with 500."""
    is_forbidden: bool = False
    assets: list[str] = field(default_factory=list)
    """Names of the assets that DAGs have."""
    foreign: list[AssetEventRow] = field(default_factory=list)
    """Events of assets that are not ours: no sweep sees them."""
    hidden: tuple[str, ...] = ()
    """Permissions that the account lacks; Airflow then hides rows and says nothing."""
    requests: int = 0
    """How many calls were made."""
    before_request: Callable[[], None] = lambda: None
    """Called before each call is answered: for what happens between two of them."""
    queued: dict[int, str] = field(default_factory=dict)
    """Rows whose runs wait for their start, with the name of the DAG: until then Airflow cannot serve them."""
    _rows: list[tuple[AssetEventRow, bool]] = field(default_factory=list)
    _last_id: int = 0

    def add_event(
        self,
        name: str,
        extra: object = None,
        at: datetime | None = None,
        *,
        dag_id: str = "load",
        run_id: str = "manual__1",
        task_id: str = "publish",
        map_index: int = -1,
    ) -> AssetEventRow:
        """Store an asset event; one whose extra is no mapping makes every page that holds it answer 500."""
        is_readable = extra is None or isinstance(extra, Mapping)
        self._last_id += 1
        row = AssetEventRow(
            id=self._last_id,
            asset_name=name,
            timestamp=at or datetime.now(UTC),
            extra=dict(extra) if isinstance(extra, Mapping) else {},
            source_dag_id=dag_id,
            source_run_id=run_id if dag_id else "",
            source_task_id=task_id if dag_id else "",
            source_map_index=map_index,
        )
        if row.asset_name.startswith(PREFIX):
            insort(self._rows, (row, is_readable), key=_place)
        else:
            self.foreign.append(row)
        return row

    def create_event_by_rest(self, name: str, extra: Mapping[str, object], at: datetime | None = None) -> AssetEventRow:
        """POST assets/events: no source, and Airflow's own mark in the extra."""
        return self.add_event(name, {**extra, "from_rest_api": True}, at, dag_id="")

    def delete_events(self, before: datetime) -> None:
        """`airflow db clean`."""
        self._rows = [stored for stored in self._rows if stored[0].timestamp >= before]

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """DELETE dagRuns: afterwards nothing knows the id any more."""
        del self.dags[dag_id].runs[run_id]

    async def asset_events(self, since: datetime, until: datetime, *, limit: int, offset: int = 0) -> AssetEventPage:
        """Rows of a window by timestamp and id, at most `page_limit`."""
        self._answer()
        first, end = (bisect_left(self._rows, (edge, 0), key=_place) for edge in (since, until))
        window = self._rows[first:end]
        page = window[offset : offset + min(limit, self.page_limit)]
        if not all(is_readable and row.id not in self.queued for row, is_readable in page):
            raise AirflowRefused("Airflow answered 500: Internal Server Error", status=500)
        return AssetEventPage([row for row, _ in page], len(window))

    async def oldest_asset_event_at(self) -> datetime | None:
        """Time of the oldest row."""
        self._answer()
        oldest = self._rows[:1]
        if oldest and not oldest[0][1]:
            raise AirflowRefused("Airflow answered 500: Internal Server Error", status=500)
        return oldest[0][0].timestamp if oldest else None

    async def holds_back_rows(self) -> bool:
        """Whether a run that an asset event caused is still queued."""
        self._answer()
        return bool(self.queued)

    async def asset_id(self, name: str) -> int | None:
        """The id of the active asset of exactly this name."""
        self._answer()
        return self.assets.index(name) if name in self.assets else None

    async def create_asset_event(self, asset_id: int, extra: Mapping[str, JsonValue]) -> int:
        """POST assets/events: the same twice is two events."""
        self._answer()
        return self.create_event_by_rest(self.assets[asset_id], extra).id

    async def extras_of(
        self, asset_id: int, since: datetime, *, limit: int, offset: int
    ) -> list[tuple[int, Mapping[str, object]]]:
        """Id and extra of the asset's events since then, the newest first."""
        self._answer()
        rows = [row for row, _ in self._rows if row.asset_name == self.assets[asset_id] and row.timestamp >= since]
        rows += [row for row in self.foreign if row.asset_name == self.assets[asset_id] and row.timestamp >= since]
        page = sorted(rows, key=lambda row: row.id, reverse=True)[offset : offset + min(limit, self.page_limit)]
        if any(row.id in self.queued for row in page):
            raise AirflowUnreachable("Airflow answered 500 to GET /assets/events")
        return [(row.id, row.extra) for row in page]

    async def missing_permissions(self) -> list[str]:
        """What the account may not do of what the sweep needs."""
        self._answer()
        return list(self.hidden)

    async def visible_dags(self) -> list[str]:
        """Ids of the DAGs that the account can read."""
        self._answer()
        return sorted(self.dags)

    async def trigger_dag(self, dag_id: str, run_id: str, conf: Mapping[str, JsonValue]) -> DagRunView:
        """POST dagRuns; a paused DAG takes the run and leaves it queued, a deleted run starts again."""
        self._answer()
        _check_run_id(run_id)
        dag = self.dags.get(dag_id)
        if dag is None or dag.is_stale or dag.has_import_errors:
            # Also when a run of that id exists: 404, not 409.
            raise DagUnavailable(
                f"DAG {dag_id}: The DAG with ID: `{dag_id}` was not found"
                if dag is None
                else f"DAG {dag_id}: DAG with dag_id: '{dag_id}' is not available",
                status=404,
            )
        if run_id in dag.runs:
            # The text names no run, and another id with the same logical date gets the same one.
            raise AirflowRefused('Airflow answered 409: {"reason": "Unique constraint violation"}', status=409)
        if "\\u0000" in json.dumps(conf):
            raise AirflowRefused("Airflow answered 422: conf cannot hold NUL", status=422)
        made = DagRunView(dag_id, run_id or f"manual__{uuid4()}", "queued", json.loads(json.dumps(conf)))
        dag.runs[made.run_id] = made
        return made

    async def dag_run(self, dag_id: str, run_id: str) -> DagRunView | None:
        """The run of that id; of a paused DAG it stays queued for ever, of others it succeeds at once."""
        self._answer()
        dag = self.dags.get(dag_id, MemoryDag())
        run = dag.runs.get(run_id)
        if run and not dag.is_paused and run.state == "queued":
            now = datetime.now(UTC)
            dag.runs[run_id] = run = replace(run, state="success", start_at=now, end_at=now)
        return run

    async def dag_problem(self, dag_id: str) -> str:
        """Why a run of this DAG would not start now; empty when it would."""
        self._answer()
        dag = self.dags.get(dag_id)
        if dag is None:
            return "missing"
        if dag.has_import_errors:
            return "does not import"
        if dag.is_stale:
            return "stale: no file declares it any more"
        return "paused" if dag.is_paused else ""

    def _answer(self) -> None:
        self.requests += 1
        self.before_request()
        if self.is_away:
            raise AirflowUnreachable("Airflow does not answer")
        if self.is_forbidden:
            raise AirflowForbidden("Airflow answered 403: Forbidden", status=403)
        if self.is_ill:
            raise AirflowRefused("Airflow answered 500: Internal Server Error", status=500)


def _place(stored: tuple[AssetEventRow, bool]) -> tuple[datetime, int]:
    return (stored[0].timestamp, stored[0].id)


def _check_run_id(run_id: str) -> None:
    if len(run_id) > LONGEST_RUN_ID:
        raise AirflowRefused("Airflow answered 422: the id has more than 250 characters", status=422)
    if run_id and (not RUN_ID.fullmatch(run_id) or ".." in run_id or run_id.startswith(RESERVED)):
        raise AirflowRefused(f"Airflow answered 422: the run id {run_id!r} is not allowed", status=422)
