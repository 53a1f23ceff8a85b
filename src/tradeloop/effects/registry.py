"""Which effects this process has: the built-in ones, those of entry points, those of a setting."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from typing import Any, Final, cast  # Any: what a foreign module holds

from tradeloop.domain.actions import TargetClass
from tradeloop.effects.effector import Effector, Queryable
from tradeloop.errors import EffectInvalid
from tradeloop.workflow import import_named

ENTRY_POINT_GROUP: Final = "tradeloop.effects"
SETTING: Final = "TRADELOOP_EFFECTS"


def load_effectors(builtin: Iterable[Effector], extra: Sequence[str] = ()) -> dict[str, Effector]:
    """Every effect by kind: `builtin`, entry points of the group `tradeloop.effects`, then those of `extra`.

    An entry point and an element of `extra` (`module:name` or `folder/file.py:name`) name a class that is made without
    arguments, or an object.

    Raises:
        EffectInvalid: one cannot be imported, does not fit, or has a kind that is taken.
    """
    found = {effector.kind: effector for effector in builtin}
    sources = [(f"entry point {point.name}", point.value) for point in entry_points(group=ENTRY_POINT_GROUP)]
    sources += [(SETTING, value) for value in extra]
    for where, value in sources:
        effector = _load(where, value)
        if effector.kind in found:
            raise EffectInvalid(f"effect {effector.kind!r} of {value} exists already", where=where)
        found[effector.kind] = effector
    return found


def _load(where: str, value: str) -> Effector:
    try:
        named = import_named(value)
        made = named() if inspect.isclass(named) else named
    except Exception as problem:  # a foreign module may raise anything
        raise EffectInvalid(
            f"effect {value!r} cannot be loaded: {problem}", where=where, hint="module:name or folder/file.py:name"
        ) from problem
    if problem_text := _misfit(made):
        raise EffectInvalid(f"effect {value!r}: {problem_text}", where=where, hint="docs/effects.md")
    return cast(Effector, made)


def _misfit(made: Any) -> str:
    kind, target_class = getattr(made, "kind", None), getattr(made, "target_class", None)
    if not isinstance(kind, str) or not kind:
        return "`kind` must be a text"
    if not isinstance(target_class, TargetClass):
        return f"`target_class` must be one of {', '.join(f'TargetClass.{known.name}' for known in TargetClass)}"
    if not inspect.iscoroutinefunction(getattr(made, "execute", None)):
        return "`async def execute(self, effect, cause)` is missing"
    if target_class is TargetClass.QUERYABLE and not isinstance(made, Queryable):
        return "a QUERYABLE effect needs `async def find(self, effect)`"
    return ""
