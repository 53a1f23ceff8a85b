"""Which roles may call which route: one table. A route that is not in it is closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final  # Any: a route of FastAPI or Starlette

from fastapi import Request

from tradeloop.api.identity import caller_of, check_forgery, services_of
from tradeloop.domain.people import Role
from tradeloop.errors import Forbidden

VIEWER, OPERATOR, APPROVER, ADMINISTRATOR, SERVICE = Role
READERS: Final = frozenset({VIEWER, OPERATOR, APPROVER, ADMINISTRATOR})
"""People who look; services see only what became of their own events."""
EVERYBODY: Final = frozenset(Role)

PUBLIC: Final = frozenset({"livez", "readyz", "openapi"})
"""Routes without credentials: they tell nothing of the business."""
ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "get_me": EVERYBODY,
    "get_metrics": READERS | {SERVICE},
    "trigger_workflow": frozenset({SERVICE, OPERATOR}),
    "list_workflows": READERS | {SERVICE},
    "get_workflow": READERS | {SERVICE},
    "list_runs": READERS,
    "get_run": READERS,
    "get_run_steps": READERS,
    "get_run_state": READERS,
    "get_run_audit": READERS,
    "cancel_run": frozenset({OPERATOR}),
    "list_decisions": READERS,
    "get_decision": READERS,
    "get_decision_bundle": READERS,
    "stream_changes": READERS,
    "get_event": READERS,
    "get_event_decision": EVERYBODY,
    "get_policy_answer": READERS | {SERVICE},
    "list_approvals": READERS,
    "get_approval": READERS,
    "answer_approval": frozenset({APPROVER}),
    "modify_approval": frozenset({APPROVER}),
    "escalate_approval": frozenset({APPROVER}),
    "list_letters": READERS,
    "get_letter": READERS,
    "get_letter_raw": frozenset({OPERATOR}),
    "replay_letter": frozenset({OPERATOR}),
    "discard_letter": frozenset({OPERATOR}),
    "list_effects": READERS,
    "get_effect": READERS,
    "resolve_effect": frozenset({OPERATOR}),
    "list_switches": READERS,
    "stop_switch": frozenset({OPERATOR, ADMINISTRATOR}),
    "release_switch": frozenset({APPROVER, ADMINISTRATOR}),
    "confirm_switch_release": frozenset({APPROVER, ADMINISTRATOR}),
    "list_desks": READERS,
    "get_desk_day": READERS,
    "list_audit": READERS,
    "get_audit_heads": READERS,
}
"""By route's name, which is its operation id."""


async def admitted(request: Request) -> None:
    """Let a request through that its caller may make; every route asks this first.

    Raises:
        Unauthenticated: nobody asks.
        Forbidden: the caller has none of the route's roles, or the route none at all.
        Refusal: too many requests (429), or a forged one (403).
    """
    name = name_of(request.scope.get("route"))
    if name in PUBLIC:
        return
    caller = await caller_of(request)
    services_of(request).limits.check(caller.principal.name)
    wanted = ROLES.get(name, frozenset())
    if not caller.principal.has(*wanted):
        roles = ", ".join(sorted(wanted)) or "nobody"
        raise Forbidden(f"{caller.principal.name} lacks the role for this; it takes one of: {roles}.")
    await check_forgery(request)


def name_of(route: Any) -> str:
    """The name by which a route is in the table."""
    return str(getattr(route, "name", ""))
