"""The engine's pauses, cut to what a test can wait for."""

from __future__ import annotations

import pytest
from engine_in_memory import House

from tradeloop.engine import worker


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRY_BASE_S", "CLAIM_EVERY_S", "LOOK_ROUND_S", "TEND_EVERY_S"):
        monkeypatch.setattr(worker, name, 0.02)


@pytest.fixture
def house() -> House:
    return House()
