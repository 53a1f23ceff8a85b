"""What an asset event carries: the elements that `emit` wrote, checked against their digests. For both lanes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from tradeloop.domain.canonical import sha256_hex, utc_text

if TYPE_CHECKING:
    from pydantic import JsonValue

    from tradeloop.domain.events import WorkflowEvent

PREFIX = "tradeloop."
FIELDS = ("id", "type", "subject", "time", "source", "sha256", "body")
REDACTED = "the event's body and digest differ: Airflow masked a registered secret in it, or it was edited"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event, as its task wrote it: `body` is published byte by byte."""

    id: str
    type: str
    subject: str
    time: str
    source: str
    body: str
    traceparent: str = ""
    problem: str = ""
    """Why it must not be published; empty when it may be."""

    @property
    def is_intact(self) -> bool:
        """Whether it is what `emit` wrote."""
        return not self.problem

    @property
    def is_redacted(self) -> bool:
        """Whether something changed the body on its way."""
        return self.problem == REDACTED


def envelope_of(*events: WorkflowEvent, traceparent: str = "") -> dict[str, JsonValue]:
    """What makes an asset event carry these events: `extra` of POST /api/v2/assets/events, for programs outside tasks.

    The asset is the one that `event(type)` names, `tradeloop.<type>`; Airflow knows it once a DAG has it as an outlet.
    """
    return {"tradeloop": 1, "events": [_element(event, traceparent) for event in events]}


def _element(event: WorkflowEvent, traceparent: str) -> dict[str, JsonValue]:
    body = event.to_json()
    return {
        "id": str(event.event_id),
        "type": event.event_type,
        "subject": event.subject,
        "time": utc_text(event.timestamp),
        "source": event.source,
        "sha256": sha256_hex(body),
        "traceparent": traceparent,
        "body": body,
    }


def envelopes(extra: object) -> Iterator[Envelope]:
    """The events in an asset event's `extra`, broken ones included; nothing when it is not one of ours."""
    elements = extra.get("events") if isinstance(extra, Mapping) and "tradeloop" in extra else None
    if not isinstance(elements, list):
        return
    for element in elements:
        yield _read(element)


def _read(element: object) -> Envelope:
    values = {name: element.get(name) for name in FIELDS} if isinstance(element, Mapping) else {}
    texts = {name: value if isinstance(value, str) else "" for name, value in values.items()}
    missing = [name for name in FIELDS if not texts.get(name)]
    traceparent = element.get("traceparent") if isinstance(element, Mapping) else ""
    digest = texts.pop("sha256", "")
    return Envelope(
        **{name: texts.get(name, "") for name in FIELDS if name != "sha256"},
        traceparent=traceparent if isinstance(traceparent, str) and traceparent.isascii() else "",
        problem=f"the element has no text {missing[0]!r}" if missing else _problem(texts, digest),
    )


def _problem(texts: Mapping[str, str], digest: str) -> str:
    try:
        body = [text.encode() for text in texts.values()][-1]
    except UnicodeEncodeError:
        return "a lone surrogate, which has no UTF-8"
    if not _is_uuid(texts["id"]):
        return f"the id {texts['id']!r:.80} is no UUID"
    if hashlib.sha256(body).hexdigest() != digest:
        return REDACTED
    # The inbox knows the event by the id in its body, the lanes by the one beside it: two would be missing for ever.
    return "" if f'"event_id":"{texts["id"]}"' in texts["body"] else "the body has another id than the element"


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
