"""What PostgreSQL can hold of texts and headers from outside."""

from __future__ import annotations

import json
from collections.abc import Iterable

from psycopg.types.json import Jsonb


def storable(text: str) -> str:
    """The text with what PostgreSQL refuses (U+0000, lone surrogates) replaced by U+FFFD."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def header_text(headers: Iterable[tuple[str, bytes]]) -> str:
    """Record headers as the JSON text of a list of pairs, order and repeats kept."""
    return json.dumps([[storable(name), storable(value.decode("utf-8", "replace"))] for name, value in headers])


def header_json(headers: Iterable[tuple[str, bytes]]) -> Jsonb:
    """Record headers as a JSON list of pairs, order and repeats kept."""
    return Jsonb([[storable(name), storable(value.decode("utf-8", "replace"))] for name, value in headers])


def headers_from(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, bytes], ...]:
    """Back from the stored list of pairs."""
    return tuple((name, value.encode()) for name, value in pairs)
