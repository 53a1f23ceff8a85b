"""The sealed audit, where it is installed: the evidence of one decision, and how the chain stands."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final  # Any: a part that need not be there

from tradeloop.api.problems import Refusal
from tradeloop.api.services import Services
from tradeloop.domain.runs import RunView
from tradeloop.errors import TradeloopError

CHAIN: Final = "tradeloop.store.audit_chain"
EVIDENCE: Final = "tradeloop.store.audit_evidence"
KEYS: Final = "tradeloop.audit.keys"


async def bundle_of(services: Services, view: RunView) -> bytes:
    """A ZIP archive that proves a decision without us.

    Raises:
        Refusal: 404, this installation seals no audit; 503, the records wait for their seal, seconds as a rule.
        NotFound: its records are over their time.
    """
    evidence = _part(EVIDENCE)
    settings: Any = services.settings
    keys = _part(KEYS).accepted_keys(settings.audit_key_file, settings.audit_public_keys, settings.home)
    try:
        _, content = await evidence.make_bundle(services.database, str(view.run_id), keys)
    except TradeloopError as problem:
        if type(problem).__name__ == "NotYet":
            raise Refusal(503, "not_sealed", problem.message, headers={"Retry-After": "5"}) from problem
        raise
    return bytes(content)


async def chain_of(services: Services) -> Any:
    """Head, signature, what waits, and the last verification.

    Raises:
        Refusal: 404, this installation seals no audit.
    """
    return await _part(CHAIN).PostgresAuditChain(services.database).heads()


def _part(name: str) -> Any:
    package = name.rpartition(".")[0]
    if find_spec(package) is None or find_spec(name) is None:
        raise Refusal(404, "no_evidence", "this installation seals no audit.")
    return import_module(name)
