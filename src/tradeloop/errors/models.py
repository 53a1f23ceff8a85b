"""Errors of language models and of tools. The tree is drawn in `tradeloop.errors`."""

from __future__ import annotations

from tradeloop.errors.root import TradeloopError


class ModelUnavailable(TradeloopError):
    """No model answered in time, sensibly and within its budget; policy decides."""


class ModelFailed(ModelUnavailable):
    """One model of the chain gave no answer that fits."""

    def __init__(
        self, message: str = "", *, passing: bool = False, free: bool = False, after_s: float = 0.0, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.passing = passing
        """Whether the same call may succeed in a moment."""
        self.free = free
        """Whether it certainly cost nothing."""
        self.after_s = after_s
        """When the server wants to be asked again."""


class BudgetSpent(ModelUnavailable):
    """A budget of tokens or cost would be overspent."""


class ToolUnavailable(TradeloopError):
    """A tool of an MCP server gave no answer; the specialist goes on without."""

    exit_code = 7


class ToolRefused(ToolUnavailable):
    """The tool is not the one that was allowed."""


class CassetteMiss(TradeloopError):
    """The recording of a model's answers does not hold this question."""

    actor = "developer"
