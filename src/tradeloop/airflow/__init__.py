"""The Airflow edge: events out of tasks, decisions back. Light: Airflow imports it in every process.

What Airflow is told of the package stands here, too: it asks while it reads its own configuration, so the place must
import nothing of Airflow, and a module of its own would be one more in every task.
"""

from typing import Any  # Any: Airflow's provider schema

from tradeloop.airflow.outlet import EmitRefused, by_reference, emit, emit_after, emits, event

__all__ = ["EmitRefused", "by_reference", "emit", "emit_after", "emits", "event", "get_provider_info"]


INTEGRATION = "tradeloop"


def get_provider_info() -> dict[str, Any]:
    """The provider's description: what it brings, the connection's form, the options of section [tradeloop]."""
    return {
        "package-name": "tradeloop",
        "name": INTEGRATION,
        "description": "Captures events of DAGs on Kafka, asks guarded agents and people, brings decisions back.",
        "integrations": [{"integration-name": INTEGRATION, "tags": ["software"]}],
        "operators": _modules("operators"),
        "hooks": _modules("hooks"),
        "triggers": _modules("triggers"),
        "extra-links": [f"tradeloop.airflow.links.{name}" for name in ("RunLink", "DecisionLink", "ApprovalLink")],
        "connection-types": [_CONNECTION],
        "config": {
            "tradeloop": {
                "description": "Capture of events by tradeloop, and the way to its pages.",
                "options": {
                    "enabled": _option("Whether the fast lane publishes.", "true", kind="boolean"),
                    "instance": _option("Names this Airflow in every id; never change it.", "local"),
                    "environment": _option("Written into each event's metadata.", "development"),
                    "kafka_bootstrap": _option("Address of Kafka; empty leaves all to the sweep.", ""),
                    "events_topic": _option("The topic of the events.", "workflow-events"),
                    "wake_port": _option("UDP port on loopback where the relay waits; 0: none.", "0", kind="integer"),
                    "web_url": _option("Address of tradeloop's pages, for links from tasks; empty: no links.", ""),
                    "trace_file": _option("Where the hook's wall times are written, for measurements.", ""),
                },
            }
        },
    }


_CONNECTION = {
    "connection-type": "tradeloop",
    "hook-class-name": "tradeloop.airflow.hooks.TradeloopHook",
    "hook-name": "tradeloop",
    "ui-field-behaviour": {
        "hidden-fields": ["login", "extra"],
        "relabeling": {"host": "Address of the API", "schema": "Scheme", "password": "API key"},
        "placeholders": {
            "host": "https://tradeloop.example or a host's name",
            "schema": "https; http on loopback",
            "port": "8088",
            "password": "tradeloop keys create NAME --role service",
        },
    },
    "conn-fields": {
        "web_url": {
            "label": "Address of the pages",
            "description": "Where people's browsers reach tradeloop, for links from tasks; empty: the API's address.",
            "schema": {"type": ["string", "null"], "format": "url"},
        },
        "timeout_s": {
            "label": "Timeout",
            "description": "Seconds for one request; a wait for a decision is many of them.",
            "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 300, "default": 15},
        },
        "ca_file": {
            "label": "CA certificates",
            "description": "PEM file on Airflow's machines; empty: those that httpx trusts.",
            "schema": {"type": ["string", "null"]},
        },
    },
}


def _modules(name: str) -> list[dict[str, Any]]:
    return [{"integration-name": INTEGRATION, "python-modules": [f"tradeloop.airflow.{name}"]}]


def _option(description: str, default: str, *, kind: str = "string") -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": kind,
        "example": None,
        "default": default,
    }
