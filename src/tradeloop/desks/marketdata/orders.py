"""What the desk may start: the parameters of its three follow-up DAGs, exactly."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from tradeloop.desks.marketdata.batch import AssetClass, Frequency
from tradeloop.desks.marketdata.findings import LISTED
from tradeloop.desks.marketdata.policy import Outcome, Policy
from tradeloop.gate.allowed import Allowed

_DAY: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
Stamp = Annotated[str, Field(pattern=rf"^{_DAY}(T[0-9]{{2}}:[0-9]{{2}}Z)?$")]
RuleId = Annotated[str, Field(pattern=r"^MD[0-9]{2}$")]


class BatchParams(BaseModel):
    """What names a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    symbol: str = Field(pattern=r"^[A-Za-z0-9^][A-Za-z0-9^._=-]{0,39}$")
    calendar: str = Field(pattern=r"^[A-Za-z0-9_/]{1,20}$")
    period: str = Field(pattern=rf"^([0-9]{{4}}-[0-9]{{2}}|{_DAY}(/{_DAY})?)$")
    asset_class: AssetClass
    batch_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: int = Field(ge=0)
    frequency: Frequency = "1d"
    rules: list[RuleId] = Field(default=[], max_length=20)
    dates: list[Stamp] = Field(default=[], max_length=LISTED)


class PublishParams(BatchParams):
    """Hand the batch on."""

    outcome: Literal["ACCEPT", "ACCEPT_WITH_NOTE"]


class ReleaseParams(BatchParams):
    """Hand a batch on that was held, by a person's word."""

    outcome: Literal["REJECT_BATCH", "ESCALATE"]


class RefetchParams(BatchParams):
    """Ask the vendor for the batch again."""

    outcome: Literal["REFETCH"]
    attempt: int = Field(ge=1, le=100)


class QuarantineParams(BatchParams):
    """Set rows aside, by their places in the batch's `bars`."""

    outcome: Literal["QUARANTINE_ROWS"]
    quarantined: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=LISTED)


_PARAMS: Final[dict[Outcome, type[BatchParams]]] = {
    Outcome.ACCEPT: PublishParams,
    Outcome.ACCEPT_WITH_NOTE: PublishParams,
    Outcome.REFETCH: RefetchParams,
    Outcome.QUARANTINE_ROWS: QuarantineParams,
}
"""No other outcome starts anything, whatever a policy says."""


def allowed(policy: Policy) -> tuple[Allowed, ...]:
    """The desk's allow-list under a policy: the firm names the DAGs, never their parameters."""
    found = {
        (chosen.kind, chosen.target, params): None
        for outcome, params in _PARAMS.items()
        if (chosen := policy.actions[outcome]) is not None
    }
    own = [Allowed(kind, re.escape(target), params) for kind, target, params in found]
    asked = {(one.kind, one.target): None for outcome, one in policy.asks.items() if outcome not in _PARAMS}
    return (*own, *(Allowed(kind, re.escape(target), ReleaseParams, asked=True) for kind, target in asked))
