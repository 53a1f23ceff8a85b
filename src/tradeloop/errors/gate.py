"""Errors of what keeps an effect back, of answers, and of who asks. The tree is drawn in `tradeloop.errors`."""

from __future__ import annotations

from tradeloop.errors.root import TradeloopError


class ActionForbidden(TradeloopError):
    """A graph wants an action that is not on its desk's allow-list; nothing was done."""

    actor = "human"


class SwitchedOff(TradeloopError):
    """Somebody stopped the desk's effects; the run waits for the release."""

    actor = "human"
    retriable = True
    attempts = 1_000_000_000
    """A stop may last for days, and nothing is wrong with the run."""


class GateClosed(TradeloopError):
    """The approval policy cannot be read: nothing that needs it is released."""

    retriable = True
    attempts = 1_000_000_000
    """Fail closed, and nothing is wrong with the run."""


class GateFull(TradeloopError):
    """Too many questions of the desk wait for people already; this one is asked later."""

    actor = "human"
    retriable = True
    attempts = 1_000_000_000


class ReleaseHeld(TradeloopError):
    """The ledger holds the effect back: no approval of exactly this action stands."""

    actor = "platform"
    retriable = True


class AnswerRefused(TradeloopError):
    """The answer did not count; nothing was changed."""

    actor = "caller"
    exit_code = 5


class AnswerInvalid(AnswerRefused):
    """The answer lacks what it must say."""

    exit_code = 2

    def __init__(self, message: str = "", *, field: str = "", where: str = "", hint: str = "") -> None:
        super().__init__(message, where=where, hint=hint)
        self.field = field
        """Which field of the answer."""


class AnswerForbidden(AnswerRefused):
    """This person may not answer here."""

    exit_code = 4


class AnswerTooLate(AnswerRefused):
    """Nobody can answer any more."""


class AnswerStale(AnswerRefused):
    """The action is another one now."""


class ReleaseRefused(TradeloopError):
    """A switch's release that was asked for does not stand any more, or another stands; the stop stays."""

    actor = "caller"
    exit_code = 5


class Unauthenticated(TradeloopError):
    """No valid token, key or session."""

    actor = "caller"
    exit_code = 4


class Forbidden(TradeloopError):
    """The role does not allow this."""

    actor = "caller"
    exit_code = 4
