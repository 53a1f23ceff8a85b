"""Links from a task that asked to tradeloop's pages: the run, its decision, its approval."""

from __future__ import annotations

from typing import Any, ClassVar  # Any: what a task keeps in XCom

from airflow.sdk import BaseOperatorLink

from tradeloop.airflow.questions import page


class _PageLink(BaseOperatorLink):
    """A page whose address the task has pushed; Airflow reads it from XCom under the same key."""

    title: ClassVar[str] = ""
    key: ClassVar[str] = ""

    @property
    def name(self) -> str:
        """The button's words."""
        return self.title

    @property
    def xcom_key(self) -> str:
        """Where the address is."""
        return self.key

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """What the operator knows in the end; Airflow stores it over what was pushed while the task waited."""
        return str(getattr(operator, "pages", {}).get(self.key, ""))


class RunLink(_PageLink):
    """The run in tradeloop: its graph, steps and time line."""

    title = "Run in tradeloop"
    key = "tradeloop_run"


class DecisionLink(_PageLink):
    """The decision: facts, policy, model, effect."""

    title = "Decision in tradeloop"
    key = "tradeloop_decision"


class ApprovalLink(_PageLink):
    """The question to people, where one was asked."""

    title = "Approval in tradeloop"
    key = "tradeloop_approval"


def pages(base: str, *, run: str, decision: str, approval: str) -> dict[str, str]:
    """Addresses by XCom key."""
    return {
        RunLink.key: page(base, "runs", run),
        DecisionLink.key: page(base, "decisions", decision),
        ApprovalLink.key: page(base, "approvals", approval),
    }
