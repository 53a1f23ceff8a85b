"""Which of two workers runs a test: `pytest --numprocesses 2 --dist loadscope`, as `make test WORKERS=2` does."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final  # Any: a logger of xdist's

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]
from xdist.workermanage import NodeManager  # type: ignore[import-untyped]

HERE: Final = Path(__file__).parent
WHOLE_STACKS: Final = ("acceptance", "browser", "chaos")
"""Folders whose tests start stacks of their own, or measure one."""
WITH_SERVERS: Final = ("conformance", "integration")
"""Folders whose tests share PostgreSQL, Kafka and a model server."""

ENDS_WITHIN_S: Final = 120
"""After Ctrl-C: a worker that ends its servers is not killed over it, or they would stay."""


class Sharing(LoadScopeScheduling):  # type: ignore[misc]
    """One worker has all stacks, one at a time, and mostly waits for them; the other has the servers.

    Whoever is ready first takes the tests that share one Airflow, which costs half a core as long as it is there, and
    the other what needs no server, by files. xdist's own `loadgroup` does not see its marks in pytest 9.2.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        NodeManager.EXIT_TIMEOUT = ENDS_WITHIN_S

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid.partition("::")[0])


def order(file: str) -> int:
    """Which group is handed out first, second, third; all files come last."""
    groups = ("stacks", "servers", "airflow")
    return groups.index(group(file)) if group(file) in groups else len(groups)


@cache
def group(file: str) -> str:
    """The group of a test file, by its path from the root of the repository."""
    place = Path(file).relative_to(HERE.name)
    if place.parts[:2] == ("integration", "airflow") or "airflow_stack" in (HERE / place).read_text():
        return "airflow"
    if place.parts[0] in WHOLE_STACKS:
        return "stacks"
    return "servers" if place.parts[0] in WITH_SERVERS else place.as_posix()
