"""The stub that Airflow imports in every one of its processes: it imports nothing of ours until a hook is called."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any  # Any: objects of Airflow's
from urllib.parse import urlencode

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


class _Listener:
    """Hooks that act where Airflow calls them, and nowhere else."""

    @hookimpl
    def on_asset_event_emitted(self, asset_event: Any) -> None:
        """After the commit, in the API server: the fast lane."""
        if asset_event.asset.name.startswith("tradeloop."):
            from tradeloop.airflow.listener import publish

            publish(asset_event)

    @hookimpl
    def on_dag_run_running(self, dag_run: Any, msg: str) -> None:  # noqa: ARG002 - Airflow's signature
        """Before the commit, in the scheduler: publishes nothing, wakes the relay."""
        _wake()

    @hookimpl
    def on_dag_run_success(self, dag_run: Any, msg: str) -> None:  # noqa: ARG002
        """As above."""
        _wake()

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:  # noqa: ARG002
        """As above."""
        _wake()


def _wake() -> None:
    """A datagram to the relay on this host: a hint that may get lost. Opened, sent and closed each time.

    Nothing is kept open and nothing more of ours is imported: workers that the scheduler forks later inherit both.
    """
    with suppress(Exception):
        from airflow.configuration import conf

        port = conf.getint("tradeloop", "wake_port", fallback=0)
        if port:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.connect(("127.0.0.1", port))  # bound to loopback, too: an unconnected socket is bound to all
                sender.send(b"")


class _Apps:
    """The API server's apps, made when the API server asks for them: no other process imports FastAPI for us."""

    def __get__(self, instance: object, owner: type) -> list[dict[str, Any]]:
        if instance is None:
            return []
        from tradeloop.airflow.app import apps

        return apps()


class TaskLink:
    """From a task that declares an event to what tradeloop made of it.

    Asked by the API server for every task that somebody opens; Airflow takes anything with a name and `get_link`, and
    its base class would be one import more in every process.
    """

    name = "Decisions in tradeloop"
    operators: tuple[type, ...] = ()

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The page of the task instance; empty, and so no button, for a task without such an outlet."""
        outlets = getattr(operator, "outlets", None) or getattr(operator, "partial_kwargs", {}).get("outlets") or []
        if not any(_name_of(outlet).startswith("tradeloop.") for outlet in outlets):
            return ""
        from airflow.configuration import conf

        base = str(conf.get("tradeloop", "web_url", fallback="") or "").rstrip("/")
        if not base.startswith(("https://", "http://")):
            return ""
        query = {"dag_id": ti_key.dag_id, "run_id": ti_key.run_id, "task_id": ti_key.task_id}
        return f"{base}/airflow/task?{urlencode({**query, 'map_index': ti_key.map_index})}"


def _name_of(outlet: Any) -> str:
    """Of an asset; those of a mapped task come as Airflow stores them."""
    if isinstance(outlet, dict):
        outlet = outlet.get("__var", outlet)
        return str(outlet.get("name") or "") if isinstance(outlet, dict) else ""
    return str(getattr(outlet, "name", "") or "")


class _Views:
    """tradeloop's pages inside Airflow, only to look at; none where `[tradeloop] web_url` names no address.

    Made when Airflow asks: a class attribute would read the configuration in every task process.
    """

    def __get__(self, instance: object, owner: type) -> list[dict[str, str]]:
        from airflow.configuration import conf

        base = str(conf.get("tradeloop", "web_url", fallback="") or "").rstrip("/")
        if not base.startswith(("https://", "http://")):
            return []
        run = f"{base}/airflow/run?dag_id={{DAG_ID}}&run_id={{RUN_ID}}&frame=1"
        inbox = {"name": "tradeloop", "href": f"{base}/inbox?frame=1", "destination": "nav", "category": "browse"}
        return [
            inbox | {"url_route": "tradeloop"},
            {"name": "tradeloop", "href": run, "destination": "dag_run", "url_route": "tradeloop-run"},
        ]


class TradeloopPlugin(AirflowPlugin):
    """Captures events in the API server; wakes the relay from the scheduler; links tasks to tradeloop's pages."""

    name = "tradeloop"
    listeners = [_Listener()]  # noqa: RUF012 - Airflow reads a list on the class
    fastapi_apps: Any = _Apps()
    global_operator_extra_links: Any = [TaskLink()]  # noqa: RUF012 - as above
    external_views: Any = _Views()
