"""The pages for DAG authors: their snippets are files or run as they stand, their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["emit.md", "xcom.md", "own-desk.md", "from-the-seed.md"]
OWN_DESK = re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", (DOCS / "own-desk.md").read_text(), re.DOTALL)


@pytest.mark.parametrize(("name", "text"), OWN_DESK)
def test_a_snippet_of_the_own_desk_is_the_file_it_names(name: str, text: str) -> None:
    assert text == (DOCS.parent / name).read_text()


def test_graph_dag_and_entry_point_are_on_the_page() -> None:
    assert [Path(name).name for name, _ in OWN_DESK] == ["graph.py", "own_desk_dags.py", "pyproject.toml"]


def test_the_dag_that_emits_in_every_way_is_one() -> None:
    from airflow.sdk import DAG

    (snippet,) = re.findall(r"```python\n(.*?)```", (DOCS / "emit.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet.replace("\nways_to_emit()\n", "\nmade = ways_to_emit()\n"), names)  # noqa: S102 - our own page
    dag: DAG = names["made"]

    outlets = {task_id: [asset.name for asset in dag.get_task(task_id).outlets] for task_id in dag.task_ids}
    assert outlets == {
        "load": ["tradeloop.prices.loaded"],
        "count": ["tradeloop.prices.counted"],
        "check": ["tradeloop.prices.checked"],
        "archive": ["tradeloop.prices.archived"],
    }


def test_the_snippet_on_xcom_compiles() -> None:
    for snippet in re.findall(r"```python\n(.*?)```", (DOCS / "xcom.md").read_text(), re.DOTALL):
        compile(snippet, "docs/xcom.md", "exec")


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_to_files_and_headings(page: str) -> None:
    for link in re.findall(r"\]\(([^)h][^)]*)\)", (DOCS / page).read_text()):
        name, _, heading = link.partition("#")
        target = DOCS / name if name else DOCS / page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}, link


def test_every_part_of_the_seed_has_its_row() -> None:
    page = (DOCS / "from-the-seed.md").read_text()
    for part in (
        "Airflow 2.8", "PostgreSQL 15", "Kafka 7.5", "ZooKeeper", "Pydantic", "Docker Compose", "pytest",
        "kafka-python", "Python 3.11",
    ):  # fmt: skip
        assert f"| **{part}**" in page, part
