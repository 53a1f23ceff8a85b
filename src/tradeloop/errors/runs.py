"""Errors of workflows, their graphs and their runs. The tree is drawn in `tradeloop.errors`."""

from __future__ import annotations

from tradeloop.errors.root import TradeloopError


class WorkflowInvalid(TradeloopError):
    """A workflow cannot be loaded."""

    actor = "developer"


class WorkflowMissing(TradeloopError):
    """This worker has no workflow for the run's type."""

    retriable = True


class DecisionInvalid(TradeloopError):
    """The graph ended without a decision that fits."""

    actor = "developer"


class RunTimedOut(TradeloopError):
    """The graph did not end before its deadline."""

    actor = "developer"
    retriable = True
    attempts = 3


class ThreadsLeaked(TradeloopError):
    """Too many nodes never returned: their threads are lost to this process."""

    actor = "platform"


class RunBroken(TradeloopError):
    """The graph cancelled itself: a node let a cancellation of its own escape."""

    actor = "developer"


class CrashLoop(TradeloopError):
    """Several workers died with this run in hand."""

    actor = "developer"


class RunLost(TradeloopError):
    """Another worker owns the run now."""

    actor = "platform"


class StaleFence(RunLost):
    """Another worker owns the thread's run now: its checkpoint was not stored."""
