"""The pages of the Airflow edge: the example is the file, links lead somewhere, tables name what there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tradeloop.airflow import get_provider_info
from tradeloop.airflow.operators import AskAgentOperator

ROOT = Path(__file__).parents[3]
PAGES = sorted((ROOT / "docs" / "airflow").glob("*.md"))


def test_the_example_is_the_file_it_names() -> None:
    ((name, text),) = re.findall(
        r"```python\n# (\S+)\n(.*?)```", (PAGES[0].parent / "operators.md").read_text(), re.DOTALL
    )

    assert text == (ROOT / name).read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_argument_of_the_operator_is_on_its_page() -> None:
    page = (PAGES[0].parent / "operators.md").read_text()
    arguments = [
        name for name in inspect.signature(AskAgentOperator.__init__).parameters if name not in ("self", "kwargs")
    ]

    assert [name for name in arguments if f"`{name}`" not in page] == []


def test_every_field_of_the_connection_is_on_its_page() -> None:
    page = (PAGES[0].parent / "connection.md").read_text()
    (connection,) = get_provider_info()["connection-types"]

    assert [name for name in connection["conn-fields"] if f"`{name}`" not in page] == []
