"""Airflow's public REST API, as much of it as tradeloop uses."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self  # Any: JSON of Airflow's answers
from urllib.parse import quote, urlsplit

import httpx
from pydantic import JsonValue

from tradeloop.domain.canonical import utc_text
from tradeloop.errors import AirflowForbidden, AirflowRefused, AirflowUnreachable, DagUnavailable, NotFound
from tradeloop.ports import AssetEventPage, AssetEventRow, DagRunView
from tradeloop.settings import Settings

TIMEOUT_S: Final = 30.0
PREFIX: Final = "tradeloop."
"""Airflow cuts trailing punctuation off: it finds `tradeloop*`, and `candidates` looks at the whole name."""
PAGE: Final = 100
"""Airflow's own cap of a page (`[api] maximum_page_limit`)."""
PLUGIN: Final = "/tradeloop/"
"""Where Airflow mounts our own pages, beside its API."""
REFRESH_AT: Final = 0.8
"""Share of a token's life after which a new one is fetched: never an expired one in a burst of calls."""
AT_ONCE: Final = 4
"""Requests at a time. Airflow's API server has 15 database connections, and one request can need two: 50 at once lock
it up until their 30 s are over, and with it every task that wants to say that it has ended.
"""
PERMISSIONS: Final = {
    "read asset events": "/assets/events?limit=1",
    "read DAGs": "/dags?limit=1",
    "read DAG runs": "/dags/~/dagRuns?limit=1",
    "read task instances": "/dags/~/dagRuns/~/taskInstances?limit=1",
    "read audit logs": "/eventLogs?limit=1&order_by=when",
}


LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
PASSING: Final = frozenset({408, 425, 429, 502, 503, 504})
"""Answers of gateways and limiters: nothing is wrong with what was asked."""


class AirflowClient:
    """ports.AirflowApi over HTTP. One account, one token, refreshed before it ends."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url = url.rstrip("/")
        self._username = username
        self._password = password
        # A proxy of the environment is for the world outside; a loopback address is never behind it.
        is_local = urlsplit(self._url).hostname in LOOPBACK
        self._http = httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT_S, trust_env=not is_local)
        self._signing_in = asyncio.Lock()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._token = ""
        self._refresh_at = 0.0

    @classmethod
    def from_settings(cls, settings: Settings) -> AirflowClient:
        """The client for the Airflow that the settings name."""
        return cls(settings.airflow_url, settings.airflow_username, settings.airflow_password.get_secret_value())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, **params: Any) -> Any:
        """GET below /api/v2; the decoded JSON.

        Raises:
            NotFound: 404.
            AirflowUnreachable, AirflowForbidden, AirflowRefused: see `ports.AirflowApi`.
        """
        return await self._call("GET", path, params=params)

    async def post(self, path: str, body: Mapping[str, JsonValue]) -> Any:
        """POST below /api/v2; the decoded JSON. Raises as `get` does."""
        return await self._call("POST", path, body=dict(body))

    async def patch(self, path: str, body: Mapping[str, JsonValue]) -> Any:
        """PATCH below /api/v2; the decoded JSON. Raises as `get` does."""
        return await self._call("PATCH", path, body=dict(body))

    async def asset_events(self, since: datetime, until: datetime, *, limit: int, offset: int = 0) -> AssetEventPage:
        """Events of assets named `tradeloop*` with since <= timestamp < until, by timestamp and id."""
        answer = await self._rows(
            name_prefix_pattern=PREFIX,
            timestamp_gte=utc_text(since),
            timestamp_lt=utc_text(until),
            order_by="timestamp",
            limit=min(limit, PAGE),
            offset=offset,
        )
        return AssetEventPage([_asset_event(row) for row in answer["asset_events"]], answer["total_entries"])

    async def oldest_asset_event_at(self) -> datetime | None:
        """Time of the oldest row that Airflow keeps."""
        answer = await self._rows(name_prefix_pattern=PREFIX, order_by="timestamp", limit=1)
        rows = answer["asset_events"]
        return datetime.fromisoformat(rows[0]["timestamp"]) if rows else None

    async def holds_back_rows(self) -> bool:
        """Whether a run that an asset event caused is still queued.

        Airflow 3.3 answers 500 for the event's row until the run starts: it demands a `start_date` of the runs that it
        tells with the row.
        """
        answer = await self.get("/dags/~/dagRuns", run_type="asset_triggered", state="queued", limit=1)
        return bool(answer["total_entries"])

    async def trigger_dag(self, dag_id: str, run_id: str, conf: Mapping[str, JsonValue]) -> DagRunView:
        """POST dagRuns with that id and `logical_date` null.

        Raises:
            DagUnavailable: 404, the DAG is missing or does not import.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        try:
            return dag_run_view(await self._call("POST", f"/dags/{quote(dag_id, safe='')}/dagRuns", body=body))
        except NotFound as problem:
            raise DagUnavailable(f"DAG {dag_id}: {problem.message}", status=404) from problem

    async def dag_run(self, dag_id: str, run_id: str) -> DagRunView | None:
        """The run of that id, None when Airflow says there is none."""
        try:
            return dag_run_view(await self.get(f"/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}"))
        except NotFound:
            return None

    async def dag_problem(self, dag_id: str) -> str:
        """Why a run of this DAG would not start now; empty when it would."""
        try:
            dag = await self.get(f"/dags/{quote(dag_id, safe='')}")
        except NotFound:
            return "missing"
        if dag.get("has_import_errors"):
            return "does not import"
        if dag.get("is_stale"):
            return "stale: no file declares it any more"
        return "paused" if dag.get("is_paused") else ""

    async def asset_id(self, name: str) -> int | None:
        """The id of the active asset of exactly this name; Airflow itself finds every name that holds it."""
        seen = 0
        while True:
            answer = await self.get("/assets", name_pattern=name, order_by="id", limit=PAGE, offset=seen)
            for asset in answer["assets"]:
                if asset["name"] == name:
                    return int(asset["id"])
            seen += len(answer["assets"])
            if not answer["assets"] or seen >= answer["total_entries"]:
                return None

    async def create_asset_event(self, asset_id: int, extra: Mapping[str, JsonValue]) -> int:
        """POST an event; its id.

        Raises:
            NotFound: the asset is gone.
        """
        answer = await self._call("POST", "/assets/events", body={"asset_id": asset_id, "extra": dict(extra)})
        return int(answer["id"])

    async def extras_of(
        self, asset_id: int, since: datetime, *, limit: int, offset: int
    ) -> list[tuple[int, Mapping[str, object]]]:
        """Id and extra of the asset's events since then, the newest first."""
        answer = await self.get(
            "/assets/events",
            asset_id=asset_id,
            timestamp_gte=utc_text(since),
            order_by="-timestamp",
            limit=min(limit, PAGE),
            offset=offset,
        )
        return [(int(row["id"]), row["extra"] or {}) for row in answer["asset_events"]]

    async def missing_permissions(self) -> list[str]:
        """What the account may not do of what the sweep needs; empty when all is well.

        Airflow hides rows of DAGs that the account cannot read without an error: compare `visible_dags` too.
        """
        missing = []
        for name, path in PERMISSIONS.items():
            try:
                await self.get(path)
            except AirflowForbidden as problem:
                if problem.status == httpx.codes.UNAUTHORIZED:
                    raise  # no permission is missing: the account itself is refused
                missing.append(name)
        return missing

    async def visible_dags(self) -> list[str]:
        """Ids of the DAGs that the account can read."""
        found: list[str] = []
        while True:
            answer = await self.get("/dags", limit=PAGE, offset=len(found), order_by="dag_id")
            found += [dag["dag_id"] for dag in answer["dags"]]
            if not answer["dags"] or len(found) >= answer["total_entries"]:
                return found

    async def lines(self, path: str, timeout_s: float = TIMEOUT_S, **params: Any) -> AsyncGenerator[str]:
        """The lines of a log below /api/v2, one JSON each, as they come: logs may be larger than memory.

        Raises:
            NotFound: 404.
            AirflowUnreachable, AirflowForbidden, AirflowRefused: see `ports.AirflowApi`.
        """
        headers = {"Authorization": f"Bearer {await self._bearer()}", "Accept": "application/x-ndjson"}
        try:
            async with self._http.stream(
                "GET", f"/api/v2{path}", params=params, headers=headers, timeout=timeout_s
            ) as response:
                if response.status_code != httpx.codes.OK:
                    await response.aread()
                    _answer(response, self._url)
                async for line in response.aiter_lines():
                    yield line
        except httpx.HTTPError as problem:
            raise _unreachable(self._url, problem) from problem

    async def fast_lane(self) -> Mapping[str, Any]:
        """State and counters of the fast lane in the API server that answers.

        Raises:
            NotFound: Airflow runs without the plugin.
        """
        found: Mapping[str, Any] = await self.get(f"{PLUGIN}health")
        return found

    async def _rows(self, **params: Any) -> Any:
        """A page of asset events; AirflowRefused with status 500 may be about a row that cannot be served."""
        return _answer(await self._ask("GET", "/assets/events", params), self._url)

    async def _call(self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        response = await self._ask(method, path, params, body)
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            # Never a no: neither a POST's (it may have acted) nor a GET's (what was asked for may be there).
            raise AirflowUnreachable(f"Airflow answered {response.status_code} to {method} {path}")
        return _answer(response, self._url)

    async def _ask(self, method: str, path: str, params: Mapping[str, Any] | None, body: Any = None) -> httpx.Response:
        async with self._slots:
            response = await self._send(method, path, params, body)
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return response
            self._token = ""
            return await self._send(method, path, params, body)

    async def _send(self, method: str, path: str, params: Mapping[str, Any] | None, body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {await self._bearer()}"}
        url = path if path.startswith(PLUGIN) else f"/api/v2{path}"
        arguments: dict[str, Any] = {"params": params or None, "json": body, "headers": headers}
        try:
            return await self._http.request(method, url, **arguments)
        except (httpx.ReadError, httpx.RemoteProtocolError):
            # Airflow closes a kept-alive connection after an unhandled error; a GET is tried once on a fresh one.
            if method != "GET":
                raise AirflowUnreachable(f"Airflow at {self._url} broke the connection off") from None
        except httpx.HTTPError as problem:
            raise _unreachable(self._url, problem) from problem
        try:
            return await self._http.request(method, url, **arguments)
        except httpx.HTTPError as problem:
            raise _unreachable(self._url, problem) from problem

    async def _bearer(self) -> str:
        async with self._signing_in:  # of many calls at once, one signs in
            if not self._token or time.time() >= self._refresh_at:
                self._token = await self._sign_in()
                self._refresh_at = time.time() + REFRESH_AT * _remaining_life_s(self._token)
            return self._token

    async def _sign_in(self) -> str:
        try:
            response = await self._http.post(
                "/auth/token", json={"username": self._username, "password": self._password}
            )
        except httpx.HTTPError as problem:
            raise _unreachable(self._url, problem) from problem
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise AirflowForbidden(
                f"Airflow at {self._url} does not know the account {self._username!r}, or its password differs",
                status=response.status_code,
                hint="TRADELOOP_AIRFLOW_USERNAME and TRADELOOP_AIRFLOW_PASSWORD",
            )
        try:
            return str(_answer(response, self._url)["access_token"])
        except (NotFound, KeyError, TypeError) as problem:
            # Never NotFound: a caller would take it for its run or DAG that is not there.
            raise AirflowUnreachable(
                f"{self._url}/auth/token answered {response.status_code} without a token", hint="TRADELOOP_AIRFLOW_URL"
            ) from problem


def _unreachable(url: str, problem: Exception) -> AirflowUnreachable:
    return AirflowUnreachable(f"Airflow at {url} did not answer: {type(problem).__name__} {problem}".rstrip())


def _answer(response: httpx.Response, url: str) -> Any:
    status = response.status_code
    if status < httpx.codes.BAD_REQUEST:
        try:
            return response.json()
        except ValueError:
            # A redirect, a sign-in page, a gateway's own page.
            raise AirflowUnreachable(
                f"{url} answered {status} and no JSON: it is not Airflow's API", hint="TRADELOOP_AIRFLOW_URL"
            ) from None
    detail = _detail(response)
    if status == httpx.codes.NOT_FOUND:
        raise NotFound(detail)
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise AirflowForbidden(f"Airflow answered {status}: {detail}", status=status, hint="tradeloop doctor airflow")
    if status in PASSING:
        raise AirflowUnreachable(f"Airflow answered {status}: {detail}")
    raise AirflowRefused(f"Airflow answered {status}: {detail}", status=status)


def _detail(response: httpx.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.text
    return str(detail if isinstance(detail, str) else json.dumps(detail))[:500]


def _remaining_life_s(token: str) -> float:
    try:
        part = token.split(".")[1]
        expires = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"]
        return max(1.0, float(expires) - time.time())
    except (IndexError, ValueError, KeyError, TypeError):
        return 60.0  # an opaque token: ask again soon


def _asset_event(row: Mapping[str, Any]) -> AssetEventRow:
    return AssetEventRow(
        id=row["id"],
        asset_name=row["name"] or "",
        timestamp=datetime.fromisoformat(row["timestamp"]),
        extra=row["extra"] or {},
        source_dag_id=row["source_dag_id"] or "",
        source_run_id=row["source_run_id"] or "",
        source_task_id=row["source_task_id"] or "",
        source_map_index=-1 if row["source_map_index"] is None else row["source_map_index"],
    )


def dag_run_view(run: Mapping[str, Any]) -> DagRunView:
    """A DAG run of Airflow's answer."""
    return DagRunView(
        dag_id=run["dag_id"],
        run_id=run["dag_run_id"],
        state=run["state"],
        conf=run.get("conf") or {},
        start_at=moment(run.get("start_date")),
        end_at=moment(run.get("end_date")),
        queued_at=moment(run.get("queued_at")),
        run_after=moment(run.get("run_after")),
        run_type=run.get("run_type") or "",
        triggered_by=run.get("triggered_by") or "",
    )


def moment(text: str | None) -> datetime | None:
    """The time that Airflow spells, None for none."""
    return datetime.fromisoformat(text) if text else None
