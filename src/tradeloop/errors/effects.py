"""Errors of effects and their targets. The tree is drawn in `tradeloop.errors`."""

from __future__ import annotations

from tradeloop.errors.root import TradeloopError


class AirflowRefused(TradeloopError):
    """Airflow answered no."""

    def __init__(self, message: str = "", *, status: int = 0, where: str = "", hint: str = "") -> None:
        super().__init__(message, where=where, hint=hint)
        self.status = status
        """The HTTP status of the answer."""


class AirflowForbidden(AirflowRefused):
    """Airflow's account lacks a permission."""

    retriable = True
    exit_code = 4


class DagUnavailable(AirflowRefused):
    """The DAG is missing, paused or does not import."""

    retriable = True


class EffectConflict(TradeloopError):
    """The target holds something else under our key."""

    actor = "human"


class EffectInvalid(TradeloopError):
    """An effect of one's own cannot be loaded."""

    actor = "developer"


class EffectRefused(TradeloopError):
    """The target of an effect said no, for good."""


class EffectBlocked(TradeloopError):
    """The target of an effect says no for now; certainly nothing happened."""

    retriable = True


class EffectUnanswered(TradeloopError):
    """The target of an effect gave no clear answer: whether it happened is not known yet."""

    actor = "platform"
    retriable = True


class ActionDiverged(TradeloopError):
    """The run wants another action than the one that stands in its slot of the ledger."""

    actor = "human"


class OutcomeUnknown(TradeloopError):
    """Whether an effect happened is not known, and nobody but a person can find out."""

    actor = "human"


class EffectSettled(TradeloopError):
    """The effect's outcome is known already."""

    actor = "caller"
    exit_code = 5
