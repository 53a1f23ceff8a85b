"""The evidence of one decision."""

from __future__ import annotations

from tradeloop.api.services import Services
from tradeloop.audit.keys import accepted_keys
from tradeloop.domain.runs import RunView
from tradeloop.store.audit_evidence import make_bundle


async def bundle_of(services: Services, view: RunView) -> bytes:
    """A ZIP archive that proves a decision without us.

    Raises:
        NotFound: the audit has no record of the run.
        NotYet: a record waits for its seal.
    """
    settings = services.settings
    keys = accepted_keys(settings.audit_key_file, settings.audit_public_keys, settings.home)
    _, data = await make_bundle(services.database, str(view.run_id), keys)
    return data
