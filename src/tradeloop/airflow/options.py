"""Options of Airflow's section [tradeloop], read at use, once a process."""

from __future__ import annotations

from functools import cache


@cache
def option(name: str, default: str = "") -> str:
    """The option's text; `default` when it is not set."""
    from airflow.configuration import conf

    return str(conf.get("tradeloop", name, fallback=default) or default)


def is_enabled() -> bool:
    """Whether the fast lane is on: enabled, and an address to publish to."""
    return option("enabled", "true").strip().lower() not in {"0", "false", "no", "off"} and bool(
        option("kafka_bootstrap")
    )
