"""The README's snippets are the files in examples/, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tradeloop.cli import build_app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"```python\n# (\S+)\n(.*?)```", README, re.DOTALL)
COMMANDS = sorted(
    {
        line.split(" #")[0].strip()
        for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
        for line in block.splitlines()
    }
)


def test_readme_has_a_dag_and_a_graph() -> None:
    assert [name for name, _ in PYTHON_BLOCKS] == ["examples/hello_dag.py", "examples/hello_desk.py"]


@pytest.mark.parametrize(("name", "text"), PYTHON_BLOCKS)
def test_a_snippet_is_the_file_it_names(name: str, text: str) -> None:
    assert text == (ROOT / name).read_text()


@pytest.mark.parametrize("command", [line for line in COMMANDS if "bin/tradeloop" in line])
def test_a_command_of_the_readme_exists(command: str) -> None:
    words = command.split()[1:]
    verbs = [word for word in words if not word.startswith("-")][:2]
    verbs = verbs if verbs[0] in {"runs", "audit"} else verbs[:1]
    result = CliRunner().invoke(build_app(), [*verbs, "--help"])
    assert result.exit_code == 0, result.output
    for option in (word for word in words if word.startswith("--")):
        assert option in result.output


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_are_targets_of_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_readme_fits_one_screen_and_a_half() -> None:
    assert len(README.splitlines()) <= 75


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)h][^)]*)\)", README))
def test_a_link_of_the_readme_leads_to_a_file(link: str) -> None:
    assert (ROOT / link).is_file()
