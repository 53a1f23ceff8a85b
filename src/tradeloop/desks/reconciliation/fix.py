"""Fills of a log of FIX messages: one message a line, fields parted by SOH (or by `|`, as people keep them)."""

from __future__ import annotations

import re
from typing import Final

import polars as pl
from simplefix import FixMessage, FixParser

from tradeloop.desks.reconciliation.refusal import RecordInvalid

MAX_MESSAGES: Final = 200_000
_SOH: Final = b"\x01"
_CHECKSUM: Final = re.compile(rb"\x0110=([0-9]{3})\x01$")
_FILLS: Final = {"1", "2", "F"}
"""ExecType (150): partial fill and fill up to FIX 4.2, trade from 4.3 on."""
_TAGS: Final = {
    "id": (17,), "exec_id": (17,), "account": (1,), "counterparty": (49,), "security": (48, 55), "side": (54,),
    "quantity": (32,), "price": (31,), "currency": (15,), "trade_date": (75, 60, 52), "settle_date": (64,),
    "fees": (12,), "net": (118,), "text": (58,),
}  # fmt: skip
_COLUMNS: Final = tuple(_TAGS)


def fills_of(raw: bytes, file: str) -> pl.DataFrame:
    """The execution reports of a log that are fills, one row each, every cell text. Other messages are passed over.

    Raises:
        RecordInvalid: a line is no FIX message, its length or check sum is wrong, or no line is a fill.
    """
    rows: list[dict[str, str | None]] = []
    lines = [(number, line.rstrip(b"\r")) for number, line in enumerate(raw.split(b"\n"), 1) if line.strip()]
    if len(lines) > MAX_MESSAGES:
        raise RecordInvalid(f"more than {MAX_MESSAGES:,} messages", file=file, line=MAX_MESSAGES + 1, field="8")
    for number, line in lines:
        message = _message(line, file, number)
        if message.get(35) == b"8" and _text(message, 150) in _FILLS:
            rows.append(_row(message, file, number))
    if not rows:
        raise RecordInvalid("no message is a fill (35=8 with 150=F, 1 or 2)", file=file, line=1, field="35")
    return pl.DataFrame(rows, schema=dict.fromkeys(_COLUMNS, pl.String))


def _message(line: bytes, file: str, number: int) -> FixMessage:
    if _SOH not in line and line.startswith(b"8=FIX") and b"|" in line:
        line = line.replace(b"|", _SOH)
    if not line.startswith(b"8=FIX"):
        raise RecordInvalid("no FIX message: 8=FIX is expected", file=file, line=number, field="8")
    if not line.endswith(_SOH):
        line += _SOH
    found = _CHECKSUM.search(line)
    if found is None:
        raise RecordInvalid("the check sum is missing", file=file, line=number, field="10")
    body = line[: found.start() + 1]
    if sum(body) % 256 != int(found[1]):
        told = f"the check sum is {int(found[1]):03d}; of these bytes it is {sum(body) % 256:03d}"
        raise RecordInvalid(told, file=file, line=number, field="10")
    length = re.match(rb"8=[^\x01]*\x019=([0-9]{1,7})\x01", body)
    if length is None or int(length[1]) != len(body) - length.end():
        raise RecordInvalid("the body's length is another one", file=file, line=number, field="9")
    parser = FixParser()
    parser.append_buffer(line)
    try:
        message = parser.get_message()
    except (ValueError, IndexError) as problem:
        raise RecordInvalid("no FIX message", file=file, line=number, field="8") from problem
    if message is None:
        raise RecordInvalid("no whole FIX message", file=file, line=number, field="10")
    return message


def _row(message: FixMessage, file: str, number: int) -> dict[str, str | None]:
    row: dict[str, str | None] = {}
    for name, tags in _TAGS.items():
        row[name] = next((text for tag in tags if (text := _text(message, tag)) is not None), None)
    for name in ("security", "quantity", "price", "side", "trade_date"):
        if row[name] is None:
            wanted = " or ".join(str(tag) for tag in _TAGS[name])
            raise RecordInvalid(f"the fill has no {name}", file=file, line=number, field=wanted)
    return row


def _text(message: FixMessage, tag: int) -> str | None:
    value = message.get(tag)
    return None if value is None else value.decode("utf-8", "replace")
