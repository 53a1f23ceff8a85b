"""Which roles may open which page, and send which form: one table. A page that is not in it is closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tradeloop.domain.people import Role

READERS: Final = frozenset({Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ADMINISTRATOR})
OPERATORS: Final = frozenset({Role.OPERATOR})
STOPPERS: Final = frozenset({Role.OPERATOR, Role.ADMINISTRATOR})
RELEASERS: Final = frozenset({Role.APPROVER, Role.ADMINISTRATOR})
APPROVERS: Final = frozenset({Role.APPROVER})
PUBLIC: Final = frozenset({"page_login", "send_login", "page_static", "page_nowhere"})
"""Without a session: they tell nothing of the business."""
ROLES: Final[Mapping[str, frozenset[Role]]] = {
    **dict.fromkeys(
        (
            "page_start",
            "page_inbox",
            "page_inbox_news",
            "page_inbox_next",
            "page_approval",
            "page_approval_box",
            "send_proposal_opened",
            "page_runs",
            "page_run",
            "page_compare",
            "page_trace",
            "page_decisions",
            "page_decision",
            "page_event",
            "page_search",
            "page_letters",
            "page_letter",
            "page_switch",
            "page_desks",
            "page_desk",
            "page_audit",
            "page_oversight",
            "send_verify",
            "page_bundle",
            "page_airflow_run",
            "page_airflow_task",
            "page_me",
            "send_me",
            "send_logout",
            "page_help",
            "page_live",
            "page_vitals",
        ),
        READERS,
    ),
    **dict.fromkeys(
        (
            "send_answer",
            "send_reject_all",
            "page_change",
            "send_change",
            "page_escalate",
            "send_escalate",
        ),
        APPROVERS,
    ),
    **dict.fromkeys(("page_letter_raw", "send_rehearse", "send_replay", "send_discard"), OPERATORS),
    "send_stop": STOPPERS,
    **dict.fromkeys(("send_release", "send_confirm_release"), RELEASERS),
}
"""By route's name."""
