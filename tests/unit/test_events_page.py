"""The snippets of docs/events.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tradeloop import WorkflowEvent

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_event_of_the_page_is_one() -> None:
    names: dict[str, Any] = {}
    exec(SNIPPETS[0], names)  # noqa: S102 - our own page
    assert isinstance(names["event"], WorkflowEvent)
    assert WorkflowEvent.from_json(names["event"].to_json()) == names["event"]


def test_every_field_is_on_the_page() -> None:
    for name in WorkflowEvent.model_fields:
        assert f"`{name}" in PAGE, name


def test_the_clients_of_the_page_compile() -> None:
    for snippet in SNIPPETS[1:]:
        compile(snippet, "docs/events.md", "exec")
