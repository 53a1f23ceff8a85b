"""The audit on real PostgreSQL."""

from __future__ import annotations

import pytest

from auditing import Chain
from tradeloop.audit.keys import SigningKey, new_key
from tradeloop.store.database import Database


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return new_key(tmp_path_factory.mktemp("keys") / "firm.key")


@pytest.fixture
def chain(database: Database, signing_key: SigningKey) -> Chain:
    return Chain(database, signing_key)
