"""The evidence of one decision, and of the audit as a whole."""

from __future__ import annotations

from tradeloop.api.services import Services
from tradeloop.audit.keys import accepted_keys
from tradeloop.domain.runs import RunView
from tradeloop.store.audit_chain import Heads, PostgresAuditChain
from tradeloop.store.audit_evidence import make_bundle


async def bundle_of(services: Services, view: RunView) -> bytes:
    """A ZIP archive that proves a decision without us.

    Raises:
        NotFound: its records are over their time.
        NotYet: a record waits for its seal, seconds as a rule.
    """
    settings = services.settings
    keys = accepted_keys(settings.audit_key_file, settings.audit_public_keys, settings.home)
    _, content = await make_bundle(services.database, str(view.run_id), keys)
    return content


async def chain_of(services: Services) -> Heads:
    """Head, signature, what waits, and the last verification."""
    return await PostgresAuditChain(services.database).heads()
