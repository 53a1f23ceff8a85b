"""What tradeloop starts after a limit check: tell, open a case, set the block flag, ask for the inputs again.

None of them changes a limit, trades or takes a block away: there is no such DAG, and the allow-list knows no other.
Each keeps files below `limits/`; a firm puts its own steps in their place.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

TAGS = ["tradeloop", "started by tradeloop"]
PLAIN = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}"
SEVERITY = ("BLOCK_NEW_RISK", "KILL_REQUEST")


@dag(dag_id="limits_notify", schedule=None, max_active_runs=16, tags=TAGS)
def limits_notify() -> None:
    """Tell the owners of the limits."""

    @task
    def tell(*, dag_run: Any = None) -> None:
        keep_by_decision("notices", dag_run.conf or {})

    tell()


@dag(dag_id="limits_case", schedule=None, max_active_runs=16, tags=TAGS)
def limits_case() -> None:
    """Open a case: somebody approves the excess for a time, or has it cured."""

    @task
    def open_case(*, dag_run: Any = None) -> None:
        keep_by_decision("cases", dag_run.conf or {})

    open_case()


@dag(dag_id="limits_block", schedule=None, max_active_runs=16, tags=TAGS)
def limits_block() -> None:
    """Block new risk at once, and open a case; taking the block away is a person's."""

    @task
    def block(*, dag_run: Any = None) -> None:
        conf = dag_run.conf or {}
        keep_by_decision("cases", conf)
        path = folder("blocks") / f"{plain(conf, 'scope')}.json"
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        outcomes = [each for each in (before.get("outcome"), conf.get("outcome")) if each in SEVERITY]
        flag = {name: conf.get(name) for name in ("scope", "scope_kind", "as_of", "decision_id")}
        flag |= {"blocked": True, "outcome": max(outcomes, key=SEVERITY.index, default=SEVERITY[0])}
        flag |= {"first": before.get("first", conf.get("as_of"))}
        write(path, flag)

    block()


@dag(dag_id="limits_recheck", schedule=None, max_active_runs=16, tags=TAGS)
def limits_recheck() -> None:
    """Ask for the inputs again: the next `limits_check` of the day counts as a further attempt."""

    @task
    def ask_again(*, dag_run: Any = None) -> None:
        conf = dag_run.conf or {}
        keep_by_decision("notices", conf)
        write(
            folder("rechecks", plain(conf, "scope")) / f"{plain(conf, 'as_of')}.json",
            {"attempt": int(conf.get("attempt", 1)), "decision_id": conf.get("decision_id")},
        )

    ask_again()


def keep_by_decision(kind: str, conf: dict[str, Any]) -> None:
    """Keep what was decided, and the states that the next check calls previous; a second run writes the same."""
    limits = [one for one in conf.get("limits", []) if isinstance(one, dict)]
    write(folder(kind) / f"{plain(conf, 'decision_id')}.json", conf)
    states = {one.get("limit_id", "?"): one["state"] for one in limits if one.get("state")}
    write(folder("states", plain(conf, "scope")) / f"{plain(conf, 'as_of')}.json", states)


def plain(conf: dict[str, Any], name: str) -> str:
    """A value that may be the name of a file."""
    value = str(conf.get(name, ""))
    return value if re.fullmatch(PLAIN, value) else "unknown"


def folder(*names: str) -> Path:
    """A folder of the desk's below the reference root."""
    found = Path(os.environ.get("TRADELOOP_REFERENCE_ROOT", ".tradeloop/batches")).resolve().joinpath("limits", *names)
    found.mkdir(parents=True, exist_ok=True)
    return found


def write(path: Path, value: dict[str, Any]) -> None:
    """Write a file at once or not at all."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(value, sort_keys=True, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
    print(f"kept {path.parent.name}/{path.name}")


limits_notify()
limits_case()
limits_block()
limits_recheck()
