"""What all errors have in common; errors of settings, servers and words. `tradeloop.errors` draws the tree."""

from __future__ import annotations

from typing import ClassVar, Literal

Actor = Literal["operator", "producer", "developer", "human", "platform", "caller"]


class TradeloopError(Exception):
    """tradeloop could not do what was asked."""

    retriable: ClassVar[bool] = False
    """Whether the same call may succeed later without anybody changing anything."""
    actor: ClassVar[Actor] = "operator"
    """Who must act."""
    exit_code: ClassVar[int] = 1
    attempts: ClassVar[int | None] = None
    """How often a run is tried that meets this, when it is retriable; None: as often as any other."""

    def __init__(self, message: str = "", *, where: str = "", hint: str = "") -> None:
        self.message = message or str(type(self).__doc__).strip()
        self.where = where
        self.hint = hint
        super().__init__(self.message)


class SettingInvalid(TradeloopError):
    """A setting is missing or malformed."""

    exit_code = 2


class PrerequisiteMissing(TradeloopError):
    """This machine lacks something that tradeloop needs."""


class PartUnreachable(TradeloopError):
    """A part that tradeloop needs does not answer."""

    actor = "platform"
    retriable = True
    exit_code = 7


class KafkaUnreachable(PartUnreachable):
    """Kafka does not answer."""


class DatabaseUnreachable(PartUnreachable):
    """PostgreSQL does not answer."""


class AirflowUnreachable(PartUnreachable):
    """Airflow does not answer."""


class CaptureGap(TradeloopError):
    """The sweep's cursor is older than the oldest row that Airflow keeps."""

    exit_code = 6


class StackConflict(TradeloopError):
    """Another stack runs here, or something else holds its place."""

    exit_code = 5


class PartFailed(TradeloopError):
    """A part of the local stack did not start."""


class UsageInvalid(TradeloopError):
    """A word of the command line does not fit."""

    actor = "caller"
    exit_code = 2


class Ambiguous(UsageInvalid):
    """Several things begin with what was given."""


class Settled(TradeloopError):
    """It was replayed, discarded or ended before."""

    actor = "caller"
    exit_code = 5


class NotYet(TradeloopError):
    """It is not there yet."""

    actor = "platform"
    retriable = True
    exit_code = 8


class NotFound(TradeloopError):
    """There is no such thing."""

    actor = "caller"
    exit_code = 3
