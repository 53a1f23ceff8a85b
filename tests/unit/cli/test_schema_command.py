"""`tradeloop schema` prints the contracts, or writes them."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from tradeloop.cli import build_app
from tradeloop.contracts import SCHEMAS


def schema(*words: str) -> tuple[int, str]:
    answer = CliRunner().invoke(build_app(), ["schema", *words])
    return answer.exit_code, answer.stdout


def test_one_contract_is_one_document() -> None:
    code, out = schema("events")
    assert (code, json.loads(out)) == (0, SCHEMAS["events"]())


def test_without_a_name_all_are_one_document() -> None:
    code, out = schema()
    assert (code, json.loads(out).keys()) == (0, SCHEMAS.keys())


def test_files_are_written_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    code, out = schema("all", "-o", str(folder))
    assert (code, out.split()) == (0, [str(folder / f"{name}.json") for name in SCHEMAS])
    for name, make in SCHEMAS.items():
        assert json.loads((folder / f"{name}.json").read_text()) == make()


def test_an_unknown_contract_is_told_with_the_known_ones() -> None:
    answer = CliRunner().invoke(build_app(), ["schema", "orders"])
    assert answer.exit_code == 2
    assert "asyncapi" in answer.output
