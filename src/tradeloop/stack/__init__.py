"""The local stack: PostgreSQL, Kafka, Airflow, relay, worker and API on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradeloop.stack.stack import Stack

__all__ = ["Stack", "addresses"]


def addresses(home: Path) -> dict[str, str]:
    """The settings of the stack that is up in this home, passwords included; empty when none is."""
    from tradeloop.stack.lookup import settings_of

    return settings_of(home)


def __getattr__(name: str) -> object:
    # Lazy: most commands want an address and nothing of what starts servers.
    if name == "Stack":
        from tradeloop.stack.stack import Stack

        return Stack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
