"""One spelling for one meaning: the JSON that is hashed, stored and published."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, TypeVar  # JSON from outside has no narrower type


def canonical_json(value: Any) -> str:
    """Spell `value` as JSON with sorted keys and no spaces; refuses NaN and infinity (ValueError).

    `tradeloop.airflow.outlet` holds the same rule in the standard library alone; a test compares the two.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


T = TypeVar("T")


def forgetful(copied: T, *names: str) -> T:
    """The copy of a model without what the original had computed once: it may have other fields."""
    for name in names:
        copied.__dict__.pop(name, None)
    return copied


def unstorable(json_text: str) -> str:
    """Why a JSON text (written without ASCII escapes) can be neither stored nor published; empty when it can."""
    if "\\u0000" in json_text.replace("\\\\", ""):
        return "U+0000 in a text; no database stores it"
    try:
        json_text.encode()
    except UnicodeEncodeError:
        return "a lone surrogate in a text; it has no UTF-8"
    return ""


def sha256_hex(text: str | bytes) -> str:
    """Digest of the UTF-8 bytes, 64 hex digits."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def utc_text(moment: datetime) -> str:
    """Spell an aware time as RFC 3339 in UTC with microseconds, always 27 characters."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
