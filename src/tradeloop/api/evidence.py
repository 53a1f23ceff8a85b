"""The evidence of one decision."""

from __future__ import annotations

from tradeloop.api.problems import Refusal
from tradeloop.api.services import Services
from tradeloop.domain.runs import RunView


async def bundle_of(_: Services, __: RunView) -> bytes:
    """A ZIP archive that proves a decision without us.

    Raises:
        Refusal: 404, this installation seals no audit.
    """
    raise Refusal(404, "no_evidence", "this installation seals no audit, so there is no bundle.")
