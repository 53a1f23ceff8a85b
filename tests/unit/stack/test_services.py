"""What a part of the stack is started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradeloop.settings import Settings
from tradeloop.stack.services import as_environment


@pytest.mark.parametrize(
    "given", [{}, {"webhooks": Path("hooks.yaml"), "webhook_hosts": ["a", "b"], "webhook_secret": "s", "lease_s": 4}]
)
def test_a_child_reads_exactly_the_settings_of_its_parent(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, object]
) -> None:
    settings = Settings(_env_file=None, **given)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == settings
