"""The page of the command line names every command and every exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from tradeloop.cli import build_app
from tradeloop.cli.endings import MEANINGS

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()


def paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    children = getattr(command, "commands", {})
    if not children:
        yield " ".join(path)
    for name, child in children.items():
        yield from paths(child, (*path, name))


def test_every_command_is_on_the_page() -> None:
    named = set(re.findall(r"^\| `([a-z ]+?)(?: [^a-z`][^`]*| [A-Z][^`]*)?` \|", PAGE, re.MULTILINE))
    assert set(paths(get_command(build_app()))) - named == set()


def test_every_exit_code_is_on_the_page() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == sorted(MEANINGS)
