"""The Airflow edge: events out of tasks, decisions back. Light: Airflow imports it in every process."""

from tradeloop.airflow.outlet import EmitRefused, by_reference, emit, emit_after, event

__all__ = ["EmitRefused", "by_reference", "emit", "emit_after", "event"]
