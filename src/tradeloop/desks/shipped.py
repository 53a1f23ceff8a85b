"""The desks that ship, and one of them under another policy."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final  # Any: a desk's own policy type

import yaml

from tradeloop.desks.desk import Desk
from tradeloop.desks.graph import workflow_of
from tradeloop.errors import SettingInvalid
from tradeloop.workflow import Workflow

NAMES: Final = ("limits", "marketdata", "reconciliation", "settlement")


def desk_under(name: str, policy: Path | None = None) -> Desk:
    """A desk under the policy of a file, or of its setting.

    Raises:
        SettingInvalid: no such desk, or the policy does not fit.
    """
    if name not in NAMES:
        raise SettingInvalid(f"no desk is called {name!r}; known: {', '.join(NAMES)}")
    module: Any = import_module(f"tradeloop.desks.{name}.desk")
    desk: Desk = module.desk_of(module.load_policy(policy))
    return desk


def under_policy(path: Path) -> Workflow:
    """The workflow of the desk that the policy file names, under that policy.

    Raises:
        SettingInvalid: the file cannot be read, or names no desk that ships.
    """
    try:
        named = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise SettingInvalid(f"the policy {path} cannot be read: {' '.join(str(problem).split())}") from problem
    name = str(named.get("name", "")) if isinstance(named, dict) else ""
    return workflow_of(desk_under(name, path))
