"""Commands of the real CLI in this process, against a database of the test's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tradeloop import cli
from tradeloop.settings import load_settings

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, database_url: str
) -> Call:
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADELOOP_DATABASE_URL", database_url)
    monkeypatch.setenv("TRADELOOP_HOME", str(tmp_path / "home"))

    def run(*words: str) -> tuple[int, str, str]:
        load_settings.cache_clear()
        monkeypatch.setattr(sys, "argv", ["tradeloop", *words])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        output = capsys.readouterr()
        return int(code or 0), output.out, output.err

    return run


@pytest.fixture(autouse=True)
def _fresh_afterwards() -> Any:
    yield
    load_settings.cache_clear()
