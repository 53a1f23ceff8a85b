"""What others may rely on: JSON Schema of events and decisions, AsyncAPI of the topics, and what would break them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final  # Any: JSON Schema

from pydantic.json_schema import models_json_schema

from tradeloop.domain.decisions import Decision
from tradeloop.domain.events import SCHEMA_VERSION, WorkflowEvent

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def events_schema() -> Schema:
    """JSON Schema (2020-12) of a WorkflowEvent as it is on the wire."""
    return _finished(WorkflowEvent.model_json_schema(mode="validation"), "WorkflowEvent", SCHEMA_VERSION)


def decisions_schema() -> Schema:
    """JSON Schema of `payload.data.decision` of a `decision.recorded` event."""
    return _finished(Decision.model_json_schema(mode="validation"), "Decision", SCHEMA_VERSION)


def asyncapi() -> Schema:
    """AsyncAPI 3.0 of the topics: addresses, keys, headers, messages."""
    _, definitions = models_json_schema(
        [(WorkflowEvent, "validation"), (Decision, "validation")], ref_template="#/components/schemas/{model}"
    )
    channels = {
        "events": _channel("workflow-events", "What happened in workflows.", ["event"]),
        "decisions": _channel("workflow-decisions", "What was decided.", ["decision"]),
        "deadLetters": _channel(
            "workflow-dead-letters", "What could not be read or decided, as it was.", ["deadLetter"]
        ),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "tradeloop", "version": f"{SCHEMA_VERSION}", "description": "Events in, decisions out."},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            "publishEvents": {"action": "send", "channel": {"$ref": "#/channels/events"}},
            "readDecisions": {"action": "receive", "channel": {"$ref": "#/channels/decisions"}},
            "readDeadLetters": {"action": "receive", "channel": {"$ref": "#/channels/deadLetters"}},
        },
        "components": {
            "schemas": definitions.get("$defs", {}),
            "messages": {
                "event": _message("An event.", "WorkflowEvent"),
                "decision": _message("A `decision.recorded` event: its data holds the Decision.", "WorkflowEvent"),
                "deadLetter": {
                    "summary": "The original bytes; headers cause, error_class, topic, partition, offset.",
                    "contentType": "application/octet-stream",
                },
            },
        },
    }


SCHEMAS: Final[Mapping[str, Callable[[], Schema]]] = {
    "events": events_schema,
    "decisions": decisions_schema,
    "asyncapi": asyncapi,
}


def incompatibilities(old: Schema, new: Schema) -> list[str]:
    """Why readers and writers of `old` could not go on under `new`; empty when they can.

    A field may be added when it is optional. Removing one, making one required, changing its type, narrowing its
    bounds or its allowed values breaks somebody.
    """
    found: list[str] = []
    _compare(old, new, (old, new), "$", found)
    return found


def _compare(old: Any, new: Any, roots: tuple[Schema, Schema], path: str, found: list[str]) -> None:
    old, new = _resolved(old, roots[0]), _resolved(new, roots[1])
    if not isinstance(old, dict) or not isinstance(new, dict):
        return
    _compare_values(old, new, path, found)
    before, after = old.get("properties", {}), new.get("properties", {})
    found += [f"{path}.{name} was removed" for name in before if name not in after]
    required = set(new.get("required", [])) - set(old.get("required", []))
    found += [f"{path}.{name} became required" for name in sorted(required)]
    for name in before.keys() & after.keys():
        _compare(before[name], after[name], roots, f"{path}.{name}", found)
    for name in ("items", "additionalProperties"):
        if isinstance(old.get(name), dict) and isinstance(new.get(name), dict):
            _compare(old[name], new[name], roots, f"{path}.{name}", found)
    for index, (one, other) in enumerate(zip(old.get("anyOf", []), new.get("anyOf", []), strict=False)):
        _compare(one, other, roots, f"{path}|{index}", found)


def _compare_values(old: Schema, new: Schema, path: str, found: list[str]) -> None:
    changed = [name for name in ("type", "format", "pattern", "const") if name in new and old.get(name) != new[name]]
    found += [f"{path}: {name} was {old.get(name)!r} and is {new[name]!r}" for name in changed]
    for name, is_narrower in (
        ("maxLength", int.__lt__),
        ("maximum", int.__lt__),
        ("minLength", int.__gt__),
        ("minimum", int.__gt__),
    ):
        narrowed = name in new and (name not in old or is_narrower(new[name], old[name]))
        found += [f"{path}: {name} was {old.get(name)!r} and is {new[name]!r}"] if narrowed else []
    if "enum" in new:
        gone = [value for value in old.get("enum", []) if value not in new["enum"]]
        if gone or "enum" not in old:
            found.append(f"{path}: values {gone or 'other than ' + str(new['enum'])} are not allowed any more")
    if len(new.get("anyOf", [])) < len(old.get("anyOf", [])):
        found.append(f"{path}: fewer alternatives are allowed")
    if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
        found.append(f"{path}: unknown fields are not allowed any more")


def _resolved(schema: Any, root: Schema) -> Any:
    while isinstance(schema, dict) and "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = target
    return schema


def _finished(schema: Schema, name: str, version: int) -> Schema:
    return {"$schema": DIALECT, "$id": f"urn:tradeloop:schema:{name}:{version}", **schema}


def _channel(address: str, description: str, messages: list[str]) -> Schema:
    return {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topic": address, "bindingVersion": "0.5.0"}},
    }


def _message(summary: str, schema: str) -> Schema:
    names = (
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_subject",
        "ce_time",
        "content-type",
        "tradeloop_lane",
    )
    return {
        "summary": summary,
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": list(names),
            "properties": {name: {"type": "string"} for name in (*names, "traceparent")},
        },
        "payload": {"$ref": f"#/components/schemas/{schema}"},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": "The event's subject."}, "bindingVersion": "0.5.0"}
        },
    }
