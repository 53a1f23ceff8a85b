"""What an asset event carries: the elements that `emit` wrote, checked against their digests. For both lanes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PREFIX = "tradeloop."
FIELDS = ("id", "type", "subject", "time", "source", "sha256", "body")


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
    is_intact: bool = True
    """False when body and digest differ: a registered secret was masked, or somebody wrote the row by hand."""


def envelopes(extra: Mapping[str, object]) -> Iterator[Envelope]:
    """The events in an asset event's `extra`; nothing when it is not one of ours."""
    elements = extra.get("events")
    if not isinstance(elements, list):
        return
    for element in elements:
        if not isinstance(element, Mapping):
            continue
        values = {field: element.get(field) for field in FIELDS}
        if not all(isinstance(value, str) for value in values.values()):
            continue
        body = str(values["body"])
        digest = hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()
        traceparent = element.get("traceparent")
        yield Envelope(
            id=str(values["id"]),
            type=str(values["type"]),
            subject=str(values["subject"]),
            time=str(values["time"]),
            source=str(values["source"]),
            body=body,
            traceparent=traceparent if isinstance(traceparent, str) else "",
            is_intact=digest == values["sha256"],
        )
