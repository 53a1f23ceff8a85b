"""The allow-list: what a desk's graphs may do, held against every action where effects begin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from tradeloop.domain.actions import Action
from tradeloop.errors import ActionForbidden


@dataclass(frozen=True, slots=True)
class Allowed:
    """One kind of action that a desk may take by itself.

    `params` is the taint rule: each parameter is a number, a day, a digest, an identifier of a pattern. Free text from
    outside fits none of them, so it cannot reach a target, whatever a graph or a model makes of it.
    """

    kind: str
    target: str
    """The target's name, whole, as a regular expression."""
    params: type[BaseModel]
    """Refuses what it does not name (`extra="forbid"`)."""
    asked: bool = False
    """Only with a person's yes: what the desk may never do by itself."""


def check(action: Action, allowed: Sequence[Allowed], desk: str, *, asked: bool = False) -> None:
    """Hold an action against a desk's list; `asked`: whether it is put before a person.

    Raises:
        ActionForbidden: nothing on the list fits; says which parameter, not its value.
    """
    usable = [one for one in allowed if asked or not one.asked]
    fitting = [one for one in usable if one.kind == action.kind and re.fullmatch(one.target, action.target)]
    if not fitting:
        raise ActionForbidden(f"desk {desk} may not {action.kind} {action.target}: it is not on its allow-list")
    problems = []
    for one in fitting:
        try:
            one.params.model_validate(action.params, strict=True)
            return
        except ValidationError as problem:
            error = problem.errors(include_url=False, include_input=False)[0]
            problems.append(f"params.{'.'.join(str(step) for step in error['loc'])}: {error['type']}")
    raise ActionForbidden(f"desk {desk}, {action.kind} {action.target}: {'; '.join(problems)}")
