"""The sealed audit: the evidence of one decision, and how the chain stands."""

from __future__ import annotations

from tradeloop.api.problems import Refusal
from tradeloop.api.services import Services
from tradeloop.audit.keys import accepted_keys
from tradeloop.domain.runs import RunView
from tradeloop.errors import NotYet
from tradeloop.store.audit_chain import Heads, PostgresAuditChain
from tradeloop.store.audit_evidence import make_bundle


async def bundle_of(services: Services, view: RunView) -> bytes:
    """A ZIP archive that proves a decision without us.

    Raises:
        Refusal: 503, the decision's records wait for their seal, seconds as a rule.
        NotFound: its records are over their time.
    """
    settings = services.settings
    keys = accepted_keys(settings.audit_key_file, settings.audit_public_keys, settings.home)
    try:
        _, content = await make_bundle(services.database, str(view.run_id), keys)
    except NotYet as problem:
        raise Refusal(409, "not_sealed", problem.message, headers={"Retry-After": "5"}) from problem
    return content


async def chain_of(services: Services) -> Heads:
    """Head, signature, what waits, and the last verification."""
    return await PostgresAuditChain(services.database).heads()
