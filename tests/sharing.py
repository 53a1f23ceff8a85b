"""Which of two workers runs a test: `pytest --numprocesses 2 --dist loadscope`, as `make test` does."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

HERE: Final = Path(__file__).parent
WHOLE_STACKS: Final = ("acceptance", "browser", "chaos")
"""Folders whose tests start stacks of their own, or measure one."""
WITH_SERVERS: Final = ("conformance", "integration")
"""Folders whose tests share PostgreSQL, Kafka and a model server."""


class Sharing(LoadScopeScheduling):  # type: ignore[misc]
    """One worker has all stacks with Airflow, one at a time, and mostly waits for them; the other has the servers.

    What needs no server goes by files to whoever is free. xdist's own `loadgroup` does not see its marks in pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid.partition("::")[0])


@cache
def group(file: str) -> str:
    """The group of a test file, by its path from the root of the repository."""
    place = Path(file).relative_to(HERE.name)
    if place.parts[0] in WHOLE_STACKS or "airflow_stack" in (HERE / place).read_text():
        return "stacks"
    return "servers" if place.parts[0] in WITH_SERVERS else place.as_posix()
