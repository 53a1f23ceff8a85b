"""What others rely on does not change under them."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tradeloop.contracts import SCHEMAS, incompatibilities
from tradeloop.domain.events import SCHEMA_VERSION

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema"


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_published_schema_is_what_the_code_means(name: str) -> None:
    assert json.loads((PUBLISHED / f"{name}.json").read_text()) == SCHEMAS[name](), (
        "make it anew: tradeloop schema -o docs/schema"
    )


@pytest.mark.parametrize("name", ["events", "decisions"])
def test_the_code_is_compatible_with_what_was_released(name: str) -> None:
    released = PUBLISHED / "released" / f"{name}-{SCHEMA_VERSION}.json"
    assert incompatibilities(json.loads(released.read_text()), SCHEMAS[name]()) == [], "raise SCHEMA_VERSION instead"


def _changed(path: list[str], change: Any) -> dict[str, Any]:
    schema = deepcopy(SCHEMAS["events"]())
    place = schema
    for step in path:
        place = place[step]
    change(place)
    return schema


BREAKS = {
    "a field is removed": (["properties"], lambda p: p.pop("subject")),
    "a field becomes required": (["required"], lambda p: p.append("subject")),
    "a type changes": (["properties", "source"], lambda p: p.update(type="integer")),
    "a text becomes shorter": (["properties", "subject"], lambda p: p.update(maxLength=10)),
    "a pattern appears": (["properties", "source"], lambda p: p.update(pattern="^x$")),
    "values are listed": (["properties", "source"], lambda p: p.update(enum=["airflow"])),
    "a nested field is removed": (["$defs", "EventMetadata", "properties"], lambda p: p.pop("environment")),
    "unknown fields are refused": (["$defs", "EventMetadata"], lambda p: p.update(additionalProperties=False)),
    "an alternative is removed": (["properties", "causation_id", "anyOf"], lambda p: p.pop()),
    "a number is bounded": (["properties", "schema_version"], lambda p: p.update(maximum=2)),
}


@pytest.mark.parametrize("name", sorted(BREAKS))
def test_a_change_that_breaks_somebody_is_found(name: str) -> None:
    path, change = BREAKS[name]
    assert incompatibilities(SCHEMAS["events"](), _changed(path, change)) != []


def test_an_optional_field_may_be_added() -> None:
    added = _changed(["properties"], lambda p: p.update(colour={"type": "string"}))
    assert incompatibilities(SCHEMAS["events"](), added) == []


def test_asyncapi_refers_only_to_what_it_holds() -> None:
    document = SCHEMAS["asyncapi"]()
    refs = {part for text in [json.dumps(document)] for part in text.split('"$ref": "')[1:]}
    for ref in (part.split('"')[0] for part in refs):
        place: Any = document
        for step in ref.removeprefix("#/").split("/"):
            assert step in place, ref
            place = place[step]
