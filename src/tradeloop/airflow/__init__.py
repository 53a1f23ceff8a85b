"""The Airflow edge: events out of tasks, decisions back. Light: Airflow imports it in every process.

What Airflow is told of the package stands here, too: it asks while it reads its own configuration, so the place must
import nothing of Airflow, and a module of its own would be one more in every task.
"""

from typing import Any  # Any: Airflow's provider schema

from tradeloop.airflow.outlet import EmitRefused, by_reference, emit, emit_after, emits, event

__all__ = ["EmitRefused", "by_reference", "emit", "emit_after", "emits", "event", "get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """The provider's description and the options of section [tradeloop]."""
    return {
        "package-name": "tradeloop",
        "name": "tradeloop",
        "description": "Captures events of DAGs on Kafka and brings decisions back as DAG runs.",
        "config": {
            "tradeloop": {
                "description": "Capture of events by tradeloop.",
                "options": {
                    "enabled": _option("Whether the fast lane publishes.", "true", kind="boolean"),
                    "instance": _option("Names this Airflow in every id; never change it.", "local"),
                    "environment": _option("Written into each event's metadata.", "development"),
                    "kafka_bootstrap": _option("Address of Kafka; empty leaves all to the sweep.", ""),
                    "events_topic": _option("The topic of the events.", "workflow-events"),
                    "wake_port": _option("UDP port on loopback where the relay waits; 0: none.", "0", kind="integer"),
                    "trace_file": _option("Where the hook's wall times are written, for measurements.", ""),
                },
            }
        },
    }


def _option(description: str, default: str, *, kind: str = "string") -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": kind,
        "example": None,
        "default": default,
    }
